//go:build !nosqlite

package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"modernc.org/sqlite"

	"github.com/ragbus/ragbus/pkg/fault"
)

// sqliteEngine is one SQLite file: a writer and several readers.
type sqliteEngine struct {
	writes  *sql.DB
	reads   *sql.DB
	writer  *writer
	readers chan *session
}

func openSQLite(ctx context.Context, path string, cfg Config) (_ *sqliteEngine, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("resolve path: %w", err)
	}
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	e := &sqliteEngine{readers: make(chan *session, cfg.Readers)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	// One connection writes, the other copies the log.
	e.writes, err = openPool(path, cfg, 2, "synchronous(normal)", "wal_autocheckpoint(0)", "journal_size_limit("+strconv.Itoa(journalLimit)+")")
	if err != nil {
		return nil, err
	}
	s, err := firstSession(ctx, e.writes, cfg.BusyTimeout)
	if err != nil {
		return nil, err
	}
	copies, err := newSession(ctx, e.writes)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	e.writer = startWriter(context.WithoutCancel(ctx), s, newCheckpointer(copies), cfg)
	e.reads, err = openPool(path, cfg, cfg.Readers, "query_only(1)", "cache_size(-4000)")
	if err != nil {
		return nil, err
	}
	for range cfg.Readers {
		s, err := newSession(ctx, e.reads)
		if err != nil {
			return nil, err
		}
		e.readers <- s
	}
	return e, nil
}

// createPrivate makes the file before SQLite does, so that nobody else on the
// machine can read it; the log and the shared memory file inherit its mode.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's own path
	if err != nil {
		return fault.Invalidf("database_unusable", "the database file cannot be opened for writing").WithCause(err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create database file: %w", err)
	}
	return nil
}

func openPool(path string, cfg Config, size int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{}
	q.Set("_txlock", "immediate")
	q.Add("_pragma", "busy_timeout("+strconv.FormatInt(cfg.BusyTimeout.Milliseconds(), 10)+")")
	q.Add("_pragma", "journal_mode(wal)")
	q.Add("_pragma", "foreign_keys(1)")
	q.Add("_pragma", "temp_store(memory)")
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, fault.Invalidf("database_unusable", "the database's path cannot be used").WithCause(err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

// firstSession makes the connection that turns the log on. When several
// processes create a file together SQLite does not let them wait for that.
func firstSession(ctx context.Context, pool *sql.DB, patience time.Duration) (*session, error) {
	deadline := time.Now().Add(patience)
	for attempt := 1; ; attempt++ {
		s, err := newSession(ctx, pool)
		if code, _ := fault.Public(err); err == nil || code != "database_busy" || time.Now().After(deadline) || !pause(ctx, min(attempt, 6)) {
			return s, err
		}
	}
}

func (e *sqliteEngine) read(ctx context.Context, _ bounds, fn Func) (err error) {
	s, err := e.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { e.readers <- s }()
	if err := s.run(ctx, "begin"); err != nil {
		return err
	}
	// Deferred, so that a panic in fn does not leave the snapshot open.
	defer func() {
		if endErr := s.run(ctx, "commit"); endErr != nil && err == nil {
			err = endErr
		}
	}()
	return fn(ctx, &Tx{s: s})
}

func (e *sqliteEngine) write(ctx context.Context, _ bounds, synced bool, fn Func) error {
	return e.writer.do(ctx, synced, fn)
}

// steps needs no transaction around a single statement that reads: each is one.
func (e *sqliteEngine) steps(ctx context.Context, b bounds, writes bool, steps []Step) error {
	switch {
	case writes:
		return e.writer.do(ctx, false, runSteps(steps))
	case len(steps) > 1:
		return e.read(ctx, b, runSteps(steps))
	}
	s, err := e.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { e.readers <- s }()
	return runSteps(steps)(ctx, &Tx{s: s})
}

func (e *sqliteEngine) reader(ctx context.Context) (*session, error) {
	select {
	case s := <-e.readers:
		return s, nil
	case <-ctx.Done():
		return nil, classify(ctx.Err())
	}
}

func (e *sqliteEngine) dialect() dialect {
	return dialect{suffix: ".sqlite.sql", hasTable: "select 1 from sqlite_master where type = 'table' and name = $1"}
}

func (e *sqliteEngine) close() error {
	var errs []error
	if e.writer != nil {
		errs = append(errs, e.writer.stop())
	}
	for len(e.readers) > 0 {
		s := <-e.readers
		errs = append(errs, s.close())
	}
	for _, pool := range []*sql.DB{e.reads, e.writes} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}
