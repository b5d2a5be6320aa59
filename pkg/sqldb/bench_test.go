package sqldb_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ragbus/ragbus/pkg/sqldb"
)

const benchInsert = "insert into items (id, value) values ($1, $2) on conflict (id) do update set value = excluded.value"

func BenchmarkWrite(b *testing.B) {
	for _, goroutines := range []int{1, 64} {
		for _, synced := range []bool{false, true} {
			b.Run(fmt.Sprintf("goroutines=%d/synced=%t", goroutines, synced), func(b *testing.B) {
				db := openItems(b)
				write := db.Write
				if synced {
					write = db.WriteSynced
				}
				var n atomic.Int64
				b.ReportAllocs()
				b.SetParallelism(goroutines)
				if goroutines == 1 {
					for b.Loop() {
						benchWrite(b, write, n.Add(1))
					}
					return
				}
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						benchWrite(b, write, n.Add(1))
					}
				})
			})
		}
	}
}

func benchWrite(b *testing.B, write func(context.Context, sqldb.Func) error, n int64) {
	b.Helper()
	id := fmt.Sprintf("item-%d", n)
	err := write(b.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, benchInsert, id, n)
		return err
	})
	if err != nil {
		b.Error(err)
	}
}

func BenchmarkRead(b *testing.B) {
	db := openItems(b)
	benchWrite(b, db.Write, 1)
	b.ReportAllocs()
	for b.Loop() {
		var value int64
		err := db.Read(b.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.One(ctx, "select value from items where id = $1", []any{"item-1"}, &value)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
