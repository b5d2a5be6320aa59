package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

// gather runs all writes in one group, of a database with one connection, and
// returns their errors. Before they set out, waiting is called.
func gather(t *testing.T, db *sqldb.DB, writes []func() error, waiting func()) []error {
	t.Helper()
	errs := make([]error, len(writes))
	var wg sync.WaitGroup
	err := db.Write(t.Context(), func(context.Context, *sqldb.Tx) error {
		for i, write := range writes {
			wg.Go(func() { errs[i] = write() })
		}
		for db.Gathered() < len(writes) {
			runtime.Gosched()
		}
		waiting()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if n := db.GroupsUnderWay(); n != 0 {
		t.Errorf("%d groups are under way at the end", n)
	}
	return errs
}

func addStep(i int) sqldb.Step {
	return sqldb.Step{Query: "update items set value = value + cast($1 as bigint) where id = 'sum'", Args: []any{int64(1) << i}}
}

// Whatever becomes of the one in the middle, what each of the others writes is
// done exactly once, and each learns its own outcome.
func TestAGroupOfSteps(t *testing.T) {
	t.Parallel()
	const writers = 12
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol"} {
		for name, c := range map[string]struct {
			step sqldb.Step
			told func(err error) bool
			done bool
		}{
			"all do well": {sqldb.Step{Query: "select 1"}, func(err error) bool { return err == nil }, true},
			"a check":     {insertStep("bad", -1), func(err error) bool { return fault.Is(err, fault.Permanent) }, false},
			"a key": {
				insertStep("sum", 1), func(err error) bool { return errors.Is(err, sqldb.ErrUnique) }, false,
			},
			"a statement that is wrong": {sqldb.Step{Query: "select wrong"}, func(err error) bool { return fault.Is(err, fault.Permanent) }, false},
			"a lock that another has":   {sqldb.Step{Query: "select 1"}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, false},
			"the end of its context":    {sqldb.Step{Query: "select 1"}, func(err error) bool { return errors.Is(err, context.Canceled) }, false},
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()
				url := with(t, postgres.Database(t), "default_query_exec_mode", mode)
				db := openWith(t, sqldb.Config{URL: url, Connections: 1})
				migrateItems(t, db)
				if err := put(t.Context(), db, "sum", 0); err != nil {
					t.Fatal(err)
				}
				middle, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				var changed [writers]int64
				writes := make([]func() error, writers)
				for i := range writes {
					scope, add, other := db.Tenant("acme"), addStep(i), sqldb.Step{Query: "select 1"}
					add.Changed = &changed[i]
					ctx := t.Context()
					if i == writers/2 {
						ctx, scope, other = middle, scope.Alone("thing", "held"), c.step
					}
					writes[i] = func() error { return scope.WriteSteps(ctx, add, other) }
				}
				held := openWith(t, sqldb.Config{URL: url})
				var release func()
				if name == "a lock that another has" {
					release = hold(t, held.Tenant("acme").Alone("thing", "held"))
				}
				errs := gather(t, db, writes, func() {
					if name == "the end of its context" {
						cancel()
						for db.Gathered() == writers {
							runtime.Gosched()
						}
					}
				})
				if release != nil {
					release()
				}
				want := int64(1)<<writers - 1
				if !c.done {
					want -= 1 << (writers / 2)
				}
				for i, err := range errs {
					switch {
					case i == writers/2 && !c.told(err):
						t.Errorf("the one in the middle: %v", err)
					case i != writers/2 && (err != nil || changed[i] != 1):
						t.Errorf("write %d changed %d rows: %v", i, changed[i], err)
					}
				}
				if n := number(t, db, "select value from items where id = 'sum'"); int64(n) != want || count(t, db) != 1 {
					t.Errorf("the sum is %b of %b", n, want)
				}
			})
		}
	}
}

