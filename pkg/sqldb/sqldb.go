// Package sqldb opens the SQL database of the record, runs reads and writes
// on it, migrates it and classifies its errors.
//
// The SQL that callers pass is the portable subset that SQLite and Postgres
// both run: ids are text, times are bigint microseconds, JSON is text,
// placeholders are $1, $2, …; "insert … on conflict … returning" is there,
// now() and arrays are not. Constraints are immediate, never deferred. Text is
// valid UTF-8 without NUL, which Postgres refuses.
//
// SQLite has a single writer: concurrent writes are queued to it and
// committed in groups, so that many callers share the cost of one commit. When
// one fails, its group runs again with each in a savepoint of its own, so that
// none suffers from another's failure. Reads run beside it on connections of
// their own.
//
// Postgres runs each read and write in a transaction of a pooled connection;
// steps (see below) that come at the same moment share one. Nothing lasts longer than the transaction, neither settings nor locks, so
// that a pooler may sit between which gives each transaction another
// connection (PgBouncer, Supavisor, Neon's); see [Config] for what such a
// pooler needs.
//
// What every question needs is written as steps ([Scope.WriteSteps]), which
// Postgres is asked in one exchange, and what was read is kept by [Marks],
// where this process is the only one to write.
package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/fault"
)

// The defaults of [Config].
const (
	DefaultReaders          = 4
	DefaultQueue            = 1024
	DefaultBatch            = 128
	DefaultBusyTimeout      = 5 * time.Second
	DefaultConnections      = 10
	DefaultLifetime         = 30 * time.Minute
	DefaultIdleTime         = 5 * time.Minute
	DefaultStatementTimeout = 30 * time.Second
	DefaultConnectTimeout   = 5 * time.Second
)

// Config says which database to open and how much it may do at once. Zero
// fields take the defaults above.
type Config struct {
	// URL names the database: "sqlite:" and a file's path (see [FileURL]), or
	// a Postgres URL, postgres://user:password@host:port/database?….
	//
	// The parameters of a Postgres URL are those of libpq, and of pgx:
	// default_query_exec_mode=exec does without named prepared statements, for
	// poolers that do not keep them (pgbouncer=true means the same);
	// simple_protocol does without the extended protocol too.
	// pool_max_conns, pool_max_conn_lifetime and pool_max_conn_idle_time
	// override Connections, Lifetime and IdleTime.
	URL string

	// Sole says that nobody but this DB writes to the SQLite file while it is
	// open, because the caller holds a lock that says so: [Marks] tell then what
	// has changed. It means nothing for Postgres, which is there to be shared.
	Sole bool
	// Readers is how many reads of SQLite run at once; more wait.
	Readers int
	// Queue is how many writes may wait for SQLite's writer; more block their callers.
	Queue int
	// Batch is how many writes one commit of SQLite holds at most.
	Batch int
	// BusyTimeout is how long to wait for another process that holds SQLite's write lock.
	BusyTimeout time.Duration

	// Connections is how many connections to Postgres are open at most; more
	// transactions wait.
	Connections int
	// Lifetime is after how long a connection to Postgres is replaced, a
	// little less or more, so that a fleet follows a failover or a change of
	// address without all replacing theirs at once.
	Lifetime time.Duration
	// IdleTime is after how long without use a connection to Postgres is closed.
	IdleTime time.Duration
	// StatementTimeout is how long Postgres works on one statement, or waits
	// for a lock, at most; a transaction waits as long for a free connection,
	// and at least for ConnectTimeout. A context's deadline that is nearer
	// counts instead.
	StatementTimeout time.Duration
	// ConnectTimeout is how long connecting to Postgres takes at most, unless
	// the URL has connect_timeout.
	ConnectTimeout time.Duration
}

// FileURL returns the [Config] URL of a SQLite file.
func FileURL(path string) string { return sqliteScheme + path }

const sqliteScheme = "sqlite:"

// Func is the body of a read or write. It must use the ctx and tx it is
// given, must not keep tx, and must not call the DB again: a write would wait
// for itself. Returning an error undoes everything it wrote, and after the
// error of a statement it must return one.
//
// A write's Func may be called again from the beginning, after all that it
// wrote was undone: when Postgres found it in the way of another, or when a
// write failed that SQLite was to commit together with it. What it leaves in
// variables around it, it sets and does not add to; and it does nothing but
// that and write to the database.
type Func func(ctx context.Context, tx *Tx) error

// DB is an open database. All methods are safe for concurrent use.
type DB struct {
	engine  engine
	notices []string
	marks   marksOfParts

	mu      sync.RWMutex
	closed  bool
	running sync.WaitGroup
}

// engine is what a database product must do. Reads see one snapshot. A
// synced write has reached the disk when it returns; another one survives the
// end of the process, but perhaps not of the machine's power.
type engine interface {
	read(ctx context.Context, b bounds, fn Func) error
	write(ctx context.Context, b bounds, synced bool, fn Func) error
	steps(ctx context.Context, b bounds, writes bool, steps []Step) error
	dialect() dialect
	close() error
}

