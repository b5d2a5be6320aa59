// Package sqldb opens the SQL database of the record, runs reads and writes
// on it, migrates it and classifies its errors.
//
// The SQL that callers pass is the portable subset that SQLite and Postgres
// both run: ids are text, times are bigint microseconds, JSON is text,
// placeholders are $1, $2, …; "insert … on conflict … returning" is there,
// now() and arrays are not. Constraints are immediate, never deferred.
//
// SQLite is the one engine today. It has a single writer: concurrent writes
// are queued to it and committed in groups, each in its own savepoint, so
// that many callers share the cost of one commit and none suffers from
// another's failure. Reads run beside it on connections of their own.
package sqldb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

// The defaults of [Config].
const (
	DefaultReaders     = 4
	DefaultQueue       = 1024
	DefaultBatch       = 128
	DefaultBusyTimeout = 5 * time.Second
)

// Config says which database to open and how much it may do at once. Zero
// fields take the defaults above.
type Config struct {
	// URL names the database: "sqlite:" and a file's path. See [FileURL].
	URL string
	// Readers is how many reads run at once; more wait.
	Readers int
	// Queue is how many writes may wait for the writer; more block their callers.
	Queue int
	// Batch is how many writes one commit holds at most.
	Batch int
	// BusyTimeout is how long to wait for another process that holds the write lock.
	BusyTimeout time.Duration
}

// FileURL returns the [Config] URL of a SQLite file.
func FileURL(path string) string { return sqliteScheme + path }

const sqliteScheme = "sqlite:"

// Func is the body of a read or write. It must use the ctx and tx it is
// given, must not keep tx, and must not call the DB again: a write would wait
// for itself. Returning an error undoes everything it wrote.
type Func func(ctx context.Context, tx *Tx) error

// DB is an open database. All methods are safe for concurrent use.
type DB struct {
	engine engine

	mu      sync.RWMutex
	closed  bool
	running sync.WaitGroup
}

// engine is what a database product must do. Reads see one snapshot. A
// synced write has reached the disk when it returns; another one survives the
// end of the process, but perhaps not of the machine's power.
type engine interface {
	read(ctx context.Context, fn Func) error
	write(ctx context.Context, synced bool, fn Func) error
	close() error
}

// ErrClosed is returned, as a Transient fault, by a DB that was closed.
var ErrClosed = errors.New("sqldb: the database is closed")

// Open opens the database, creating a SQLite file (mode 0600) that is not
// there; its directory must exist. The caller closes the DB.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	path, ok := strings.CutPrefix(cfg.URL, sqliteScheme)
	if !ok || path == "" {
		return nil, fault.Invalidf("invalid_database_url", "the database URL %q is not known; use %s<path of a file>", redact(cfg.URL), sqliteScheme)
	}
	e, err := openSQLite(ctx, path, cfg)
	if err != nil {
		return nil, fmt.Errorf("open sqlite database: %w", err)
	}
	return &DB{engine: e}, nil
}

func (c Config) withDefaults() Config {
	if c.Readers <= 0 {
		c.Readers = DefaultReaders
	}
	if c.Queue <= 0 {
		c.Queue = DefaultQueue
	}
	if c.Batch <= 0 {
		c.Batch = DefaultBatch
	}
	if c.BusyTimeout <= 0 {
		c.BusyTimeout = DefaultBusyTimeout
	}
	return c
}

// redact keeps a password in a mistaken URL out of the error.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}

// Read runs fn on one snapshot of the database. Writing in it fails.
func (db *DB) Read(ctx context.Context, fn Func) error {
	if err := db.enter(); err != nil {
		return err
	}
	defer db.running.Done()
	return db.engine.read(ctx, fn)
}

// Write runs fn in a transaction of its own and returns when it is committed
// or undone. It survives the end of the process; after a loss of power the
// last moments may be missing, though never in part. A ctx that ends before
// fn starts makes Write return at once, and fn never runs; once it runs,
// statements after the end of ctx fail and fn is undone.
//
// fn runs on the goroutine that serves all writers: it holds up the others
// for as long as it takes, so it computes nothing that could be computed
// before. It must not call [runtime.Goexit], as testing's FailNow does. A
// panic in it is undone and continues in the caller of Write.
func (db *DB) Write(ctx context.Context, fn Func) error {
	return db.doWrite(ctx, false, fn)
}

// WriteSynced is [DB.Write] for what was promised to somebody: when it
// returns, the write has reached the disk. It costs one fsync, which the
// writes committed together share.
func (db *DB) WriteSynced(ctx context.Context, fn Func) error {
	return db.doWrite(ctx, true, fn)
}

func (db *DB) doWrite(ctx context.Context, synced bool, fn Func) error {
	if err := db.enter(); err != nil {
		return err
	}
	defer db.running.Done()
	return db.engine.write(ctx, synced, fn)
}

// Ready returns nil when the database answers.
func (db *DB) Ready(ctx context.Context) error {
	return db.Read(ctx, func(ctx context.Context, tx *Tx) error {
		var one int
		_, err := tx.One(ctx, "select 1", nil, &one)
		return err
	})
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
