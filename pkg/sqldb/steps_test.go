package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

func insertStep(id string, value int64) sqldb.Step {
	return sqldb.Step{Query: "insert into items (id, value) values ($1, $2)", Args: []any{id, value}}
}

// upsertStep tells what is there afterwards.
func upsertStep(found *bool, after *int64, id string) sqldb.Step {
	return sqldb.Step{
		Query: "insert into items (id, value) values ($1, 1) on conflict (id) do update set value = items.value + 1 returning value",
		Args:  []any{id}, Found: found, Dest: []any{after},
	}
}

func TestStepsAreOneTransaction(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		scope := db.Tenant("acme")
		var (
			found, none bool
			value       int64
			ids         []string
		)
		if err := scope.WriteSteps(t.Context(), insertStep("a", 1), insertStep("b", 2), upsertStep(&found, &value, "a")); err != nil || !found || value != 2 {
			t.Fatalf("write: %t, %d, %v", found, value, err)
		}
		none = true
		err := scope.ReadSteps(t.Context(),
			sqldb.Step{Query: "select value from items where id = $1", Args: []any{"b"}, Found: &found, Dest: []any{&value}},
			sqldb.Step{Query: "select value from items where id = $1", Args: []any{"c"}, Found: &none, Dest: []any{new(int64)}},
			sqldb.Step{Query: "select id from items order by id", Row: func(scan func(...any) error) error {
				var id string
				err := scan(&id)
				ids = append(ids, id)
				return err
			}})
		if err != nil || !found || none || value != 2 || !slices.Equal(ids, []string{"a", "b"}) {
			t.Errorf("read: %t, %t, %d, %v, %v", found, none, value, ids, err)
		}
		err = scope.WriteSteps(t.Context(), insertStep("c", 1), upsertStep(&found, &value, "a"), insertStep("b", 1))
		if !errors.Is(err, sqldb.ErrUnique) {
			t.Errorf("the second b: %v", err)
		}
		if n := number(t, db, "select sum(value) from items"); n != 4 {
			t.Errorf("a failed write left a sum of %d", n)
		}
		changed, unchanged := int64(-1), int64(-1)
		err = scope.WriteSteps(t.Context(),
			sqldb.Step{Query: "update items set value = value + 1", Changed: &changed},
			sqldb.Step{Query: "insert into items (id, value) values ('a', 1) on conflict do nothing", Changed: &unchanged})
		if err != nil || changed != 2 || unchanged != 0 {
			t.Errorf("the statements changed %d and %d rows, %v", changed, unchanged, err)
		}
	})
}

func TestReadStepsCannotWrite(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		for _, steps := range [][]sqldb.Step{{insertStep("a", 1)}, {insertStep("a", 1), insertStep("b", 1)}} {
			if err := db.Tenant("acme").ReadSteps(t.Context(), steps...); err == nil || fault.Retryable(err) {
				t.Errorf("%d steps: %v", len(steps), err)
			}
		}
		if n := count(t, db); n != 0 {
			t.Errorf("%d rows are there", n)
		}
	})
}

func TestStepsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := db.Tenant("acme").WriteSteps(ctx, insertStep("a", 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("write: %v", err)
		}
		if err := db.Tenant("acme").ReadSteps(ctx, sqldb.Step{Query: "select 1"}); !errors.Is(err, context.Canceled) {
			t.Errorf("read: %v", err)
		}
	})
}

func TestAnErrorOfARowIsReturned(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		failed, rows := errors.New("failed"), 0
		many := sqldb.Step{Query: "select 1 union select 2", Row: func(func(...any) error) error {
			rows++
			return failed
		}}
		// Twice: the connection is still of use.
		for range 2 {
			if err := db.Tenant("acme").ReadSteps(t.Context(), many, many); !errors.Is(err, failed) {
				t.Errorf("got %v", err)
			}
		}
		if rows != 2 {
			t.Errorf("%d rows were shown", rows)
		}
	})
}

