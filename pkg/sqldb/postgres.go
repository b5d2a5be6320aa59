package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/ragbus/ragbus/pkg/fault"
)

// oldestPostgres is the first major version that is tried in tests, and still
// maintained by its makers.
const oldestPostgres = 14

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// postgresEngine is a pool of connections to one Postgres database.
type postgresEngine struct {
	pool *sql.DB
	// limit is how long one statement may take, patience how long a
	// transaction waits for a connection.
	limit    time.Duration
	patience time.Duration
	// connections bounds the pool, inUse counts those that are taken.
	connections int
	inUse       atomic.Int64
	// Steps that come at the same moment run together.
	writing, reading gathering
}

func openPostgres(ctx context.Context, cfg Config) (*postgresEngine, []string, error) {
	settings, err := parsePostgres(&cfg)
	if err != nil {
		return nil, nil, err
	}
	e := &postgresEngine{pool: stdlib.OpenDB(*settings), limit: cfg.StatementTimeout, patience: max(cfg.StatementTimeout, cfg.ConnectTimeout), connections: cfg.Connections, writing: gathering{writes: true}}
	e.pool.SetMaxOpenConns(cfg.Connections)
	e.pool.SetMaxIdleConns(cfg.Connections)
	e.pool.SetConnMaxLifetime(cfg.Lifetime - time.Duration(rand.Int64N(int64(cfg.Lifetime/5)+1))) //nolint:gosec // spreads load, hides nothing
	e.pool.SetConnMaxIdleTime(cfg.IdleTime)
	notices, err := e.look(ctx)
	if err != nil {
		return nil, nil, errors.Join(refused(err), e.pool.Close())
	}
	return e, notices, nil
}

// parsePostgres reads the URL, and takes from it what is for the pool. No
// error quotes the URL: where it is broken nobody knows which part is the password.
func parsePostgres(cfg *Config) (*pgx.ConnConfig, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fault.Invalidf("invalid_database_url",
			"RAGBUS_DATABASE_URL cannot be parsed; special characters in its user and password must be percent-encoded")
	}
	q := u.Query()
	pooler, err := poolParameters(q, cfg)
	if err != nil {
		return nil, err
	}
	if pooler && !q.Has("default_query_exec_mode") {
		q.Set("default_query_exec_mode", "exec")
	}
	if !q.Has("connect_timeout") {
		q.Set("connect_timeout", strconv.Itoa(int(max(cfg.ConnectTimeout.Round(time.Second), time.Second)/time.Second)))
	}
	if !q.Has("application_name") {
		q.Set("application_name", "ragbus")
	}
	u.RawQuery = q.Encode()
	settings, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, fault.Invalidf("invalid_database_url",
			"RAGBUS_DATABASE_URL is not a valid Postgres URL: postgres://user:password@host:port/database?sslmode=…; check its port and its parameters")
	}
	return settings, nil
}

// poolParameters takes out of q what the server must not see, and reports
// whether the URL says that there is a pooler.
func poolParameters(q url.Values, cfg *Config) (pooler bool, err error) {
	bad := func(name, want string) error {
		return fault.Invalidf("invalid_database_url", "the parameter %s of RAGBUS_DATABASE_URL must be %s", name, want)
	}
	if text := q.Get("pool_max_conns"); text != "" {
		if cfg.Connections, err = strconv.Atoi(text); err != nil || cfg.Connections < 1 {
			return false, bad("pool_max_conns", "a number from 1")
		}
	}
	for name, field := range map[string]*time.Duration{
		"pool_max_conn_lifetime": &cfg.Lifetime, "pool_max_conn_idle_time": &cfg.IdleTime,
	} {
		if text := q.Get(name); text != "" {
			if *field, err = time.ParseDuration(text); err != nil || *field <= 0 {
				return false, bad(name, "a duration such as 30m")
			}
		}
	}
	if text := q.Get("pgbouncer"); text != "" {
		if pooler, err = strconv.ParseBool(text); err != nil {
			return false, bad("pgbouncer", "true or false")
		}
	}
	for _, name := range []string{"pool_max_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time", "pgbouncer"} {
		q.Del(name)
	}
	return pooler, nil
}

// look connects, and notes what the operator should know.
func (e *postgresEngine) look(ctx context.Context) ([]string, error) {
	var (
		version  int
		bypasses bool
		notices  []string
	)
	err := e.read(ctx, bounds{}, func(ctx context.Context, tx *Tx) error {
		_, err := tx.One(ctx, `select cast(current_setting('server_version_num') as bigint), rolsuper or rolbypassrls
			from pg_roles where rolname = current_user`, nil, &version, &bypasses)
		return err
	})
	if err != nil {
		return nil, err
	}
	if version > 0 && version/10000 < oldestPostgres {
		notices = append(notices, fmt.Sprintf("the database is Postgres %d; %d is the oldest version that is tested", version/10000, oldestPostgres))
	}
	if bypasses {
		notices = append(notices, "the database role bypasses row-level security, so the second wall between tenants is open; use a role that is neither superuser nor BYPASSRLS")
	}
	return notices, nil
}

func (e *postgresEngine) dialect() dialect {
	// Not to_regclass: it answers from a cache that is as old as the
	// transaction, which may have waited for another process's migration.
	return dialect{suffix: ".postgres.sql", hasTable: "select 1 from pg_tables where schemaname = any(current_schemas(false)) and tablename = $1"}
}

func (e *postgresEngine) close() error { return e.pool.Close() }

