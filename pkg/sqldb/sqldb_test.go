package sqldb_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/ragbus/ragbus/pkg/sqldb"
)

const itemsSchema = "create table items (id text primary key, value bigint not null check (value >= 0));"

func open(tb testing.TB, path string) *sqldb.DB {
	tb.Helper()
	db, err := sqldb.Open(tb.Context(), sqldb.Config{URL: sqldb.FileURL(path)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func openItems(tb testing.TB) *sqldb.DB {
	tb.Helper()
	db := open(tb, filepath.Join(tb.TempDir(), "items.db"))
	migrateItems(tb, db)
	return db
}

func migrateItems(tb testing.TB, db *sqldb.DB) {
	tb.Helper()
	files := fstest.MapFS{"m/0001_items.sql": {Data: []byte(itemsSchema)}}
	if err := db.Migrate(tb.Context(), "items", files, "m"); err != nil {
		tb.Fatal(err)
	}
}

func put(ctx context.Context, db *sqldb.DB, id string, value int64) error {
	return db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, "insert into items (id, value) values ($1, $2)", id, value)
		return err
	})
}

func count(tb testing.TB, db *sqldb.DB) int {
	tb.Helper()
	var n int
	err := db.Read(tb.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.One(ctx, "select count(*) from items", nil, &n)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}