func TestStepsTakeTheirTurns(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		const writers, times = 8, 20
		var wg sync.WaitGroup
		for g := range writers {
			wg.Go(func() {
				for i := range times {
					// Without the lock all of them read the same maximum.
					err := db.Tenant("acme").Beside("other", "").Alone("item", "x").WriteSteps(t.Context(), sqldb.Step{
						Query: "insert into items (id, value) select $1, coalesce(max(value), 0) + 1 from items", Args: []any{fmt.Sprint(g, "-", i)},
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := number(t, db, "select count(distinct value) from items"); n != writers*times {
			t.Errorf("%d of %d values", n, writers*times)
		}
	})
}

func TestStepsWaitForALockNoLongerThanTheirDeadline(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			db := openWith(t, sqldb.Config{URL: with(t, postgres.Database(t), "default_query_exec_mode", mode), Connections: 2})
			migrateItems(t, db)
			scope := db.Tenant("acme").Alone("thing", "1")
			err := scope.Write(t.Context(), func(context.Context, *sqldb.Tx) error {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if err := scope.WriteSteps(ctx, insertStep("x", 1)); !errors.Is(err, context.DeadlineExceeded) || !fault.Is(err, fault.Transient) {
					t.Errorf("the same thing: %v", err)
				}
				return db.Tenant("acme").Alone("thing", "2").WriteSteps(t.Context(), insertStep("y", 1))
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := scope.WriteSteps(t.Context(), insertStep("x", 1)); err != nil || count(t, db) != 2 {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestStepsAreBoundToTheirTenantAndLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	const settings = `select coalesce(nullif(current_setting('ragbus.tenant', true), ''), 'none'), coalesce(nullif(current_setting('ragbus.all_tenants', true), ''), 'none'),
		current_setting('statement_timeout'), current_setting('transaction_read_only'),
		(select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())`
	for _, mode := range []string{"cache_statement", "cache_describe", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			db := openWith(t, sqldb.Config{URL: with(t, postgres.Database(t), "default_query_exec_mode", mode), Connections: 1, StatementTimeout: 7 * time.Second})
			migrateItems(t, db)
			ask := func(run func(context.Context, ...sqldb.Step) error, scope string) string {
				var (
					found                           bool
					tenant, all, timeout, read, got string
					locks                           int
				)
				err := run(t.Context(), sqldb.Step{Query: settings, Found: &found, Dest: []any{&tenant, &all, &timeout, &read, &locks}})
				if err != nil {
					t.Errorf("%s: %v", scope, err)
				}
				got = fmt.Sprint(tenant, " ", all, " ", timeout, " ", read, " ", locks)
				return got
			}
			strange := `it's \ "ü"; select pg_sleep(9) --`
			for range 2 {
				for _, c := range []struct {
					name string
					run  func(context.Context, ...sqldb.Step) error
					want string
				}{
					{"a tenant's write", db.Tenant("acme").Alone("a", "b").Beside("c", "d").WriteSteps, "acme false 7s off 2"},
					{"a tenant's read", db.Tenant("acme").Alone("a", "b").ReadSteps, "acme false 7s on 0"},
					{"everybody's", db.AllTenants().ReadSteps, "none true 7s on 0"},
					{"nobody's", db.Tenant("").WriteSteps, "none false 7s off 0"},
					{"a strange one's", db.Tenant(strange).WriteSteps, strange + " false 7s off 0"},
				} {
					if got := ask(c.run, c.name); got != c.want {
						t.Errorf("%s: %s, want %s", c.name, got, c.want)
					}
				}
			}
			if n := number(t, db, "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"); n != 0 {
				t.Errorf("%d locks are left", n)
			}
			_ = db.Tenant("acme").WriteSteps(t.Context(), insertStep("x", 1), sqldb.Step{Query: "select wrong"})
			var idle string
			err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := tx.One(ctx, "select current_setting('ragbus.tenant', true) || (select reset_val from pg_settings where name = 'statement_timeout')", nil, &idle)
				return err
			})
			if err != nil || idle != "0" || count(t, db) != 0 {
				t.Errorf("left behind: %q, %v", idle, err)
			}
		})
	}
}

// The wall stands for steps too: notes has row-level security.
func TestStepsSeeNoOthersRows(t *testing.T) {
	t.Parallel()
	db := openWith(t, sqldb.Config{URL: postgres.Database(t)})
	if err := db.Migrate(t.Context(), "notes", notes(), "m"); err != nil {
		t.Fatal(err)
	}
	note := func(tenant string) sqldb.Step {
		return sqldb.Step{Query: "insert into notes (tenant, id) values ($1, $2)", Args: []any{tenant, "1"}}
	}
	for _, tenant := range []string{"acme", "other"} {
		if err := db.Tenant(tenant).WriteSteps(t.Context(), note(tenant)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Tenant("acme").WriteSteps(t.Context(), note("third")); err == nil {
		t.Error("a row of another tenant was written")
	}
	for scope, want := range map[sqldb.Scope]int{db.Tenant("acme"): 1, db.Tenant(""): 0, db.AllTenants(): 2} {
		var (
			n     int
			found bool
		)
		err := scope.ReadSteps(t.Context(), sqldb.Step{Query: "select count(*) from notes", Found: &found, Dest: []any{&n}})
		if err != nil || n != want {
			t.Errorf("%d rows are seen, want %d, %v", n, want, err)
		}
	}
}

func TestStepsThroughATransactionPooler(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			address, _ := startPooler(t, postgres.Database(t), 2)
			db := openWith(t, sqldb.Config{URL: with(t, address, "default_query_exec_mode", mode), Connections: 6})
			if err := db.Migrate(t.Context(), "notes", notes(), "m"); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for g := range 6 {
				wg.Go(func() { stepsOf(t, db, fmt.Sprint("tenant", g)) })
			}
			wg.Wait()
		})
	}
}

// stepsOf writes and reads as one tenant, with another's steps in between on the same connections.
func stepsOf(t *testing.T, db *sqldb.DB, tenant string) {
	t.Helper()
	for i := range 30 {
		var (
			n     int
			found bool
		)
		err := db.Tenant(tenant).Alone("notes", "").WriteSteps(t.Context(),
			sqldb.Step{Query: "insert into notes (tenant, id) values ($1, $2)", Args: []any{tenant, fmt.Sprint(i)}})
		if err == nil {
			err = db.Tenant(tenant).ReadSteps(t.Context(), sqldb.Step{Query: "select count(*) from notes", Found: &found, Dest: []any{&n}})
		}
		if err != nil || n != i+1 {
			t.Errorf("%s sees %d rows after %d writes, %v", tenant, n, i+1, err)
			return
		}
	}
}

// A connection that the server closed a moment ago took nothing, and says so.
func TestDeadConnectionsCostStepsNothing(t *testing.T) {
	t.Parallel()
	const connections = 4
	db := openWith(t, sqldb.Config{URL: postgres.Database(t), Connections: connections})
	migrateItems(t, db)
	name := number(t, db, "select oid from pg_database where datname = current_database()")
	for round := range 6 {
		var inside, done sync.WaitGroup
		inside.Add(connections)
		for range connections {
			done.Go(func() {
				err := db.Read(t.Context(), func(context.Context, *sqldb.Tx) error {
					inside.Done()
					inside.Wait()
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
		postgres.Admin(t, fmt.Sprintf("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datid = %d", name))
		scope, id := db.Tenant("acme").Alone("item", "x"), fmt.Sprint("x", round)
		if round%2 == 0 {
			if err := scope.WriteSteps(t.Context(), insertStep(id, 1)); err != nil {
				t.Errorf("the first write: %v", err)
			}
			continue
		}
		var found bool
		if err := scope.ReadSteps(t.Context(), sqldb.Step{Query: "select 1", Found: &found, Dest: []any{new(int)}}); err != nil || !found {
			t.Errorf("the first read: %v", err)
		}
	}
	if n := count(t, db); n != 3 {
		t.Errorf("%d rows", n)
	}
}

// Nobody knows whether it was written; nobody waits for it either, and it is not tried again.
func TestAServerThatFallsSilentAmidStepsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	line := connectThrough(t, postgres.Database(t))
	db := openWith(t, sqldb.Config{URL: line.url, Connections: 1})
	migrateItems(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	started := time.Now()
	line.cut()
	err := db.Tenant("acme").WriteSteps(ctx, insertStep("x", 1))
	if !errors.Is(err, context.DeadlineExceeded) || !fault.Is(err, fault.Transient) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	line.mend()
	if n := count(t, db); n > 1 {
		t.Errorf("%d rows are there", n)
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "m.db")
	shared := open(t, path).Marks("part")
	if mark := shared.Of("acme", "1"); mark != 0 || shared.Hold(mark, "acme", "1") {
		t.Error("marks hold though others may write")
	}
	db := openWith(t, sqldb.Config{URL: sqldb.FileURL(filepath.Join(t.TempDir(), "sole.db")), Sole: true})
	m, again, other := db.Marks("part"), db.Marks("part"), db.Marks("other")
	taken := m.Of("acme", "1")
	if !m.Hold(taken, "acme", "1") || !again.Hold(taken, "acme", "1") {
		t.Error("a mark does not hold at once")
	}
	other.AllChanged()
	if !m.Hold(taken, "acme", "1") {
		t.Error("another part changed this one")
	}
	again.Changed("acme", "1")
	if m.Hold(taken, "acme", "1") {
		t.Error("a mark holds after a change")
	}
	for _, id := range []string{"1", "2", strings.Repeat("x", 300)} {
		before := m.Of("acme", id)
		m.AllChanged()
		if m.Hold(before, "acme", id) {
			t.Error("a mark holds after everything changed")
		}
	}
	if pg := openWith(t, sqldb.Config{URL: postgres.Database(t), Sole: true}); pg.Marks("part").Of("acme", "1") != 0 {
		t.Error("marks hold for a database that is shared")
	}
}
