// Package admission lets ingestion work into the queue, a window of each
// tenant's at a time. The queue is one line for all: work that comes to its
// end stands behind at most a window of every other tenant's work, however
// much that tenant has. The rest waits on record ([catalog.Line]), in order,
// and follows when there is room.
//
// The broker counts what a tenant has in the queue and in work. Whoever finds
// no room puts the work on record and looks once more; whoever makes room, by
// settling a delivery, looks at the record. So of two that meet at a full
// window at least one sees the other, and work waits only while there is some
// in the queue whose end will bring it out. What a crash forgets is found
// within seconds by any replica's [Window.Run].
//
// The window is kept to by those who publish through it. Each counts and adds
// before the next does; where there was plenty of room a moment ago it adds
// without counting, which may exceed the window by half of it, and so may
// several processes at once. The bound behind it, of all that one tenant has in
// the queue, is the server's (broker.TopologyConfig.IngestTenantQueue).
package admission

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/worker"
)

// DefaultWindow is how much work of one kind a tenant has in the queue and in
// work when nobody says otherwise: enough for eight replicas of four slots,
// little enough to stand behind.
const DefaultWindow = 32

// MaxWindow is the largest window that one look at a line fills.
const MaxWindow = 1000

// lineTimeout bounds what follows a publication that found no room. It goes on
// when the caller has left: the work is accepted.
const lineTimeout = 10 * time.Second

// Config holds what a window depends on.
type Config struct {
	// Size is the window; 0 means [DefaultWindow].
	Size int
	// Batches is the window of batches to embed; 0 means Size.
	Batches int
	// Now is the clock; nil means the system's.
	Now func() time.Time
	// Log takes what goes wrong in Run. Required.
	Log *slog.Logger
	// Observer is told of deliveries after the window; nil for nobody.
	Observer worker.Observer
}

// Publisher stores events on the broker. A *[broker.Publisher] is one.
type Publisher interface {
	Publish(ctx context.Context, e event.Event) error
}

// Window lets work in. It is safe for concurrent use. As a [worker.Observer]
// it learns where room was made.
type Window struct {
	cfg     Config
	line    catalog.Line
	backlog *broker.Backlog
	out     Publisher
	refills *refills
	counts  *counts
	doors   *doors
}

var (
	_ worker.Publisher = (*Window)(nil)
	_ worker.Observer  = (*Window)(nil)
)

// New returns a window in front of a publisher.
func New(cfg Config, js jetstream.JetStream, line catalog.Line, out Publisher) *Window {
	if cfg.Size <= 0 {
		cfg.Size = DefaultWindow
	}
	if cfg.Batches <= 0 {
		cfg.Batches = cfg.Size
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Observer == nil {
		cfg.Observer = worker.Unobserved{}
	}
	return &Window{cfg: cfg, line: line, backlog: broker.NewBacklog(js), out: out, refills: newRefills(), counts: newCounts(), doors: newDoors()}
}

// Size returns the window of one kind of work.
func (w *Window) Size(step catalog.Step) int {
	if step == catalog.Embed {
		return w.cfg.Batches
	}
	return w.cfg.Size
}

// Publish stores an event, or puts its work on record to follow when there is
// room: both are a success. What is no work of the record's is stored as it
// is, whatever room there is.
func (w *Window) Publish(ctx context.Context, e event.Event) error {
	t, ok := turnOf(e)
	if !ok {
		return w.out.Publish(ctx, e) //nolint:wrapcheck // names the event
	}
	if t.Step == catalog.Embed && t.Next >= w.cfg.Batches {
		// Of a document's batches the first ones come first.
		return w.enter(ctx, t)
	}
	in, err := w.letIn(ctx, place{t.Tenant, t.Step}, e)
	if err != nil || in {
		return err
	}
	return w.Wait(ctx, t)
}

// letIn stores an event if there is room for one more, and reports whether it
// did. Where there was plenty a moment ago it does not ask again.
func (w *Window) letIn(ctx context.Context, p place, e event.Event) (bool, error) {
	if !w.counts.plenty(p, w.cfg.Now(), w.Size(p.step)/2) {
		leave, err := w.doors.enter(ctx, p)
		if err != nil {
			return false, err
		}
		defer leave()
		n, err := w.count(ctx, p)
		if err != nil || n >= w.Size(p.step) {
			return false, err
		}
		w.counts.note(p, w.cfg.Now(), n+1)
	}
	err := w.out.Publish(ctx, e)
	if errors.Is(err, broker.ErrSubjectFull) {
		return false, nil
	}
	return err == nil, err //nolint:wrapcheck // names the event
}

// count asks the broker how much there is in a place.
func (w *Window) count(ctx context.Context, p place) (int, error) {
	return w.backlog.Of(ctx, kindOf(p.step), p.tenant) //nolint:wrapcheck // says what
}

// Wait puts work on record without looking for room first. It follows when
// there is.
func (w *Window) Wait(ctx context.Context, t catalog.Turn) error {
	if err := w.enter(ctx, t); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lineTimeout)
	defer cancel()
	// What filled the window may have ended meanwhile, and nobody saw the turn.
	if err := w.Refill(ctx, t.Tenant, t.Step); err != nil {
		w.cfg.Log.WarnContext(ctx, "waiting work will be given out later", "error", err)
	}
	return nil
}

// enter is Wait for a caller whose process runs the window: Run looks.
func (w *Window) enter(ctx context.Context, t catalog.Turn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lineTimeout)
	defer cancel()
	if err := w.line.Wait(ctx, t); err != nil {
		return fmt.Errorf("wait for room in the queue: %w", err)
	}
	w.refills.add(place{t.Tenant, t.Step})
	return nil
}

// Yields puts work that has got in past the window back in line, and reports
// whether it did: when more than a window is in the queue.
func (w *Window) Yields(ctx context.Context, t catalog.Turn) (bool, error) {
	n, err := w.backlog.Of(ctx, kindOf(t.Step), t.Tenant)
	if err != nil || n <= w.Size(t.Step) {
		return false, err //nolint:wrapcheck // says what
	}
	return true, w.Wait(ctx, t)
}