const (
	beginRead  = "begin read only isolation level repeatable read"
	beginWrite = "begin read write isolation level read committed"
	// maxAttempts is how often a transaction runs that others are in the way of.
	maxAttempts = 8
	// The pause before the n-th attempt is random up to firstPause·2ⁿ, and up to maxPause.
	firstPause = 2 * time.Millisecond
	maxPause   = 250 * time.Millisecond
)

func (e *postgresEngine) read(ctx context.Context, b bounds, fn Func) error {
	b.locks = [2]lock{}
	return e.transact(ctx, false, func() (bool, error) { return e.attempt(ctx, beginRead, b, fn) })
}

func (e *postgresEngine) write(ctx context.Context, b bounds, _ bool, fn Func) error {
	return e.transact(ctx, true, func() (bool, error) { return e.attempt(ctx, beginWrite, b, fn) })
}

// transact repeats a transaction as a whole: when its connection turned out
// to be dead before anything was done, as after a restart of the server, or
// when it is a write that others were in the way of.
func (e *postgresEngine) transact(ctx context.Context, writes bool, try func() (began bool, err error)) error {
	dead := 0
	for attempt := 1; ; attempt++ {
		began, err := try()
		switch {
		case err == nil:
			return nil
		case !began && isLost(err) && dead <= e.connections:
			// Each time one dead connection fewer is in the pool.
			dead++
			attempt--
			continue
		case attempt == maxAttempts || !isCollision(err) || began && !writes:
			return err
		}
		if !pause(ctx, attempt) {
			return err
		}
	}
}

func pause(ctx context.Context, attempt int) bool {
	timer := time.NewTimer(rand.N(min(firstPause<<attempt, maxPause))) //nolint:gosec // jitter
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt runs a transaction once. Began says whether fn may have run.
func (e *postgresEngine) attempt(ctx context.Context, begin string, b bounds, fn Func) (began bool, err error) {
	tx, err := e.begin(ctx, begin, b)
	if err != nil {
		return false, err
	}
	// Deferred, so that a panic in fn ends the transaction too.
	defer func() {
		if endErr := tx.end(ctx); endErr != nil && err == nil {
			err = endErr
		}
	}()
	if err := fn(ctx, &Tx{s: tx}); err != nil {
		return true, err
	}
	return true, tx.commit(ctx)
}

// begin takes a connection and starts a transaction on it, with all that
// it is to be bound by, in one exchange.
func (e *postgresEngine) begin(ctx context.Context, begin string, b bounds) (*postgresTx, error) {
	tx, err := e.take(ctx, b, begin == beginWrite)
	if err != nil {
		return nil, err
	}
	tx.timeout, tx.hurried = tx.remaining(ctx)
	if err := tx.script(ctx, begin+";"+b.settings(tx.timeout)); err != nil {
		return nil, errors.Join(tx.classify(err), tx.end(ctx))
	}
	return tx, nil
}

// take takes a connection for a transaction.
func (e *postgresEngine) take(ctx context.Context, b bounds, writes bool) (*postgresTx, error) {
	if err := ctx.Err(); err != nil {
		return nil, classify(err)
	}
	conn, err := e.connect(ctx, b)
	if err != nil {
		return nil, err
	}
	tx := &postgresTx{conn: conn, release: func() { e.inUse.Add(-1) }, limit: e.limit, patient: b.patient, writes: writes}
	err = conn.Raw(func(c any) error {
		tx.raw = c.(*stdlib.Conn).Conn() //nolint:forcetypeassert // it is the only driver of the pool
		return nil
	})
	if err != nil {
		return nil, errors.Join(tx.classify(err), tx.end(ctx))
	}
	return tx, nil
}

// connect takes a connection of the pool, or makes one.
func (e *postgresEngine) connect(ctx context.Context, b bounds) (*sql.Conn, error) {
	waiting := ctx
	// A timer costs a tenth of a small transaction: only who may have to wait needs one.
	if e.inUse.Add(1) > int64(e.connections) && !b.patient {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, e.patience)
		defer cancel()
	}
	conn, err := e.pool.Conn(waiting)
	if err == nil {
		return conn, nil
	}
	e.inUse.Add(-1)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, fault.Transientf("database_busy", "the database is busy; try again").WithCause(err)
	}
	return nil, classifyConnect(err)
}

// settings are the statements that bind a transaction: what it sees, how long
// its statements take, and what it takes turns at. All of them end with it.
func (b bounds) settings(timeout time.Duration) string {
	var s strings.Builder
	// A statement of its own, for the locks are to obey it.
	fmt.Fprintf(&s, "set local statement_timeout = %d;", timeout.Milliseconds())
	fmt.Fprintf(&s, "select set_config('idle_in_transaction_session_timeout', '%d', true), set_config('ragbus.tenant', %s, true), set_config('ragbus.all_tenants', '%t', true)",
		maxIdleInTransaction.Milliseconds(), quote(b.tenant), b.all)
	for _, l := range b.locks {
		switch {
		case l.kind == "":
		case l.shared:
			fmt.Fprintf(&s, ", pg_advisory_xact_lock_shared(%d)", l.key(b))
		default:
			fmt.Fprintf(&s, ", pg_advisory_xact_lock(%d)", l.key(b))
		}
	}
	return s.String()
}

// maxIdleInTransaction is how long the server keeps a transaction, and its
// locks, for a process that it no longer hears of.
const maxIdleInTransaction = time.Minute

// quote returns s as a literal, whatever standard_conforming_strings is.
func quote(s string) string {
	// NUL ends a message of the protocol; nothing that is stored has one.
	s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(q, `\`) {
		q = " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// errDropped tells the pool that a connection is of no more use.
var errDropped = driver.ErrBadConn
