package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

// A server that dies in the middle of transactions loses those that were not
// committed and no other; while it is away everything is Transient; when it is
// back nothing has to be restarted, though every connection of the pool is dead.
func TestTheServerDiesAndComesBack(t *testing.T) {
	t.Parallel()
	var own postgrestest.Server
	t.Cleanup(own.Stop)
	db := openWith(t, sqldb.Config{URL: own.Database(t), Connections: 6})
	migrateItems(t, db)
	if err := put(t.Context(), db, "committed", 1); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		crashAmid(t, db, &own, 5)
		for _, run := range []func(context.Context, sqldb.Func) error{db.Read, db.Write} {
			err := run(t.Context(), func(context.Context, *sqldb.Tx) error { return nil })
			if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "database_unreachable" {
				t.Errorf("while it is away: %v", err)
			}
		}
		if err := db.Ready(t.Context()); !fault.Is(err, fault.Transient) {
			t.Errorf("while it is away it is ready: %v", err)
		}
		own.Restart(t)
		if err := db.Ready(t.Context()); err != nil {
			t.Errorf("when it is back: %v", err)
		}
		if err := put(t.Context(), db, fmt.Sprint("after", round), 1); err != nil {
			t.Errorf("when it is back: %v", err)
		}
		if n := count(t, db); n != round+2 {
			t.Errorf("%d rows are there, want those that were committed, %d", n, round+2)
		}
	}
}

// crashAmid crashes the server while n writes and a read are half done.
func crashAmid(t *testing.T, db *sqldb.DB, server *postgrestest.Server, n int) {
	t.Helper()
	var begun, done sync.WaitGroup
	crashed := make(chan struct{})
	begun.Add(n + 1)
	for i := range n {
		done.Go(func() {
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				if err := insert(fmt.Sprint("lost", i), 1)(ctx, tx); err != nil {
					return err
				}
				begun.Done()
				<-crashed
				return insert(fmt.Sprint("lost too", i), 1)(ctx, tx)
			})
			if !fault.Is(err, fault.Transient) {
				t.Errorf("a write that was cut off: %v", err)
			}
		})
	}
	done.Go(func() {
		err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			begun.Done()
			<-crashed
			var n int
			_, err := tx.One(ctx, "select count(*) from items", nil, &n)
			return err
		})
		if !fault.Is(err, fault.Transient) {
			t.Errorf("a read that was cut off: %v", err)
		}
	})
	begun.Wait()
	server.Crash(t)
	close(crashed)
	done.Wait()
}

// Dead connections that were used a moment ago are not noticed before they
// are used again: each is replaced, whoever meets it.
func TestDeadConnectionsCostNobodyAnything(t *testing.T) {
	t.Parallel()
	const connections = 6
	address := postgres.Database(t)
	db := openWith(t, sqldb.Config{URL: address, Connections: connections})
	migrateItems(t, db)
	name := number(t, db, "select oid from pg_database where datname = current_database()")
	for round := range 5 {
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
		if err := put(t.Context(), db, fmt.Sprint("x", round), 1); err != nil {
			t.Errorf("the first write: %v", err)
		}
	}
}

