package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// maxStatements bounds the prepared statements of one connection. Texts are
// constants of the program, or come in a few sizes, so that it is not met.
const maxStatements = 512

// Tx runs statements inside a read or write. It is for one goroutine. Errors
// are classified.
type Tx struct {
	s statements
}

// statements is what a database product does with single statements.
type statements interface {
	exec(ctx context.Context, query string, args []any) (int64, error)
	execAll(ctx context.Context, query string, rows [][]any) error
	// one returns sql.ErrNoRows when there is none.
	one(ctx context.Context, query string, args, dest []any) error
	// query also returns what stops the statement before its end.
	query(ctx context.Context, query string, args []any) (*sql.Rows, func(), error)
	script(ctx context.Context, text string) error
	classify(err error) error
}

// Exec runs a statement and returns how many rows it changed.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	n, err := tx.s.exec(ctx, query, args)
	return n, tx.s.classify(err)
}

// ExecAll runs a statement once for each list of arguments, in order, and
// fails with the first that fails. It is for many: Postgres is asked once for
// all of them, without waiting for each answer.
func (tx *Tx) ExecAll(ctx context.Context, query string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	return tx.s.classify(tx.s.execAll(ctx, query, rows))
}

// One scans the first row of a query into dest and reports whether there was one.
func (tx *Tx) One(ctx context.Context, query string, args []any, dest ...any) (bool, error) {
	err := tx.s.one(ctx, query, args, dest)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, tx.s.classify(err)
	}
	return true, nil
}

// cancelEvery is after how many rows [Tx.Each] looks at its context.
const cancelEvery = 64

// Each calls row for every row of a query, in order, until row fails. Scan
// copies the row's columns to its arguments; it may be called once for each
// row. Row must not use the Tx: the query has not ended.
func (tx *Tx) Each(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) (err error) {
	rows, stop, err := tx.s.query(ctx, query, args)
	if err != nil {
		return tx.s.classify(err)
	}
	defer func() {
		if err != nil {
			stop() // Before the close, which would read what is left.
		}
		if closeErr := rows.Close(); closeErr != nil && err == nil {
			err = tx.s.classify(closeErr)
		}
	}()
	for n := 1; rows.Next(); n++ {
		if err := row(rows.Scan); err != nil {
			return err
		}
		if n%cancelEvery == 0 && ctx.Err() != nil {
			return classify(ctx.Err())
		}
	}
	return tx.s.classify(rows.Err())
}

// script runs several statements, separated by semicolons, without preparing them.
func (tx *Tx) script(ctx context.Context, text string) error {
	return tx.s.classify(tx.s.script(ctx, text))
}

// detach takes the end of ctx away from a single statement. SQLite answers an
// interrupted write by undoing the whole transaction, which other callers'
// writes share; and each statement that can be interrupted costs two
// goroutines. The end is looked at before each statement instead: they are
// short, for every query has its index.
func detach(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// session is a connection with its prepared statements, used by one goroutine
// at a time. Preparing takes SQLite several times as long as running.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func newSession(ctx context.Context, pool *sql.DB) (*session, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, classify(err)
	}
	return &session{conn: conn, stmts: make(map[string]*sql.Stmt)}, nil
}

func (s *session) exec(ctx context.Context, query string, args []any) (int64, error) {
	stmt, err := s.prepare(ctx, query) //nolint:sqlclosecheck // the session keeps and closes it
	if err != nil {
		return 0, err
	}
	res, err := stmt.ExecContext(detach(ctx), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (s *session) execAll(ctx context.Context, query string, rows [][]any) error {
	for _, args := range rows {
		if _, err := s.exec(ctx, query, args); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) one(ctx context.Context, query string, args, dest []any) error {
	stmt, err := s.prepare(ctx, query) //nolint:sqlclosecheck // the session keeps and closes it
	if err != nil {
		return err
	}
	return stmt.QueryRowContext(detach(ctx), args...).Scan(dest...)
}

func (s *session) query(ctx context.Context, query string, args []any) (*sql.Rows, func(), error) {
	stmt, err := s.prepare(ctx, query) //nolint:sqlclosecheck // the session keeps and closes it
	if err != nil {
		return nil, nil, err
	}
	rows, err := stmt.QueryContext(detach(ctx), args...)
	return rows, func() {}, err
}

func (s *session) script(ctx context.Context, text string) error {
	_, err := s.conn.ExecContext(detach(ctx), text)
	return err
}

func (s *session) classify(err error) error { return classify(err) }

func (s *session) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, classify(err)
	}
	if stmt, ok := s.stmts[query]; ok {
		return stmt, nil
	}
	if len(s.stmts) >= maxStatements {
		if err := s.forget(); err != nil {
			return nil, err
		}
	}
	stmt, err := s.conn.PrepareContext(detach(ctx), query)
	if err != nil {
		return nil, fmt.Errorf("prepare statement: %w", classify(err))
	}
	s.stmts[query] = stmt
	return stmt, nil
}

// run executes a control statement such as begin or commit.
func (s *session) run(ctx context.Context, query string) error {
	ctx = detach(ctx)
	stmt, err := s.prepare(ctx, query) //nolint:sqlclosecheck // the session keeps and closes it
	if err != nil {
		return err
	}
	_, err = stmt.ExecContext(ctx)
	return classify(err)
}

func (s *session) forget() error {
	var errs []error
	for query, stmt := range s.stmts {
		errs = append(errs, stmt.Close())
		delete(s.stmts, query)
	}
	return classify(errors.Join(errs...))
}

func (s *session) close() error {
	return errors.Join(s.forget(), classify(s.conn.Close()))
}
