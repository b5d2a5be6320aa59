package sqldb

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// groupsFree is how many groups are under way before others wait for one to end.
	groupsFree = 4
	// groupSize bounds a group. When as many wait, another group sets out.
	groupSize = 16
	// groupPatience is how long a group waits for a lock. Longer ones its
	// members wait for alone, each for its own.
	groupPatience = 100 * time.Millisecond
	// groupDeadline is the least time that a member of a group has left.
	groupDeadline = time.Second
)

// gathering runs the writes of callers who come together in one transaction:
// one exchange, one commit. Nobody waits for company: a caller sets out at
// once, unless groupsFree groups are under way already; whoever comes then
// gathers, and sets out with the next. It has no goroutine of its own, a group
// is led by one of its members.
//
// A group is undone as a whole when one of its statements fails. Its members
// then run again, alone, so that none suffers from another's failure.
type gathering struct {
	mu       sync.Mutex
	waiting  []*member
	underWay int
}

// member is a caller whose steps run in a group.
type member struct {
	ctx   context.Context //nolint:containedctx // a member is its caller's request, waiting
	b     bounds
	steps []Step
	// lead has a value when the member is to lead a group.
	lead chan struct{}
	// leads says that it leads one or is to, and taken that a group has it.
	// The gathering's mutex guards both.
	leads, taken bool
	// done is closed when its group is at its end. Then alone says that nothing
	// of it was done, and it is to run alone; err is how it ended otherwise.
	done  chan struct{}
	alone bool
	err   error
}

// writeSteps runs steps together with those of others who come at the same moment.
func (e *postgresEngine) writeSteps(ctx context.Context, b bounds, steps []Step) error {
	if !mayGather(ctx, b, steps) {
		return e.stepsAlone(ctx, b, true, steps)
	}
	g := &e.gathering
	m := &member{ctx: ctx, b: b, steps: steps, lead: make(chan struct{}, 1), done: make(chan struct{})}
	g.join(m)
	defer g.leave(m)
	for {
		select {
		case <-m.lead:
			if err := e.leadGroup(ctx, m); err != nil && g.withdraw(m) {
				return err
			}
			g.led(m)
		case <-m.done:
			if m.alone {
				return e.stepsAlone(ctx, b, true, steps)
			}
			return m.err
		case <-ctx.Done():
			if g.withdraw(m) {
				return classify(ctx.Err())
			}
			// It is under way, so it must be known what became of it.
			<-m.done
		}
	}
}

// mayGather reports whether steps may run in a group: with time left, so that
// the group need not hurry for them, and without a caller's function, which
// would run on another caller's goroutine.
func mayGather(ctx context.Context, b bounds, steps []Step) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && !b.patient && (!ok || time.Until(deadline) > groupDeadline) &&
		!slices.ContainsFunc(steps, func(s Step) bool { return s.Row != nil })
}

// join adds a member, who leads a group at once when there is room for one.
func (g *gathering) join(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, m)
	if g.underWay < groupsFree || len(g.waiting) >= groupSize {
		g.underWay++
		g.appoint(m)
	}
}

func (g *gathering) appoint(m *member) {
	m.leads = true
	m.lead <- struct{}{}
}

// withdraw takes a member out again, unless a group has it.
func (g *gathering) withdraw(m *member) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.taken {
		return false
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(w *member) bool { return w == m })
	return true
}

// take returns the next group.
func (g *gathering) take() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), groupSize)
	group := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	for _, m := range group {
		m.taken = true
	}
	return group
}

// scatter has all who wait but m run alone.
func (g *gathering) scatter(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(w *member) bool {
		if w == m {
			return false
		}
		w.taken, w.alone = true, true
		close(w.done)
		return true
	})
}

// led is what follows a group that m led: it leads another when that was not its own.
func (g *gathering) led(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !m.taken {
		g.appoint(m)
		return
	}
	g.hand(m)
}

// leave hands on the lead of a member who goes.
func (g *gathering) leave(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hand(m)
}

func (g *gathering) hand(m *member) {
	if !m.leads {
		return
	}
	m.leads = false
	if g.underWay > groupsFree && len(g.waiting) < groupSize {
		g.underWay--
		return
	}
	if i := slices.IndexFunc(g.waiting, func(w *member) bool { return !w.leads }); i >= 0 {
		g.appoint(g.waiting[i])
		return
	}
	g.underWay--
}

// leadGroup runs the next group. Its error is that of getting a connection,
// before any member was taken.
func (e *postgresEngine) leadGroup(ctx context.Context, m *member) error {
	tx, err := e.take(ctx, m.b, true)
	if err != nil {
		if ctx.Err() == nil {
			// Who waits behind it is not to try one after the other.
			e.gathering.scatter(m)
		}
		return err
	}
	group := e.gathering.take()
	if len(group) > 0 {
		tx.runGroup(ctx, group)
	}
	// What the connection is good for changes nothing for the group.
	_ = tx.end(ctx)
	for _, m := range group {
		close(m.done)
	}
	return nil
}

// runGroup runs a group in one transaction and tells each member its outcome.
func (t *postgresTx) runGroup(ctx context.Context, group []*member) {
	failed, err := t.groupSteps(ctx, group)
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

// groupSteps runs the statements of a group in one exchange. When it fails,
// failed is the first member whose outcome is not known to be good; -1 says
// that nothing was begun.
func (t *postgresTx) groupSteps(ctx context.Context, group []*member) (failed int, err error) {
	batch := &pgx.Batch{}
	t.timeout, t.hurried = t.remaining(group[0].ctx)
	for _, m := range group[1:] {
		left, hurried := t.remaining(m.ctx)
		t.timeout, t.hurried = min(t.timeout, left), t.hurried || hurried
	}
	binding := t.bindGroup(batch, group)
	// Each statement may take its time.
	left := t.timeout
	if !t.hurried {
		left *= time.Duration(batch.Len())
	}
	if err := t.setDeadline(max(left, groupDeadline)); err != nil {
		return -1, err
	}
	results := t.raw.SendBatch(context.WithoutCancel(ctx), batch)
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
		for range binding[i] {
			if _, err := results.Exec(); err != nil {
				if i == 0 && refusedBefore(err) {
					return -1, err
				}
				return i, err
			}
		}
		for k := range m.steps {
			if _, err := m.steps[k].read(results); err != nil {
				return i, err
			}
		}
	}
	return 0, nil
}

const (
	bindGroup  = bindWrite + ", set_config('lock_timeout', $4, true)"
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
	batch.Queue(bindGroup, strconv.FormatInt(t.timeout.Milliseconds(), 10), bound[0], bound[1], strconv.FormatInt(groupPatience.Milliseconds(), 10))
	for _, l := range groupLocks(group) {
		if l.shared {
			batch.Queue(takeShare, l.key)
		} else {
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
