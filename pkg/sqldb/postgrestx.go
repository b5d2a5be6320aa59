package sqldb

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/jackc/pgx/v5"

	"github.com/ragbus/ragbus/pkg/fault"
)

// postgresTx is a transaction on a connection of its own.
type postgresTx struct {
	conn *sql.Conn
	raw  *pgx.Conn
	// release says that the connection is the pool's again.
	release func()
	// limit is that of the engine, timeout what the server was told; hurried
	// says that the context's deadline was nearer than the limit.
	limit   time.Duration
	timeout time.Duration
	hurried bool
	patient bool
	writes  bool
	// spoilt says that the connection must not be used again.
	spoilt bool
}

// grace is how long after a statement's time the answer is waited for, which
// says that the server gave up. After it the connection counts as lost.
const grace = 500 * time.Millisecond

// key is a number for a lock, the same in every process. Two things with the
// same one only wait for each other without need.
func (l lock) key(b bounds) int64 {
	h := xxhash.New()
	for _, part := range []string{"ragbus", b.tenant, l.kind, l.id} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		_, _ = h.Write(size[:])
		_, _ = h.WriteString(part)
	}
	return int64(h.Sum64())
}

// remaining returns how long a statement may take from now on, 0 for as long
// as it likes, and whether that is because of ctx.
func (t *postgresTx) remaining(ctx context.Context) (time.Duration, bool) {
	limit := t.limit
	if t.patient {
		limit = 0
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return limit, false
	}
	left := max(time.Until(deadline), time.Millisecond)
	if limit != 0 && limit < left {
		return limit, false
	}
	return left, true
}

// statement returns the context of one statement, and what stops it. It does
// not end with ctx's cancellation, which would cost the connection: like
// SQLite's, ctx is looked at before each statement. The server keeps the time,
// and a deadline on the socket makes sure that a server that is gone is not
// waited for; a context that can end would take a goroutine or two for each
// statement, a third of all that a small one costs this process.
func (t *postgresTx) statement(ctx context.Context) (context.Context, func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, classify(err)
	}
	if t.patient {
		return ctx, t.hangUp, nil
	}
	left, _ := t.remaining(ctx)
	if err := t.setDeadline(left); err != nil {
		return nil, nil, err
	}
	return context.WithoutCancel(ctx), t.hangUp, nil
}

func (t *postgresTx) setDeadline(left time.Duration) error {
	if err := t.raw.PgConn().Conn().SetDeadline(time.Now().Add(left + grace)); err != nil {
		return unreachable(err)
	}
	return nil
}

// hangUp makes reading what is left of an answer fail at once, and with it
// the connection.
func (t *postgresTx) hangUp() { _ = t.raw.PgConn().Conn().SetDeadline(time.Unix(1, 0)) }

func (t *postgresTx) exec(ctx context.Context, query string, args []any) (int64, error) {
	ctx, _, err := t.statement(ctx)
	if err != nil {
		return 0, err
	}
	res, err := t.conn.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *postgresTx) execAll(ctx context.Context, query string, rows [][]any) error {
	ctx, _, err := t.statement(ctx)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for _, args := range rows {
		batch.Queue(query, args...)
	}
	return t.raw.SendBatch(ctx, batch).Close()
}

func (t *postgresTx) one(ctx context.Context, query string, args, dest []any) error {
	ctx, _, err := t.statement(ctx)
	if err != nil {
		return err
	}
	return t.conn.QueryRowContext(ctx, query, args...).Scan(dest...)
}

func (t *postgresTx) query(ctx context.Context, query string, args []any) (*sql.Rows, func(), error) {
	ctx, stop, err := t.statement(ctx)
	if err != nil {
		return nil, nil, err
	}
	rows, err := t.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	return rows, stop, nil
}

// script sends the text as it is; the server runs statement after statement.
func (t *postgresTx) script(ctx context.Context, text string) error {
	ctx, _, err := t.statement(ctx)
	if err != nil {
		return err
	}
	return t.raw.PgConn().Exec(ctx, text).Close()
}

// errIgnored is what a write gets that went on after an error.
var errIgnored = errors.New("sqldb: a statement failed and its error was not returned")

// commit ends the transaction for good. It is not kept from it by the end of
// ctx, as nothing can go wrong any more but the connection.
func (t *postgresTx) commit(ctx context.Context) error {
	if t.raw.PgConn().TxStatus() == 'E' {
		return fault.As(fault.Permanent, errIgnored)
	}
	if err := t.setDeadline(t.limit); err != nil {
		return err
	}
	return t.classify(t.raw.PgConn().Exec(context.WithoutCancel(ctx), "commit").Close())
}

// end rolls back what was not committed, and gives the connection back. A
// connection that cannot even do that is closed, which rolls back as well.
func (t *postgresTx) end(ctx context.Context) error {
	defer t.release()
	ctx = context.WithoutCancel(ctx)
	err := t.conn.Raw(func(any) error {
		if t.raw == nil || t.raw.IsClosed() {
			return errDropped
		}
		if t.raw.PgConn().TxStatus() != 'I' {
			if t.setDeadline(t.limit) != nil || t.raw.PgConn().Exec(ctx, "rollback").Close() != nil {
				return errDropped
			}
		}
		if t.spoilt || t.raw.PgConn().Conn().SetDeadline(time.Time{}) != nil {
			return errDropped
		}
		return nil
	})
	if errors.Is(err, errDropped) || errors.Is(err, sql.ErrConnDone) {
		err = nil
	}
	if closeErr := t.conn.Close(); closeErr != nil && !errors.Is(closeErr, sql.ErrConnDone) && !errors.Is(closeErr, errDropped) {
		err = errors.Join(err, closeErr)
	}
	return classify(err)
}

// classify adds what only the transaction knows to what the error says.
func (t *postgresTx) classify(err error) error {
	if err == nil {
		return nil
	}
	late := t.hurried && (sqlState(err) == "57014" || errors.Is(err, os.ErrDeadlineExceeded))
	switch {
	case late:
		return fault.As(fault.Transient, errors.Join(context.DeadlineExceeded, err))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return unreachable(err)
	}
	switch sqlState(err) {
	case "57014": // query_canceled
		return fault.Transientf("database_busy", "the database took too long; try again").WithCause(err)
	case "25006": // read_only_sql_transaction
		if t.writes {
			// The server became a standby: the next connection may find the new primary.
			t.spoilt = true
			return fault.Transientf("database_read_only", "the database takes no writes at the moment; try again").WithCause(err)
		}
	}
	return classify(err)
}