// dialect is what migrations must know of a product.
type dialect struct {
	// suffix ends the names of migration files that only this product runs.
	suffix string
	// hasTable is a query with a row when there is a table of the name $1.
	hasTable string
}

// ErrClosed is returned, as a Transient fault, by a DB that was closed.
var ErrClosed = errors.New("sqldb: the database is closed")

// Open opens the database: a SQLite file, which is created (mode 0600) when
// it is not there, in a directory that must exist; or a Postgres database,
// which must exist and answer. What is wrong with the settings, a refused
// password or an unknown database is an Invalid fault that says so without
// the password; a server that cannot be reached is a Transient one. The caller
// closes the DB.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	if path, ok := strings.CutPrefix(cfg.URL, sqliteScheme); ok && path != "" {
		e, err := openSQLite(ctx, path, cfg)
		if err != nil {
			return nil, fmt.Errorf("open sqlite database: %w", err)
		}
		return &DB{engine: e, marks: marksOfParts{sole: cfg.Sole}}, nil
	}
	if isPostgres(cfg.URL) {
		e, notices, err := openPostgres(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("open postgres database: %w", err)
		}
		return &DB{engine: e, notices: notices}, nil
	}
	return nil, CheckURL(cfg.URL)
}

// CheckURL returns what is wrong with the form of a URL, as an Invalid fault
// without the password. Nothing is opened.
func CheckURL(raw string) error {
	if path, ok := strings.CutPrefix(raw, sqliteScheme); ok && path != "" {
		return nil
	}
	if isPostgres(raw) {
		cfg := Config{URL: raw}.withDefaults()
		_, err := parsePostgres(&cfg)
		return err
	}
	return fault.Invalidf("invalid_database_url",
		"the database URL %q is not known; use %s<path of a file> or postgres://user:password@host:port/database", config.URL(raw), sqliteScheme)
}

func (c Config) withDefaults() Config {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&c.Readers, DefaultReaders}, {&c.Queue, DefaultQueue}, {&c.Batch, DefaultBatch}, {&c.Connections, DefaultConnections},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.BusyTimeout, DefaultBusyTimeout},
		{&c.Lifetime, DefaultLifetime},
		{&c.IdleTime, DefaultIdleTime},
		{&c.StatementTimeout, DefaultStatementTimeout},
		{&c.ConnectTimeout, DefaultConnectTimeout},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return c
}

// Notices returns what the operator should know about the database as it was
// found when it was opened, such as a role that row-level security does not
// bind. Each is a sentence for the log.
func (db *DB) Notices() []string { return db.notices }

// Read runs fn on one snapshot of the database. Writing in it fails. Rows of
// tables that have tenants need a scope, see [DB.Tenant].
func (db *DB) Read(ctx context.Context, fn Func) error { return db.doRead(ctx, bounds{}, fn) }

// Write runs fn in a transaction of its own and returns when it is committed
// or undone. It survives the end of the process; after a loss of power the
// last moments may be missing, though never in part. A ctx that ends before
// fn starts makes Write return at once, and fn never runs; once it runs,
// statements after the end of ctx fail and fn is undone. Rows of tables that
// have tenants need a scope, see [DB.Tenant].
//
// On SQLite fn runs on the goroutine that serves all writers: it holds up the
// others for as long as it takes, so it computes nothing that could be
// computed before. It must not call [runtime.Goexit], as testing's FailNow
// does. A panic in it is undone and continues in the caller of Write.
//
// On Postgres writes run beside each other and see what others have committed
// before each statement (read committed); a write that decides by what it
// has read takes a lock ([Scope.Alone]) or compares when it writes. Every
// commit is synced. When the connection is lost while committing, nobody
// knows the outcome: the error is Transient, and repeating must be harmless.
func (db *DB) Write(ctx context.Context, fn Func) error {
	return db.doWrite(ctx, bounds{}, false, fn)
}

// WriteSynced is [DB.Write] for what was promised to somebody: when it
// returns, the write has reached the disk. On SQLite it costs one fsync, which
// the writes committed together share.
func (db *DB) WriteSynced(ctx context.Context, fn Func) error {
	return db.doWrite(ctx, bounds{}, true, fn)
}

func (db *DB) doRead(ctx context.Context, b bounds, fn Func) error {
	if err := db.enter(); err != nil {
		return err
	}
	defer db.running.Done()
	return db.engine.read(ctx, b, fn)
}

func (db *DB) doWrite(ctx context.Context, b bounds, synced bool, fn Func) error {
	if err := db.enter(); err != nil {
		return err
	}
	defer db.running.Done()
	return db.engine.write(ctx, b, synced, fn)
}

// Ready returns nil when the database answers.
func (db *DB) Ready(ctx context.Context) error {
	return db.Tenant("").ReadSteps(ctx, Step{Query: "select 1"})
}

// Close refuses new work, waits for what is running or queued, and closes the
// database. Closing again does nothing.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	db.mu.Unlock()
	db.running.Wait()
	return db.engine.close()
}

func (db *DB) enter() error {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.closed {
		return fault.As(fault.Transient, ErrClosed)
	}
	db.running.Add(1)
	return nil
}
