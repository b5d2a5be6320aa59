package sqldb

import (
	"context"
	"slices"
	"sync"
	"time"
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

// gathering runs the steps of callers who come together in one transaction:
// one exchange, one commit; those that write in one gathering, those that read
// in another. Nobody waits for company: a caller sets out at once, unless
// groupsFree groups are under way already; whoever comes then gathers, and sets
// out with the next. It has no goroutine of its own, a group is led by one of
// its members.
//
// A group that writes is undone as a whole when one of its statements fails.
// Its members then run again, alone, so that none suffers from another's
// failure. Of a group that reads, those do that have been shown nothing yet.
type gathering struct {
	writes bool

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
	// of it was done, and it is to run alone; else err is how it ended, or
	// panicked what its Row did, which is its caller's.
	done     chan struct{}
	alone    bool
	err      error
	panicked any
}

// stepsTogether runs steps together with those of others who come at the same moment.
func (e *postgresEngine) stepsTogether(ctx context.Context, g *gathering, b bounds, steps []Step) error {
	if !g.takes(ctx, b, steps) {
		return e.stepsAlone(ctx, b, g.writes, steps)
	}
	m := &member{ctx: ctx, b: b, steps: steps, lead: make(chan struct{}, 1), done: make(chan struct{})}
	g.join(m)
	defer g.leave(m)
	for {
		select {
		case <-m.lead:
			if err := e.leadGroup(ctx, g, m); err != nil && g.withdraw(m) {
				return err
			}
			g.led(m)
		case <-m.done:
			if m.panicked != nil {
				panic(m.panicked)
			}
			if m.alone {
				return e.stepsAlone(ctx, b, g.writes, steps)
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

// takes reports whether steps may run in a group: with time left, so that the
// group need not hurry for them, and, when they write, without a caller's
// function, whose failure would undo nothing.
func (g *gathering) takes(ctx context.Context, b bounds, steps []Step) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && !b.patient && (!ok || time.Until(deadline) > groupDeadline) &&
		!(g.writes && slices.ContainsFunc(steps, func(s Step) bool { return s.Row != nil }))
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
