package admission

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/worker"
)

const (
	// lookEvery is how often, on average, all lines are looked at for what a
	// crash has forgotten, and linesAtOnce how many at a time.
	lookEvery   = 5 * time.Second
	linesAtOnce = 200
	// refillsAtOnce is how many lines of different tenants move at once.
	refillsAtOnce = 4
	// rounds bounds how long one line has the turn.
	rounds = 4
	// restForEach is how long Run lets room come together, for each piece of work
	// in the window: it lasts longer, unless they take less than that.
	restForEach = 600 * time.Microsecond
)

// place is one tenant's line of one step.
type place struct {
	tenant string
	step   catalog.Step
}

// refills are the lines in front of which room was made. There are at most as
// many as tenants times steps.
type refills struct {
	wake chan struct{}

	mu  sync.Mutex
	due map[place]struct{}
}

func newRefills() *refills {
	return &refills{wake: make(chan struct{}, 1), due: make(map[place]struct{})}
}

func (r *refills) add(p place) {
	r.mu.Lock()
	r.due[p] = struct{}{}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *refills) take() map[place]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	due := r.due
	r.due = make(map[place]struct{})
	return due
}

// Started implements [worker.Observer].
func (w *Window) Started(info worker.Info) { w.cfg.Observer.Started(info) }

// Settled implements [worker.Observer]: what left the queue made room.
func (w *Window) Settled(info worker.Info, outcome worker.Outcome) {
	w.cfg.Observer.Settled(info, outcome)
	if outcome.SettleErr != nil || outcome.Verdict.Action != worker.Done && outcome.Verdict.Action != worker.Bury {
		return
	}
	kind, tenant, err := event.ParseSubject(info.Subject)
	if err != nil {
		return
	}
	if step, ok := stepOf(kind); ok {
		w.refills.add(place{tenant, step})
	}
}

// Run moves the lines until ctx ends: those where room was made at once, and
// every few seconds all of them. Any number of replicas do.
func (w *Window) Run(ctx context.Context) error {
	var after place
	for {
		pause := time.NewTimer(lookEvery/2 + rand.N(lookEvery)) //nolint:gosec // jitter is no secret
		for again := true; again; {
			select {
			case <-ctx.Done():
				pause.Stop()
				return nil
			case <-w.refills.wake:
				rest := time.NewTimer(w.restTime())
				select {
				case <-ctx.Done():
				case <-rest.C:
				}
				rest.Stop()
			case <-pause.C:
				again = false
				next, err := w.look(ctx, after)
				if err != nil && ctx.Err() == nil {
					w.cfg.Log.WarnContext(ctx, "the lines of waiting work will be looked at again", "error", err)
				}
				after = next
			}
			if err := w.refillDue(ctx); err != nil && ctx.Err() == nil {
				w.cfg.Log.WarnContext(ctx, "waiting work will be given out later", "error", err)
			}
		}
	}
}

// restTime is how long Run waits before it looks at lines with room.
func (w *Window) restTime() time.Duration {
	return time.Duration(min(w.cfg.Size, w.cfg.Batches, DefaultWindow)) * restForEach
}

// look marks the next lines as due and returns how far it got.
func (w *Window) look(ctx context.Context, after place) (place, error) {
	ctx, cancel := context.WithTimeout(ctx, lineTimeout)
	defer cancel()
	lines, err := w.line.Lines(ctx, after.tenant, after.step, linesAtOnce)
	if err != nil {
		return after, err //nolint:wrapcheck // says what
	}
	for _, l := range lines {
		w.refills.add(place{l.Tenant, l.Step})
	}
	if len(lines) < linesAtOnce {
		return place{}, nil
	}
	last := lines[len(lines)-1]
	return place{last.Tenant, last.Step}, nil
}

