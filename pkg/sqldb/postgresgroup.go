package sqldb

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// leadGroup runs the next group of a gathering. Its error is that of getting a
// connection, before any member was taken.
func (e *postgresEngine) leadGroup(ctx context.Context, g *gathering, m *member) error {
	tx, err := e.take(ctx, m.b, g.writes)
	if err != nil {
		if ctx.Err() == nil {
			// Who waits behind it is not to try one after the other.
			g.scatter(m)
		}
		return err
	}
	group := g.take()
	switch {
	case len(group) == 0:
	case g.writes:
		tx.writeGroup(ctx, group)
	default:
		tx.readGroup(ctx, group)
	}
	// What the connection is good for changes nothing for the group.
	_ = tx.end(ctx)
	for _, m := range group {
		close(m.done)
	}
	return nil
}

// writeGroup runs a group in one transaction and tells each member its outcome.
func (t *postgresTx) writeGroup(ctx context.Context, group []*member) {
	failed, err := t.writeAll(ctx, group)
	if err == nil {
		return
	}
	// An answer says that the server has undone everything; that it has begun
	// nothing says the same.
	undone := sqlState(err) != "" && !isLost(err) || failed == -1
	again := len(group) > 1 || failed == -1 || sqlState(err) == "55P03" || isCollision(err)
	hurried := len(group) == 1 && t.hurried
	for i, m := range group {
		switch {
		case undone && again:
			m.alone = true
		case i >= failed:
			t.hurried = hurried || m.ctx.Err() != nil
			m.err = t.classify(err)
		}
	}
}

// writeAll runs the statements of a group in one exchange. When it fails,
// failed is the first member whose outcome is not known to be good; -1 says
// that nothing was begun.
func (t *postgresTx) writeAll(ctx context.Context, group []*member) (failed int, err error) {
	results, binding, err := t.sendGroup(ctx, group)
	if err != nil {
		return -1, err
	}
	defer func() {
		// Close waits for the commit, which is everybody's: without it nobody's is good.
		closeErr := results.Close()
		if err == nil {
			err = closeErr
		}
		if closeErr != nil || sqlState(err) != "" {
			failed = min(failed, 0)
		}
	}()
	for i, m := range group {
		if err := skip(results, binding[i]); err != nil {
			if i == 0 && refusedBefore(err) {
				return -1, err
			}
			return i, err
		}
		for k := range m.steps {
			if _, err := m.steps[k].read(results); err != nil {
				return i, err
			}
		}
	}
	return 0, nil
}

// readGroup runs a group in one transaction and tells each member its outcome.
// What a member has read is good whatever comes after it.
func (t *postgresTx) readGroup(ctx context.Context, group []*member) {
	results, binding, err := t.sendGroup(ctx, group)
	if err == nil {
		defer func() { _ = results.Close() }()
	}
	for i, m := range group {
		if err == nil {
			err = skip(results, binding[i])
		}
		if err != nil {
			m.alone = true
			continue
		}
		var shown, own bool
		if shown, own, err = m.read(results); err == nil {
			continue
		}
		if m.alone = !shown; shown {
			m.err = t.classify(err)
		}
		if own {
			err = nil
		}
	}
}

// read reads the results of a member's steps. Shown says whether its caller has
// got a row, own that the error, or a panic, is of the caller's own making and
// that what comes after can be read.
func (m *member) read(results pgx.BatchResults) (shown, own bool, err error) {
	for k := range m.steps {
		step := m.steps[k]
		if step.Row != nil {
			row := step.Row
			step.Row = func(scan func(...any) error) (rowErr error) {
				defer func() {
					if m.panicked = recover(); m.panicked != nil {
						rowErr = errPanicked
					}
					own = rowErr != nil
				}()
				return row(scan)
			}
		}
		delivered, err := step.read(results)
		shown = shown || delivered
		if err != nil {
			if own && skip(results, len(m.steps)-k-1) != nil {
				own = false
			}
			return shown, own, err
		}
	}
	return shown, false, nil
}

var errPanicked = errors.New("sqldb: a Row panicked")

// skip reads the results of n statements that have none for anybody.
func skip(results pgx.BatchResults, n int) error {
	for range n {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	return nil
}

// sendGroup sends all statements of a group. It returns how many results come
// before those of each member's steps.
func (t *postgresTx) sendGroup(ctx context.Context, group []*member) (pgx.BatchResults, []int, error) {
	t.timeout, t.hurried = t.remaining(group[0].ctx)
	for _, m := range group[1:] {
		left, hurried := t.remaining(m.ctx)
		t.timeout, t.hurried = min(t.timeout, left), t.hurried || hurried
	}
	batch := &pgx.Batch{}
	binding := t.bindGroup(batch, group)
	// Each statement may take its time.
	left := t.timeout
	if !t.hurried {
		left *= time.Duration(batch.Len())
	}
	if err := t.setDeadline(max(left, groupDeadline)); err != nil {
		return nil, nil, err
	}
	return t.raw.SendBatch(context.WithoutCancel(ctx), batch), binding, nil
}

const (
	bindGroup  = ", set_config('lock_timeout', $4, true)"
	bindMember = "select set_config('ragbus.tenant', $1, true), set_config('ragbus.all_tenants', $2, true)"
)

// bindGroup queues all statements of a group: what binds it, the locks of all,
// and for each member what it sees, unless that is what the one before sees, and
// its steps. It returns how many statements come before the steps of each.
func (t *postgresTx) bindGroup(batch *pgx.Batch, group []*member) []int {
	sees := func(b bounds) [2]any {
		return [2]any{strings.ReplaceAll(b.tenant, "\x00", "\uFFFD"), strconv.FormatBool(b.all)}
	}
	bound := sees(group[0].b)
	text := bindRead
	if t.writes {
		text = bindWrite
	}
	batch.Queue(text+bindGroup, strconv.FormatInt(t.timeout.Milliseconds(), 10), bound[0], bound[1], strconv.FormatInt(groupPatience.Milliseconds(), 10))
	for _, l := range groupLocks(group) {
		switch {
		case !t.writes:
		case l.shared:
			batch.Queue(takeShare, l.key)
		default:
			batch.Queue(takeLock, l.key)
		}
	}
	binding := make([]int, len(group))
	binding[0] = batch.Len()
	for i, m := range group {
		if now := sees(m.b); now != bound {
			bound = now
			batch.Queue(bindMember, bound[0], bound[1])
			binding[i]++
		}
		for k := range m.steps {
			batch.Queue(m.steps[k].Query, m.steps[k].Args...)
		}
	}
	return binding
}

type groupLock struct {
	key    int64
	shared bool
}

// groupLocks returns the locks of a group in one order for all groups, so that
// none has what another waits for.
func groupLocks(group []*member) []groupLock {
	var locks []groupLock
	for _, m := range group {
		for _, l := range m.b.locks {
			if l.kind != "" {
				locks = append(locks, groupLock{l.key(m.b), l.shared})
			}
		}
	}
	slices.SortFunc(locks, func(a, b groupLock) int {
		switch {
		case a.key != b.key:
			return cmp.Compare(a.key, b.key)
		case a.shared == b.shared:
			return 0
		case b.shared:
			return -1
		}
		return 1
	})
	return slices.CompactFunc(locks, func(a, b groupLock) bool { return a.key == b.key })
}
