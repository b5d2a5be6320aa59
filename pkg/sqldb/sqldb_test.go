package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

const itemsSchema = "create table items (id text primary key, value bigint not null check (value >= 0));"

func open(tb testing.TB, path string) *sqldb.DB {
	tb.Helper()
	return openWith(tb, sqldb.Config{URL: sqldb.FileURL(path)})
}

func openWith(tb testing.TB, cfg sqldb.Config) *sqldb.DB {
	tb.Helper()
	db, err := sqldb.Open(tb.Context(), cfg)
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

// onBoth runs a test on an empty table of items, in SQLite and in Postgres.
func onBoth(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, openItems(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		db := openWith(t, sqldb.Config{URL: postgres.Database(t)})
		migrateItems(t, db)
		test(t, db)
	})
}

func migrateItems(tb testing.TB, db *sqldb.DB) {
	tb.Helper()
	if err := db.Migrate(tb.Context(), "items", itemsFiles(), "m"); err != nil {
		tb.Fatal(err)
	}
}

func itemsFiles() fstest.MapFS {
	return fstest.MapFS{"m/0001_items.sql": {Data: []byte(itemsSchema)}}
}

func put(ctx context.Context, db *sqldb.DB, id string, value int64) error {
	return db.Write(ctx, insert(id, value))
}

func insert(id string, value int64) sqldb.Func {
	return func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, "insert into items (id, value) values ($1, $2)", id, value)
		return err
	}
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

func TestURL(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"empty":          "",
		"no path":        "sqlite:",
		"other database": "oracle://user:secret@host/db",
		"no URL":         "\x00://",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("got %v, want an invalid fault", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestPathsThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, path := range map[string]string{
		"a directory":          dir,
		"a missing directory":  filepath.Join(dir, "no", "x.db"),
		"a file of other kind": writeFile(t, dir, "text.db", strings.Repeat("this is no database. ", 500)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqldb.FileURL(path)}); err == nil || fault.Retryable(err) {
				t.Fatalf("got %v, want an error that no retry helps", err)
			}
		})
	}
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPathsWithSpecialCharacters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a ?mode=memory#100% ü.db")
	db := open(t, path)
	migrateItems(t, db)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
}

func TestTheFileIsPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "private.db")
	migrateItems(t, open(t, path))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if perm := info.Mode().Perm(); perm != 0o600 {
			t.Errorf("%s has mode %o", info.Name(), perm)
		}
	}
}

func TestAReadSeesOneSnapshot(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			var before, after int
			if _, err := tx.One(ctx, "select count(*) from items", nil, &before); err != nil {
				return err
			}
			if err := put(ctx, db, "x", 1); err != nil {
				return err
			}
			if _, err := tx.One(ctx, "select count(*) from items", nil, &after); err != nil {
				return err
			}
			if before != after {
				t.Errorf("saw %d rows, then %d", before, after)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if count(t, db) != 1 {
			t.Error("the next read does not see the write")
		}
	})
}

func TestAReadCannotWrite(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		if err := db.Read(t.Context(), insert("x", 1)); !fault.Is(err, fault.Permanent) {
			t.Fatalf("got %v", err)
		}
		if count(t, db) != 0 {
			t.Error("it was written")
		}
	})
}

func TestReadersWaitForAFreeOneWithTheirContext(t *testing.T) {
	t.Parallel()
	db := openWith(t, sqldb.Config{URL: sqldb.FileURL(filepath.Join(t.TempDir(), "r.db")), Readers: 1})
	err := db.Read(t.Context(), func(ctx context.Context, _ *sqldb.Tx) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := db.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAPanicInAReadLeavesTheReaderUsable(t *testing.T) {
	t.Parallel()
	db := openWith(t, sqldb.Config{URL: sqldb.FileURL(filepath.Join(t.TempDir(), "p.db")), Readers: 1})
	migrateItems(t, db)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.Read(t.Context(), func(context.Context, *sqldb.Tx) error { panic("boom") })
	}()
	if err := put(t.Context(), db, "x", 1); err != nil {
		t.Fatal(err)
	}
	if count(t, db) != 1 {
		t.Error("the reader still shows the old snapshot")
	}
}

func TestALongReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			query := "with recursive n (i) as (select 1 union all select i + 1 from n where i < 100000000) select i from n"
			return tx.Each(ctx, query, nil, func(scan func(...any) error) error {
				cancel()
				var i int
				return scan(&i)
			})
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestCloseWaitsForWhatIsQueuedAndRefusesMore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "close.db")
	db := open(t, path)
	migrateItems(t, db)
	release := block(t, db)
	const writers = 20
	results := make(chan error, writers)
	for i := range writers {
		go func() { results <- put(t.Context(), db, fmt.Sprint(i), 1) }()
	}
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	// The close is under way as soon as a read is refused.
	for db.Ready(t.Context()) == nil {
	}
	release()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	done := 0
	for range writers {
		err := <-results
		if err == nil {
			done++
		} else if !errors.Is(err, sqldb.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	if n := count(t, open(t, path)); n != done {
		t.Errorf("%d rows are there, %d were acknowledged", n, done)
	}
	if err := db.Close(); err != nil {
		t.Errorf("the second close: %v", err)
	}
}

func TestErrorsAreClassified(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		if err := put(t.Context(), db, "x", 1); err != nil {
			t.Fatal(err)
		}
		if err := put(t.Context(), db, "x", 1); !errors.Is(err, sqldb.ErrUnique) || !fault.Is(err, fault.Permanent) {
			t.Errorf("a key that exists: %v", err)
		}
		if err := put(t.Context(), db, "y", -1); errors.Is(err, sqldb.ErrUnique) || !fault.Is(err, fault.Permanent) {
			t.Errorf("a check that fails: %v", err)
		}
		syntax := func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, "insert wrongly")
			return err
		}
		if err := db.Write(t.Context(), syntax); !fault.Is(err, fault.Permanent) {
			t.Errorf("a statement that is wrong: %v", err)
		}
	})
}

func TestAnotherProcessWithTheLockIsTransient(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "busy.db")
	db := openWith(t, sqldb.Config{URL: sqldb.FileURL(path), BusyTimeout: 10 * time.Millisecond})
	migrateItems(t, db)
	other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = put(t.Context(), db, "x", 1)
	if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "database_busy" {
		t.Errorf("got %v", err)
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), db, "x", 1); err != nil {
		t.Errorf("after the lock is free: %v", err)
	}
}

func TestManyStatementsAreForgottenInTime(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			for i := range 1200 {
				var got int
				if _, err := tx.One(ctx, fmt.Sprintf("select %d", i), nil, &got); err != nil || got != i {
					return fmt.Errorf("select %d: got %d, %w", i, got, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
