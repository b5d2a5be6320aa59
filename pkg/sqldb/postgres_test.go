package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

// with returns a database's URL with another parameter.
func with(t *testing.T, raw, name, value string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func openPostgres(t *testing.T, cfg sqldb.Config) *sqldb.DB {
	t.Helper()
	cfg.URL = postgres.Database(t)
	db := openWith(t, cfg)
	migrateItems(t, db)
	return db
}

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func TestPostgresThatCannotBeOpenedIsNamedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-" + "geheim"
	good := postgres.Database(t)
	u, err := url.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	postgres.Admin(t, "create role nologin_role nologin password '"+secret+"'")
	t.Cleanup(func() { postgres.Admin(nonCancelled{t}, "drop role nologin_role") })
	for name, c := range map[string]struct {
		url   string
		class fault.Class
		code  string
	}{
		"a wrong password":     {postgrestest.As(t, good, postgrestest.Role, secret), fault.Invalid, "database_refused"},
		"an unknown role":      {postgrestest.As(t, good, "nobody_known", secret), fault.Invalid, "database_refused"},
		"a role without login": {postgrestest.As(t, good, "nologin_role", secret), fault.Invalid, "database_refused"},
		"an unknown database":  {strings.Replace(good, u.Path, "/nowhere", 1), fault.Invalid, "database_unknown"},
		"a port where nobody is": {
			"postgres://ragbus:" + secret + "@" + closedPort(t) + "/x?sslmode=disable", fault.Transient, "database_unreachable",
		},
		"a host that is not":    {"postgres://ragbus:" + secret + "@no-such-host.invalid/x", fault.Transient, "database_unreachable"},
		"no TLS where it must":  {with(t, good, "sslmode", "require"), fault.Transient, "database_unreachable"},
		"a password as it is":   {"postgres://ragbus:" + secret + "/x#y@" + server + "/x", fault.Invalid, "invalid_database_url"},
		"a bad escape":          {"postgres://ragbus:" + secret + "%zz@" + server + "/x", fault.Invalid, "invalid_database_url"},
		"a port out of range":   {"postgresql://ragbus:" + secret + "@localhost:99999999/x", fault.Invalid, "invalid_database_url"},
		"an unknown mode":       {with(t, good, "default_query_exec_mode", "magic"), fault.Invalid, "invalid_database_url"},
		"a pool of nothing":     {with(t, good, "pool_max_conns", "0"), fault.Invalid, "invalid_database_url"},
		"a lifetime of nothing": {with(t, good, "pool_max_conn_lifetime", "-1s"), fault.Invalid, "invalid_database_url"},
		"a pooler, perhaps":     {with(t, good, "pgbouncer", "perhaps"), fault.Invalid, "invalid_database_url"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := sqldb.Open(t.Context(), sqldb.Config{URL: c.url})
			if err == nil {
				t.Fatal(errors.Join(errors.New("it was opened"), db.Close()))
			}
			code, message := fault.Public(err)
			if !fault.Is(err, c.class) || code != c.code || !strings.Contains(message, "RAGBUS_DATABASE_URL") {
				t.Errorf("got %s, %q: %v; want %s, %s", fault.Of(err), message, err, c.class, c.code)
			}
			for _, part := range []string{secret, secret[:8], "geheim"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("the error tells the password: %v", err)
				}
			}
		})
	}
}

// nonCancelled is a test whose context has not ended in its cleanups.
type nonCancelled struct{ *testing.T }

func (n nonCancelled) Context() context.Context { return context.WithoutCancel(n.T.Context()) }