// Whatever becomes of the one in the middle, each of the others reads what is
// there, once, and each learns its own outcome.
func TestAGroupOfReads(t *testing.T) {
	t.Parallel()
	const readers = 12
	values := func(row func(scan func(...any) error) error) sqldb.Step {
		return sqldb.Step{Query: "select value from items where id <> $1 order by value", Args: []any{"x"}, Row: row}
	}
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol"} {
		for name, c := range map[string]struct {
			step sqldb.Step
			told func(err error) bool
		}{
			"all do well":               {sqldb.Step{Query: "select 1"}, func(err error) bool { return err == nil }},
			"a statement that is wrong": {sqldb.Step{Query: "select wrong"}, func(err error) bool { return fault.Is(err, fault.Permanent) }},
			"a write":                   {insertStep("bad", 1), func(err error) bool { return fault.Is(err, fault.Permanent) }},
			"an error of its own":       {values(func(func(...any) error) error { return errChanged }), func(err error) bool { return errors.Is(err, errChanged) }},
			"a panic":                   {values(func(func(...any) error) error { panic(errChanged) }), func(err error) bool { return errors.Is(err, errChanged) }},
			"a value of another kind": {
				values(func(scan func(...any) error) error { return scan(new(time.Time)) }), func(err error) bool { return err != nil },
			},
			"the end of its context": {sqldb.Step{Query: "select 1"}, func(err error) bool { return errors.Is(err, context.Canceled) }},
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()
				db := openWith(t, sqldb.Config{URL: with(t, postgres.Database(t), "default_query_exec_mode", mode), Connections: 1})
				migrateItems(t, db)
				if err := db.Tenant("acme").WriteSteps(t.Context(), insertStep("a", 1), insertStep("b", 2)); err != nil {
					t.Fatal(err)
				}
				middle, cancel := context.WithCancel(t.Context())
				defer cancel()
				var got [readers][]int
				reads := make([]func() error, readers)
				for i := range reads {
					read := values(func(scan func(...any) error) error {
						var value int
						err := scan(&value)
						got[i] = append(got[i], value)
						return err
					})
					ctx, steps := t.Context(), []sqldb.Step{{Query: "select 1"}, read}
					if i == readers/2 {
						ctx, steps = middle, []sqldb.Step{c.step, {Query: "select 1"}}
					}
					reads[i] = func() (err error) {
						defer func() {
							if p := recover(); p != nil {
								err, _ = p.(error)
							}
						}()
						return db.Tenant("acme").ReadSteps(ctx, steps...)
					}
				}
				errs := gather(t, db, reads, func() {
					if name == "the end of its context" {
						cancel()
						for db.Gathered() == readers {
							runtime.Gosched()
						}
					}
				})
				for i, err := range errs {
					switch {
					case i == readers/2 && !c.told(err):
						t.Errorf("the one in the middle: %v", err)
					case i != readers/2 && (err != nil || !slices.Equal(got[i], []int{1, 2})):
						t.Errorf("read %d: %v, %v", i, got[i], err)
					}
				}
				if n := count(t, db); n != 2 {
					t.Errorf("%d rows are there", n)
				}
			})
		}
	}
}

