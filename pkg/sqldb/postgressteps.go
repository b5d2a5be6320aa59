package sqldb

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What binds a transaction of steps, see [bounds.settings]. They are sent
// before the steps and in one go with them, and all of it is one transaction:
// without a begin, the server ends it where the client says that it has sent
// everything, and undoes it all at the first error
// (postgresql.org/docs/current/protocol-flow.html, "Pipelining").
// There is no limit on how long it is idle: it never waits for its client.
const (
	bindWrite = "select set_config('statement_timeout', $1, true), set_config('ragbus.tenant', $2, true), set_config('ragbus.all_tenants', $3, true)"
	bindRead  = bindWrite + ", set_config('transaction_read_only', 'on', true)"
	takeLock  = "select pg_advisory_xact_lock(cast($1 as bigint))"
	takeShare = "select pg_advisory_xact_lock_shared(cast($1 as bigint))"
)

func (e *postgresEngine) steps(ctx context.Context, b bounds, writes bool, steps []Step) error {
	if writes {
		return e.stepsTogether(ctx, &e.writing, b, steps)
	}
	return e.stepsTogether(ctx, &e.reading, b, steps)
}

// stepsAlone runs steps in a transaction of their own.
func (e *postgresEngine) stepsAlone(ctx context.Context, b bounds, writes bool, steps []Step) error {
	return e.transact(ctx, writes, func() (began bool, err error) {
		tx, err := e.take(ctx, b, writes)
		if err != nil {
			return false, err
		}
		defer func() {
			if endErr := tx.end(ctx); endErr != nil && err == nil {
				err = endErr
			}
		}()
		tx.timeout, tx.hurried = tx.remaining(ctx)
		began, err = tx.steps(ctx, b, steps)
		return began, tx.classify(err)
	})
}

// steps runs the statements in one exchange. Began says whether something of
// it may have been seen by others: what was written, or the rows by the caller.
func (t *postgresTx) steps(ctx context.Context, b bounds, steps []Step) (began bool, err error) {
	batch := &pgx.Batch{}
	bound := b.bind(batch, t)
	for i := range steps {
		batch.Queue(steps[i].Query, steps[i].Args...)
	}
	// Each statement may take its time.
	left := t.timeout
	if !t.hurried {
		left *= time.Duration(batch.Len())
	}
	if err := t.setDeadline(left); err != nil {
		return false, err
	}
	results := t.raw.SendBatch(context.WithoutCancel(ctx), batch)
	defer func() {
		// Close waits for the commit.
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
	}()
	for range bound {
		if _, err := results.Exec(); err != nil {
			return t.writes && !refusedBefore(err), err
		}
	}
	for i := range steps {
		delivered, err := steps[i].read(results)
		began = began || delivered
		if err != nil {
			return began || t.writes, err
		}
	}
	return true, nil
}

// refusedBefore reports whether err, which came instead of the first result,
// says that the server has not begun with what it was sent. A connection that
// just ended does not: it may have ended after the commit.
func refusedBefore(err error) bool {
	return strings.HasPrefix(sqlState(err), "57P") || pgconn.SafeToRetry(err)
}

// bind queues what binds the transaction and returns how many statements that are.
func (b bounds) bind(batch *pgx.Batch, t *postgresTx) int {
	text := bindRead
	if t.writes {
		text = bindWrite
	}
	batch.Queue(text, strconv.FormatInt(t.timeout.Milliseconds(), 10), strings.ReplaceAll(b.tenant, "\x00", "\uFFFD"), strconv.FormatBool(b.all))
	for _, l := range b.locks {
		switch {
		case l.kind == "" || !t.writes:
		case l.shared:
			batch.Queue(takeShare, l.key(b))
		default:
			batch.Queue(takeLock, l.key(b))
		}
	}
	return batch.Len()
}

// read reads the result of a step. Delivered says whether the caller has got a row.
func (s *Step) read(results pgx.BatchResults) (delivered bool, err error) {
	if s.Found != nil {
		err = results.QueryRow().Scan(s.Dest...)
		if errors.Is(err, pgx.ErrNoRows) {
			*s.Found = false
			return false, nil
		}
		*s.Found = err == nil
		return false, err
	}
	if s.Row == nil {
		tag, err := results.Exec()
		s.changed(tag.RowsAffected())
		return false, err
	}
	rows, err := results.Query()
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		delivered = true
		if err := s.Row(rows.Scan); err != nil {
			return true, err
		}
	}
	return delivered, rows.Err()
}