func TestParametersOfThePoolAreNotTheServers(t *testing.T) {
	t.Parallel()
	raw := postgres.Database(t)
	for name, value := range map[string]string{
		"pool_max_conns": "1", "pool_max_conn_lifetime": "1h", "pool_max_conn_idle_time": "1m", "pgbouncer": "true",
	} {
		raw = with(t, raw, name, value)
	}
	db := openWith(t, sqldb.Config{URL: raw})
	err := db.Read(t.Context(), func(ctx context.Context, _ *sqldb.Tx) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if err := db.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) || !fault.Is(err, fault.Transient) {
			t.Errorf("a second connection: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Each way to run statements gives the same results.
func TestModesOfStatements(t *testing.T) {
	t.Parallel()
	for name, parameter := range map[string][2]string{
		"cached statements":   {"default_query_exec_mode", "cache_statement"},
		"cached descriptions": {"default_query_exec_mode", "cache_describe"},
		"unnamed statements":  {"default_query_exec_mode", "exec"},
		"simple protocol":     {"default_query_exec_mode", "simple_protocol"},
		"a pooler":            {"pgbouncer", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// One connection, so that the second round meets what the first left.
			db := openWith(t, sqldb.Config{URL: with(t, postgres.Database(t), parameter[0], parameter[1]), Connections: 1})
			m := fstest.MapFS{"m/0001_t.sql": {Data: []byte("create table t (id text primary key, n bigint, b bytea, s text)")}}
			if err := db.Migrate(t.Context(), "t", m, "m"); err != nil {
				t.Fatal(err)
			}
			for round := range 3 {
				useStatements(t, db, fmt.Sprint("round", round))
			}
			left := number(t, db, "select count(*) from pg_prepared_statements")
			if cached := strings.HasPrefix(parameter[1], "cache_statement"); cached != (left > 0) {
				t.Errorf("%d prepared statements are on the server", left)
			}
		})
	}
}

func useStatements(t *testing.T, db *sqldb.DB, id string) {
	t.Helper()
	text, raw := `it's \ "größer" $1 日本 :x ? --`, []byte{0, 1, 255, '\'', '\\'}
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if n, err := tx.Exec(ctx, "insert into t (id, n, b, s) values ($1, $2, $3, $4)", id, -5, raw, text); err != nil || n != 1 {
			return fmt.Errorf("insert: %d, %w", n, err)
		}
		return tx.ExecAll(ctx, "insert into t (id, n, b, s) values ($1, $2, $3, $4) on conflict (id) do update set n = excluded.n",
			[][]any{{id + "a", int64(1) << 60, nil, nil}, {id + "b", nil, []byte{}, sql.NullString{}}, {id + "a", 7, nil, nil}})
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		var (
			n       int
			b       []byte
			s, none sql.NullString
		)
		found, err := tx.One(ctx, "select n, b, s from t where id = $1 and n = $2 and s = $3", []any{id, -5, text}, &n, &b, &s)
		if err != nil || !found || n != -5 || string(b) != string(raw) || s.String != text {
			t.Errorf("got %t, %d, %v, %q, %v", found, n, b, s.String, err)
		}
		if found, err := tx.One(ctx, "select s from t where id = $1", []any{id + "b"}, &none); err != nil || !found || none.Valid {
			t.Errorf("got %t, %v, %v", found, none, err)
		}
		if found, err := tx.One(ctx, "select s from t where id = $1", []any{"never"}, &none); err != nil || found {
			t.Errorf("got %t, %v", found, err)
		}
		rows := 0
		err = tx.Each(ctx, "select id from t where id like $1 order by id limit $2", []any{id + "%", 10}, func(scan func(...any) error) error {
			rows++
			var got string
			return scan(&got)
		})
		if rows != 3 {
			t.Errorf("%d rows", rows)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestATransactionLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	address := postgres.Database(t)
	db := openWith(t, sqldb.Config{URL: address, Connections: 1})
	migrateItems(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := db.Tenant("acme").Alone("a", "b").Beside("c", "d").Write(ctx, insert("x", 1)); err != nil {
		t.Fatal(err)
	}
	err := db.AllTenants().Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, "select wrong")
		return err
	})
	if err == nil {
		t.Fatal("a wrong statement ran")
	}
	raw, err := sql.Open("pgx", postgres.AsSuperuser(t, address))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var locks int
	if err := raw.QueryRowContext(ctx, "select count(*) from pg_locks l join pg_stat_activity a using (pid) where locktype = 'advisory' and a.datname = current_database()").Scan(&locks); err != nil || locks != 0 {
		t.Errorf("%d locks are left, %v", locks, err)
	}
	err = db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		var tenant, all, statement, idle string
		_, err := tx.One(ctx, `select coalesce(nullif(current_setting('ragbus.tenant', true), ''), 'none'), current_setting('ragbus.all_tenants', true),
			current_setting('statement_timeout'), (select reset_val from pg_settings where name = 'statement_timeout')`, nil, &tenant, &all, &statement, &idle)
		if tenant != "none" || all != "false" || idle != "0" || statement != "30s" {
			t.Errorf("tenant %s, all %s, timeout %s, of the session %s", tenant, all, statement, idle)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTextThatCannotBeStoredIsInvalid(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{})
	for _, id := range []string{"a\x00b", "a\xff"} {
		err := put(t.Context(), db, id, 1)
		if code, _ := fault.Public(err); !fault.Is(err, fault.Invalid) || code != "invalid_text" {
			t.Errorf("%q: %v", id, err)
		}
	}
	// Names of tenants come from callers: none of them ends the statement.
	for _, tenant := range []string{"a\x00b", `'; drop table items; --`, `\'; drop table items; --`, "\xff", strings.Repeat("x", 100000)} {
		_ = db.Tenant(tenant).Alone(tenant, tenant).Write(t.Context(), insert("x", 1))
	}
	_ = count(t, db)
}

func TestAnErrorThatIsNotReturnedFailsTheWrite(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{})
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if err := insert("x", 1)(ctx, tx); err != nil {
			return err
		}
		_ = insert("x", 2)(ctx, tx)
		return nil
	})
	if !fault.Is(err, fault.Permanent) || count(t, db) != 0 {
		t.Errorf("got %v", err)
	}
}

