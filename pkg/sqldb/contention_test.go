package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

func TestAWriteWaitsForALockNoLongerThanItsDeadline(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{})
	err := db.Tenant("acme").Alone("thing", "1").Write(t.Context(), func(ctx context.Context, _ *sqldb.Tx) error {
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if err := db.Tenant("acme").Alone("thing", "1").Write(ctx, insert("x", 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the same thing: %v", err)
		}
		for i, other := range []sqldb.Scope{db.Tenant("acme").Alone("thing", "2"), db.Tenant("other").Alone("thing", "1"), db.Tenant("acme")} {
			if err := other.Write(t.Context(), insert(fmt.Sprint(i), 1)); err != nil {
				t.Errorf("another thing: %v", err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{})
	if err := put(t.Context(), db, "x", 0); err != nil {
		t.Fatal(err)
	}
	const writers, times = 8, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range times {
				err := db.Tenant("acme").Alone("item", "x").Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
					var value int64
					if _, err := tx.One(ctx, "select value from items where id = $1", []any{"x"}, &value); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, "update items set value = $1 where id = $2", value+1, "x")
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := number(t, db, "select value from items"); n != writers*times {
		t.Errorf("%d of %d changes are there", n, writers*times)
	}
}

func TestThoseBesideEachOtherRunTogether(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{})
	var inside, wg sync.WaitGroup
	inside.Add(2)
	for range 2 {
		wg.Go(func() {
			err := db.Tenant("acme").Beside("thing", "").Write(t.Context(), func(context.Context, *sqldb.Tx) error {
				inside.Done()
				inside.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				if err := db.Tenant("acme").Alone("thing", "").Write(ctx, insert("x", 1)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("alone: %v", err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Two writes that wait for each other: Postgres undoes one, which runs again.
func TestADeadlockIsRetried(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{})
	for _, id := range []string{"a", "b"} {
		if err := put(t.Context(), db, id, 0); err != nil {
			t.Fatal(err)
		}
	}
	var runs atomic.Int64
	var met sync.WaitGroup
	met.Add(2)
	update := func(ctx context.Context, tx *sqldb.Tx, id string) error {
		_, err := tx.Exec(ctx, "update items set value = value + 1 where id = $1", id)
		return err
	}
	both := func(first, second string) error {
		meet := sync.OnceFunc(func() {
			met.Done()
			met.Wait()
		})
		return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			runs.Add(1)
			if err := update(ctx, tx, first); err != nil {
				return err
			}
			meet()
			return update(ctx, tx, second)
		})
	}
	errs := make([]error, 2)
	var wg sync.WaitGroup
	wg.Go(func() { errs[0] = both("a", "b") })
	wg.Go(func() { errs[1] = both("b", "a") })
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := number(t, db, "select sum(value) from items"); n != 4 || runs.Load() < 3 {
		t.Errorf("%d changes after %d runs", n, runs.Load())
	}
}

// A serialization failure that stays is given up after some attempts.
func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{})
	runs := 0
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		runs++
		_, err := tx.Exec(ctx, "do $$ begin raise exception 'in the way' using errcode = '40001'; end $$")
		return err
	})
	if code, _ := fault.Public(err); code != "database_busy" || !fault.Is(err, fault.Transient) || runs < 3 || runs > 20 {
		t.Errorf("after %d runs: %v", runs, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	runs = 0
	err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		runs++
		_, err := tx.Exec(ctx, "do $$ begin raise exception 'in the way' using errcode = '40001'; end $$")
		cancel()
		return err
	})
	if err == nil || runs != 1 {
		t.Errorf("it went on after the end of its context: %d runs, %v", runs, err)
	}
}

func TestAStandbyIsTransientForWrites(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{Connections: 1})
	pid := number(t, db, "select pg_backend_pid()")
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.Exec(ctx, "set transaction read only"); err != nil {
			return err
		}
		return insert("x", 1)(ctx, tx)
	})
	if code, _ := fault.Public(err); code != "database_read_only" || !fault.Is(err, fault.Transient) {
		t.Errorf("got %v", err)
	}
	if again := number(t, db, "select pg_backend_pid()"); again == pid {
		t.Error("the connection was kept, which a failover leaves at the standby")
	}
}
