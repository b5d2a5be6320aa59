package sqldb_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

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

// eachDatabase runs a test on an empty database of each product. Other tests
// may open it too.
func eachDatabase(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, sqldb.FileURL(filepath.Join(t.TempDir(), "m.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgres.Database(t))
	})
}

func openURL(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	return openWith(t, sqldb.Config{URL: url})
}

const (
	stepOne = "create table one (id text primary key); create index one_by_id on one (id);"
	stepTwo = "create table two (id text primary key); insert into one (id) values ('from two');"
)

func TestMigrateAppliesWhatIsNewInOrder(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, url string) {
		t.Helper()
		db := openURL(t, url)
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
	})
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
	eachDatabase(t, func(t *testing.T, url string) {
		t.Helper()
		db := openURL(t, url)
		if err := db.Migrate(t.Context(), "a", files(stepOne), "m"); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context(), "b", files("create table three (id text)"), "m"); err != nil {
			t.Fatal(err)
		}
	})
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
		"an addition to nothing":        {fstest.MapFS{"m/0001_a.sql": {}, "m/0002_b.postgres.sql": {}}, "", "missing"},
		"a contraction of itself":       {fstest.MapFS{"m/0001_a.contract-0001.sql": {}}, "", "earlier migration"},
		"a contraction of no number":    {fstest.MapFS{"m/0001_a.contract-x.sql": {}}, "", "earlier migration"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachDatabase(t, func(t *testing.T, url string) {
				t.Helper()
				db := openURL(t, url)
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
		})
	}
}

func TestAFailedMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, url string) {
		t.Helper()
		db := openURL(t, url)
		err := db.Migrate(t.Context(), "c", files(stepOne, "create table two (id text); select wrong;"), "m")
		if err == nil || !strings.Contains(err.Error(), "0002_step.sql") {
			t.Fatalf("got %v", err)
		}
		if n := number(t, db, "select count(*) from one"); n != 0 {
			t.Errorf("the first table has %d rows", n)
		}
		if n := number(t, db, "select count(*) from schema_migrations"); n != 1 {
			t.Errorf("%d steps are recorded, want the first", n)
		}
		if err := db.Migrate(t.Context(), "c", files(stepOne, stepTwo), "m"); err != nil {
			t.Errorf("the repaired one: %v", err)
		}
	})
}

func TestProcessesThatStartTogetherMigrateOnce(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, url string) {
		t.Helper()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				db := openURL(t, url)
				if err := db.Migrate(t.Context(), "c", files(stepOne, stepTwo), "m"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := number(t, openURL(t, url), "select count(*) from one"); n != 1 {
			t.Errorf("the second step ran %d times", n)
		}
	})
}

func TestProgramsRunOnWhatLaterOnesHaveMigrated(t *testing.T) {
	t.Parallel()
	step := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	newest := fstest.MapFS{
		"m/0001_one.sql":                     step(stepOne),
		"m/0002_two.expand.sql":              step("create table two (id text)"),
		"m/0003_other.expand.sql":            step("alter table one add column other text"),
		"m/0004_without.contract-0003.sql":   step("drop table two"),
		"m/0005_another.expand.sql":          step("create table three (id text)"),
		"m/0005_another.expand.sqlite.sql":   step("insert into three (id) values ('sqlite')"),
		"m/0005_another.expand.postgres.sql": step("insert into three (id) values ('postgres')"),
	}
	knows := func(names ...string) fstest.MapFS {
		m := fstest.MapFS{}
		for name, file := range newest {
			for _, number := range names {
				if strings.HasPrefix(name, "m/"+number) {
					m[name] = file
				}
			}
		}
		return m
	}
	eachDatabase(t, func(t *testing.T, url string) {
		t.Helper()
		db := openURL(t, url)
		migrate := func(m fstest.MapFS) error { return db.Migrate(t.Context(), "c", m, "m") }
		for _, m := range []fstest.MapFS{knows("0001"), knows("0001", "0002", "0003")} {
			if err := migrate(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := migrate(knows("0001")); err != nil {
			t.Errorf("a program that knows nothing of additions: %v", err)
		}
		if err := migrate(newest); err != nil {
			t.Fatal(err)
		}
		if err := migrate(knows("0001", "0002", "0003")); err != nil {
			t.Errorf("a program that no longer uses what was taken away: %v", err)
		}
		for _, m := range []fstest.MapFS{knows("0001"), knows("0001", "0002")} {
			err := migrate(m)
			if code, _ := fault.Public(err); code != "database_too_new" || !strings.Contains(err.Error(), "0004_without") {
				t.Errorf("a program that uses what was taken away: %v", err)
			}
		}
		if n := number(t, db, "select count(*) from three"); n != 1 {
			t.Errorf("the products' own parts were run %d times", n)
		}
	})
}

func TestWhatWasMigratedIsListed(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, url string) {
		t.Helper()
		db := openURL(t, url)
		list, err := db.Migrations(t.Context())
		if err != nil || len(list) != 0 {
			t.Errorf("of an empty database: %v, %v", list, err)
		}
		before := time.Now().Add(-time.Second)
		for component, m := range map[string]fstest.MapFS{"b": files(stepOne, stepTwo), "a": files("create table three (id text)")} {
			if err := db.Migrate(t.Context(), component, m, "m"); err != nil {
				t.Fatal(err)
			}
		}
		if list, err = db.Migrations(t.Context()); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range list {
			names = append(names, m.Component+" "+m.Name)
			if m.AppliedAt.Before(before) || m.AppliedAt.After(time.Now()) {
				t.Errorf("applied at %s", m.AppliedAt)
			}
		}
		if got := strings.Join(names, ", "); got != "a 0001_step.sql, b 0001_step.sql, b 0002_step.sql" {
			t.Errorf("got %s", got)
		}
	})
}