func TestAStatementEndsWithItsDeadlineAndSparesTheConnection(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{Connections: 1})
	pid := number(t, db, "select pg_backend_pid()")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	started := time.Now()
	err := db.Write(ctx, sleepLong)
	if !errors.Is(err, context.DeadlineExceeded) || !fault.Is(err, fault.Transient) || time.Since(started) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(started), err)
	}
	if code, _ := fault.Public(err); code != "deadline_exceeded" {
		t.Errorf("code %s", code)
	}
	if again := number(t, db, "select pg_backend_pid()"); again != pid {
		t.Error("the connection was replaced")
	}
}

func sleepLong(ctx context.Context, tx *sqldb.Tx) error {
	_, err := tx.Exec(ctx, "select pg_sleep($1)", 20.0)
	return err
}

func TestAStatementWithoutADeadlineIsBoundedToo(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{StatementTimeout: 50 * time.Millisecond})
	err := db.Write(t.Context(), sleepLong)
	if code, _ := fault.Public(err); code != "database_busy" || !fault.Is(err, fault.Transient) {
		t.Errorf("got %v", err)
	}
}

func TestARoleThatBypassesTheWallIsNoticed(t *testing.T) {
	t.Parallel()
	plain := postgres.Database(t)
	if notices := openURL(t, plain).Notices(); len(notices) != 0 {
		t.Errorf("of the usual role: %v", notices)
	}
	notices := openURL(t, postgres.AsSuperuser(t, plain)).Notices()
	if len(notices) != 1 || !strings.Contains(notices[0], "row-level security") {
		t.Errorf("of a superuser: %v", notices)
	}
}

func TestPanicsAndReleasesOnPostgres(t *testing.T) {
	t.Parallel()
	db := openPostgres(t, sqldb.Config{Connections: 1})
	for _, run := range []func(context.Context, sqldb.Func) error{db.Read, db.Write, db.WriteSynced} {
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic was swallowed")
				}
			}()
			_ = run(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_ = insert("x", 1)(ctx, tx)
				panic("boom")
			})
		}()
	}
	if n := count(t, db); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}