func (w *Window) refillDue(ctx context.Context) error {
	var group errgroup.Group
	group.SetLimit(refillsAtOnce)
	for p := range w.refills.take() {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, lineTimeout)
			defer cancel()
			return w.Refill(ctx, p.tenant, p.step)
		})
	}
	return group.Wait() //nolint:wrapcheck // says what
}

// Refill gives waiting work of one tenant out, as long as there is room for
// it. It may be called at any time, by any number at once: who comes while
// another is about to look leaves it to that one.
func (w *Window) Refill(ctx context.Context, tenant string, step catalog.Step) error {
	p := place{tenant, step}
	leave, first, err := w.doors.look(ctx, p)
	if err != nil || !first {
		return err
	}
	defer leave()
	for range rounds {
		left, err := w.fill(ctx, p)
		if err != nil || left == 0 {
			return err
		}
	}
	return nil
}

// fill gives out what there is room for and returns how much room is left for
// what else may wait; 0 when nothing does. The caller is in the door.
func (w *Window) fill(ctx context.Context, p place) (left int, err error) {
	if first, err := w.line.Waiting(ctx, p.tenant, p.step, 1); err != nil || len(first) == 0 {
		return 0, err //nolint:wrapcheck // says what
	}
	size := w.Size(p.step)
	n, err := w.count(ctx, p)
	if err != nil {
		return 0, err
	}
	// A quarter at a time; the rest of the window is work whose end leads
	// here again.
	room := size - n
	if room <= 0 || room < size/4 {
		return 0, nil
	}
	turns, err := w.line.Waiting(ctx, p.tenant, p.step, room)
	if err != nil {
		return 0, err //nolint:wrapcheck // says what
	}
	whole := len(turns) < room
	left, err = w.give(ctx, turns, room)
	w.counts.note(p, w.cfg.Now(), size-left)
	if whole {
		left = 0
	}
	return left, err
}

// give gives out what there is room for, in order, notes that it did, and
// returns how much room is left.
func (w *Window) give(ctx context.Context, turns []catalog.Turn, room int) (left int, err error) {
	done := make([]catalog.Turn, 0, len(turns))
	for _, t := range turns {
		if room <= 0 {
			break
		}
		var whole bool
		if t.Step == catalog.Embed {
			whole, err = w.giveBatches(ctx, t, &room)
		} else {
			room--
			err = w.out.Publish(ctx, eventOf(t, w.cfg.Now()))
			whole = err == nil
		}
		if whole {
			done = append(done, t)
		}
		if err != nil {
			break
		}
	}
	if errors.Is(err, broker.ErrSubjectFull) {
		room, err = 0, nil
	}
	if err != nil {
		err = fmt.Errorf("give out waiting work: %w", err)
	}
	return room, errors.Join(err, w.line.GivenOut(ctx, done))
}

// giveBatches gives out a document's batches and reports whether those were all.
func (w *Window) giveBatches(ctx context.Context, t catalog.Turn, room *int) (bool, error) {
	ref := catalog.Ref{Tenant: t.Tenant, ID: t.ID, Generation: t.Number}
	doc, open, err := w.line.OpenFrom(ctx, ref, t.Next, *room+1)
	if errors.Is(err, catalog.ErrStale) || fault.Is(err, fault.NotFound) {
		return true, nil // nobody waits for it
	}
	if err != nil {
		return false, err //nolint:wrapcheck // says what
	}
	next := t.Next
	for _, b := range open {
		if *room <= 0 {
			err = w.line.Advance(ctx, t, next)
			return false, err //nolint:wrapcheck // says what
		}
		*room--
		data := event.ChunksReady{ID: t.ID, Generation: t.Number, Version: doc.SHA256, Batch: b.Number, From: b.From, To: b.To}
		if err := w.out.Publish(ctx, salted(event.New(t.Tenant, w.cfg.Now(), data), t.Salt)); err != nil {
			return false, errors.Join(err, w.line.Advance(ctx, t, next))
		}
		next = b.Number + 1
	}
	return true, nil
}