// hold takes the lock of a scope until the returned function is called.
func hold(t *testing.T, scope sqldb.Scope) (release func()) {
	t.Helper()
	held, free, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- scope.Write(t.Context(), func(context.Context, *sqldb.Tx) error {
			close(held)
			<-free
			return nil
		})
	}()
	<-held
	return func() {
		close(free)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A group takes one exchange, whatever its members see, and each sees its own tenant's rows only.
func TestAGroupOfTenants(t *testing.T) {
	t.Parallel()
	url, exchanges := postgrestest.Counted(t, postgres.Database(t))
	db := openWith(t, sqldb.Config{URL: url + "&pool_max_conns=1"})
	if err := db.Migrate(t.Context(), "notes", notes(), "m"); err != nil {
		t.Fatal(err)
	}
	const writers = 9
	round := func(id string, of func(i int) string) []error {
		var seen [writers]int
		writes := make([]func() error, writers)
		for i := range writes {
			writes[i] = func() error {
				var found bool
				return db.Tenant(fmt.Sprint("t", i%3)).Alone("note", fmt.Sprint(9-i)).Beside("notes", "").WriteSteps(t.Context(),
					sqldb.Step{Query: "insert into notes (tenant, id) values ($1, $2)", Args: []any{of(i), fmt.Sprint(id, i)}},
					sqldb.Step{Query: "select count(distinct tenant) from notes", Found: &found, Dest: []any{&seen[i]}})
			}
		}
		errs := gather(t, db, writes, func() { exchanges.Since() })
		for i, n := range seen {
			if errs[i] == nil && n != 1 {
				t.Errorf("write %d sees rows of %d tenants", i, n)
			}
		}
		return errs
	}
	own := func(i int) string { return fmt.Sprint("t", i%3) }
	for _, id := range []string{"prepares", "measured"} {
		if err := errors.Join(round(id, own)...); err != nil {
			t.Fatal(err)
		}
	}
	// One ends the transaction that held them up.
	if n := exchanges.Since(); n != 2 {
		t.Errorf("a group of %d takes %d exchanges", writers, n-1)
	}
	for i, err := range round("wrong", func(i int) string { return map[bool]string{true: "t1", false: own(i)}[i == 6] }) {
		if (err != nil) != (i == 6) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	var n int
	var found bool
	err := db.AllTenants().ReadSteps(t.Context(), sqldb.Step{Query: "select count(*) from notes", Found: &found, Dest: []any{&n}})
	if err != nil || n != 3*writers-1 {
		t.Errorf("%d rows are there, %v", n, err)
	}
}

// One that waits for a lock holds up neither those that came with it nor those that come after.
func TestWhoWaitsForALockHoldsUpNobody(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{})
	release := hold(t, db.Tenant("acme").Alone("thing", "held"))
	var wg sync.WaitGroup
	var late atomic.Int32
	for i := range 6 {
		wg.Go(func() {
			if err := db.Tenant("acme").Alone("thing", "held").WriteSteps(t.Context(), insertStep(fmt.Sprint("late", i), 1)); err != nil {
				t.Error(err)
			}
			late.Add(1)
		})
	}
	var others sync.WaitGroup
	for g := range 20 {
		others.Go(func() {
			for i := range 10 {
				if err := db.Tenant("acme").WriteSteps(t.Context(), insertStep(fmt.Sprint(g, "-", i), 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	others.Wait()
	if n := late.Load(); n != 0 {
		t.Errorf("%d did not wait", n)
	}
	release()
	wg.Wait()
	if n := count(t, db); n != 206 {
		t.Errorf("%d rows are there", n)
	}
}

// Connections die all the time: what was acknowledged is there, what was
// refused is not, and nothing is there twice.
func TestGroupsOnConnectionsThatDie(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{Connections: 6})
	name := number(t, db, "select oid from pg_database where datname = current_database()")
	kill := make(chan struct{}, 1)
	var killer, wg sync.WaitGroup
	killer.Go(func() {
		for range kill {
			postgres.Admin(t, fmt.Sprintf("select pg_terminate_backend(pid) from pg_stat_activity where datid = %d", name))
		}
	})
	var acknowledged, unknown atomic.Int64
	for g := range 40 {
		wg.Go(func() {
			for i := range 10 {
				var changed int64
				step := insertStep(fmt.Sprint(g, "-", i), 1)
				step.Changed = &changed
				switch err := db.Tenant("acme").WriteSteps(t.Context(), step); {
				case err == nil && changed == 1:
					acknowledged.Add(1)
				case err != nil && fault.Is(err, fault.Transient):
					unknown.Add(1)
				default:
					t.Errorf("%d rows were changed: %v", changed, err)
				}
				if i%2 == 0 {
					select {
					case kill <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	wg.Wait()
	close(kill)
	killer.Wait()
	n := int64(0)
	for n = -1; n == -1; {
		var found bool
		if err := db.Tenant("").ReadSteps(t.Context(), sqldb.Step{Query: "select count(*) from items", Found: &found, Dest: []any{&n}}); err != nil {
			n = -1
		}
	}
	if n < acknowledged.Load() || n > acknowledged.Load()+unknown.Load() {
		t.Errorf("%d rows are there; %d were acknowledged, of %d nobody knows", n, acknowledged.Load(), unknown.Load())
	}
	if acknowledged.Load() == 0 {
		t.Error("none was acknowledged")
	}
}
