package sqldb_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

func files(texts ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i, text := range texts {
		name := string(rune('1'+i)) + "_step.sql"
		m["m/000"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

const (
	stepOne = "create table one (id text primary key); create index one_by_id on one (id);"
	stepTwo = "create table two (id text primary key); insert into one (id) values ('from two');"
)

func TestMigrateAppliesWhatIsNewInOrder(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "m.db"))
	for _, m := range []fstest.MapFS{files(stepOne), files(stepOne), files(stepOne, stepTwo), files(stepOne, stepTwo)} {
		if err := db.Migrate(t.Context(), "c", m, "m"); err != nil {
			t.Fatal(err)
		}
	}
	if n := number(t, db, "select count(*) from one"); n != 1 {
		t.Errorf("the second step ran %d times", n)
	}
	if n := number(t, db, "select count(*) from schema_migrations"); n != 2 {
		t.Errorf("%d steps are recorded", n)
	}
}

func number(t *testing.T, db *sqldb.DB, query string) (n int) {
	t.Helper()
	err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.One(ctx, query, nil, &n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestComponentsMigrateBesideEachOther(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "m.db"))
	if err := db.Migrate(t.Context(), "a", files(stepOne), "m"); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), "b", files("create table three (id text)"), "m"); err != nil {
		t.Fatal(err)
	}
}

func TestMigrateRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then fstest.MapFS
		code string
		says string
	}{
		"a database of a newer program": {files(stepOne), "database_too_new", "0002_step.sql"},
		"a changed file":                {files(stepOne+" -- changed", stepTwo), "database_mismatch", "0001_step.sql"},
		"a gap":                         {fstest.MapFS{"m/0002_x.sql": {}}, "", "missing"},
		"a name without a number":       {fstest.MapFS{"m/first.sql": {}}, "", "0001_what.sql"},
		"a number used twice":           {fstest.MapFS{"m/0001_a.sql": {}, "m/0001_b.sql": {}}, "", "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, filepath.Join(t.TempDir(), "m.db"))
			if err := db.Migrate(t.Context(), "c", files(stepOne, stepTwo), "m"); err != nil {
				t.Fatal(err)
			}
			err := db.Migrate(t.Context(), "c", c.then, "m")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want it to say %q", err, c.says)
			}
			if code, _ := fault.Public(err); c.code != "" && (code != c.code || !fault.Is(err, fault.Permanent)) {
				t.Errorf("got code %q, %v", code, err)
			}
		})
	}
}

func TestAFailedMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "m.db"))
	err := db.Migrate(t.Context(), "c", files(stepOne, "create table two (id text); select wrong;"), "m")
	if err == nil || !strings.Contains(err.Error(), "0002_step.sql") {
		t.Fatalf("got %v", err)
	}
	if n := number(t, db, "select count(*) from sqlite_master where name in ('one', 'two')"); n != 1 {
		t.Errorf("%d tables are there, want the first", n)
	}
	if err := db.Migrate(t.Context(), "c", files(stepOne, stepTwo), "m"); err != nil {
		t.Errorf("the repaired one: %v", err)
	}
}

func TestProcessesThatStartTogetherMigrateOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "m.db")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			db := open(t, path)
			if err := db.Migrate(t.Context(), "c", files(stepOne, stepTwo), "m"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := number(t, open(t, path), "select count(*) from one"); n != 1 {
		t.Errorf("the second step ran %d times", n)
	}
}