func TestTenReplicasMigrateTogether(t *testing.T) {
	t.Parallel()
	address := postgres.Database(t)
	steps := fstest.MapFS{}
	for i := 1; i <= 5; i++ {
		text := fmt.Sprintf("create table step_%d (id text primary key); insert into step_%d (id) values ('once'); create index on step_%d (id);", i, i, i)
		steps[fmt.Sprintf("m/%04d_step.sql", i)] = &fstest.MapFile{Data: []byte(text)}
	}
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			<-start
			db, err := sqldb.Open(t.Context(), sqldb.Config{URL: address})
			if err != nil {
				t.Error(err)
				return
			}
			for _, component := range []string{"a", "b"} {
				files := steps
				if component == "b" {
					files = fstest.MapFS{"m/0001_b.sql": {Data: []byte("create table b (id text)")}}
				}
				if err := db.Migrate(t.Context(), component, files, "m"); err != nil {
					t.Error(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	db := openURL(t, address)
	for i := 1; i <= 5; i++ {
		if n := number(t, db, fmt.Sprintf("select count(*) from step_%d", i)); n != 1 {
			t.Errorf("step %d ran %d times", i, n)
		}
	}
}

const wallSchema = `create table notes (tenant text not null, id text not null, primary key (tenant, id));`

const wallOnPostgres = `alter table notes enable row level security, force row level security;
create policy tenants on notes using (tenant = nullif(current_setting('ragbus.tenant', true), '')
	or current_setting('ragbus.all_tenants', true) = 'true');`

func notes() fstest.MapFS {
	return fstest.MapFS{"m/0001_notes.sql": {Data: []byte(wallSchema)}, "m/0001_notes.postgres.sql": {Data: []byte(wallOnPostgres)}}
}

// The documented set-up: one role owns and migrates, another one serves.
func TestAServiceRoleMayNeitherChangeTablesNorSeeAnothersRows(t *testing.T) {
	t.Parallel()
	address := postgres.Database(t)
	owner := openURL(t, address)
	role, password := fmt.Sprint("service_", time.Now().UnixNano()), "pw"
	postgres.Admin(t, fmt.Sprintf("create role %s login password '%s'", role, password))
	grants := fstest.MapFS{"m/0001_grants.sql": {Data: []byte(fmt.Sprintf(
		"grant usage on schema public to %s; alter default privileges in schema public grant select, insert, update, delete on tables to %s;", role, role))}}
	if err := owner.Migrate(t.Context(), "grants", grants, "m"); err != nil {
		t.Fatal(err)
	}
	service, err := sqldb.Open(t.Context(), sqldb.Config{URL: postgrestest.As(t, address, role, password)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	if code, _ := fault.Public(service.Migrate(t.Context(), "notes", notes(), "m")); code != "database_forbidden" {
		t.Errorf("it may make tables: %s", code)
	}
	if err := owner.Migrate(t.Context(), "notes", notes(), "m"); err != nil {
		t.Fatal(err)
	}
	// schema_migrations is older than the default privileges.
	if err := owner.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, "grant select on schema_migrations to "+role)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := service.Migrate(t.Context(), "notes", notes(), "m"); err != nil {
		t.Errorf("when everything is done: %v", err)
	}
	for _, db := range []*sqldb.DB{owner, service} {
		checkNotes(t, db)
	}
}

func checkNotes(t *testing.T, db *sqldb.DB) {
	t.Helper()
	note := func(tenant, id string) sqldb.Func {
		return func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, "insert into notes (tenant, id) values ($1, $2) on conflict do nothing", tenant, id)
			return err
		}
	}
	for _, tenant := range []string{"acme", "other"} {
		if err := db.Tenant(tenant).Write(t.Context(), note(tenant, "n")); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range map[string]error{
		"without a scope":         db.Write(t.Context(), note("acme", "new")),
		"in another tenant":       db.Tenant("other").Write(t.Context(), note("acme", "new")),
		"in the tenant of nobody": db.Tenant("").Write(t.Context(), note("", "new")),
	} {
		if code, _ := fault.Public(err); !fault.Is(err, fault.Permanent) || code != "database_forbidden" {
			t.Errorf("a write %s: %v", name, err)
		}
	}
	if err := db.AllTenants().Write(t.Context(), note("third", "n")); err != nil {
		t.Errorf("a write in all tenants: %v", err)
	}
	seen := func(read func(context.Context, sqldb.Func) error) (n int) {
		err := read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.One(ctx, "select count(*) from notes", nil, &n)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	got := []int{
		seen(db.Read), seen(db.Write), seen(db.Tenant("acme").Read), seen(db.Tenant("never").Read), seen(db.Tenant("").Read),
		seen(db.AllTenants().Read), seen(db.AllTenants().Write), seen(db.Read),
	}
	if want := []int{0, 0, 1, 0, 0, 3, 3, 0}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the scopes see %v rows, want %v", got, want)
	}
}

// A server that takes connections and never answers costs no more than the
// time that is given.
func TestASilentServerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	silent := listenSilently(t)
	started := time.Now()
	_, err := sqldb.Open(t.Context(), sqldb.Config{URL: "postgres://u:p@" + silent + "/x?sslmode=disable&connect_timeout=1"})
	if code, _ := fault.Public(err); code != "database_unreachable" || !fault.Is(err, fault.Transient) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

// So it is in the middle of a transaction, when no packet says that the
// server is gone.
func TestAServerThatFallsSilentIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	line := connectThrough(t, postgres.Database(t))
	db := openWith(t, sqldb.Config{URL: line.url})
	migrateItems(t, db)
	started := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := insert("x", 1)(ctx, tx); err != nil {
			return err
		}
		line.cut()
		return insert("y", 1)(ctx, tx)
	})
	if !errors.Is(err, context.DeadlineExceeded) || !fault.Is(err, fault.Transient) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	line.mend()
	if n := count(t, db); n != 0 {
		t.Errorf("%d rows are there", n)
	}
}

// A process that was stopped for a while in the middle of a transaction, by the
// system or by an operator, finds that the server did not wait for it. Nothing
// was done, so whoever asks again loses nothing.
func TestATransactionThatTheServerGaveUpMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	db := openWith(t, sqldb.Config{URL: postgres.Database(t)})
	migrateItems(t, db)
	giveUp := func(ctx context.Context, tx *sqldb.Tx) error {
		if err := insert("x", 1)(ctx, tx); err != nil {
			return err
		}
		var pid int
		if _, err := tx.One(ctx, "select pg_backend_pid()", nil, &pid); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "select set_config('idle_in_transaction_session_timeout', '20', true)"); err != nil {
			return err
		}
		for n := 1; n > 0; { // until the server has ended it
			err := db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := tx.One(ctx, "select count(*) from pg_stat_activity where pid = $1", []any{pid}, &n)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	for name, after := range map[string]sqldb.Func{
		"the next statement": insert("y", 1),
		"the commit":         func(context.Context, *sqldb.Tx) error { return nil },
	} {
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := giveUp(ctx, tx); err != nil {
				return fmt.Errorf("before: %w", err)
			}
			return after(ctx, tx)
		})
		if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "database_unreachable" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := count(t, db); n != 0 {
		t.Errorf("%d rows are there", n)
	}
}
