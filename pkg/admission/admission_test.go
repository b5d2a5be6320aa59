package admission_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/admission"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/worker"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const size = 4

// hall is a window with its parts.
type hall struct {
	*admission.Window
	*brokertest.Broker
	store *sqlcatalog.Store
	crash *crash
}

// crash fails the effect that it is set to, once.
type crash struct {
	admission.Publisher
	catalog.Line

	mu   sync.Mutex
	next string
}

var errCrash = errors.New("crash")

func (c *crash) at(step string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == step {
		c.next = ""
		return errCrash
	}
	return nil
}

func (c *crash) Publish(ctx context.Context, e event.Event) error {
	if err := c.at("publish"); err != nil {
		return err
	}
	return c.Publisher.Publish(ctx, e)
}

func (c *crash) GivenOut(ctx context.Context, turns []catalog.Turn) error {
	if err := c.at("given out"); err != nil {
		return err
	}
	return c.Line.GivenOut(ctx, turns)
}

func open(t *testing.T, topology broker.TopologyConfig) *hall {
	t.Helper()
	b := brokertest.StartWith(t, topology)
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqldb.FileURL(filepath.Join(t.TempDir(), "catalog.db"))})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	store, err := sqlcatalog.Open(t.Context(), db)
	check(t, err)
	c := &crash{Publisher: b.Publisher, Line: store}
	w := admission.New(admission.Config{Size: size, Log: slog.New(slog.DiscardHandler)}, b.JS, c, c)
	return &hall{Window: w, Broker: b, store: store, crash: c}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func uploaded(tenant string, n int) event.Event {
	return event.New(tenant, time.Now(), event.DocumentUploaded{ID: fmt.Sprintf("d%03d", n), Generation: 1})
}

// queued and waiting count one tenant's uploads.
func (h *hall) queued(t *testing.T, tenant string) int {
	t.Helper()
	n, err := broker.NewBacklog(h.JS).Of(t.Context(), event.KindDocumentUploaded, tenant)
	check(t, err)
	return n
}

func (h *hall) waiting(t *testing.T, tenant string) int {
	t.Helper()
	turns, err := h.store.Waiting(t.Context(), tenant, catalog.Extract, 1000)
	check(t, err)
	return len(turns)
}

// works settles uploads as a worker does, until ctx ends, and tells whose.
func (h *hall) works(ctx context.Context, t *testing.T, each func(tenant, id string)) (wait func()) {
	t.Helper()
	cfg := worker.Config{Stream: broker.StreamIngest, Consumer: broker.ConsumerIngestorExtract, Slots: size, PullWait: 200 * time.Millisecond}
	deps := worker.Deps{Publisher: h.Window, Observer: h.Window, Log: slog.New(slog.DiscardHandler)}
	w, err := worker.New(h.JS, cfg, deps, worker.Handle(func(_ context.Context, d worker.Delivery[event.DocumentUploaded]) ([]event.Event, error) {
		each(d.Event.Tenant, d.Data.ID)
		return nil, nil
	}))
	check(t, err)
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{w.Run, h.Run} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return parts.Wait
}

func TestAWindowIsLetInAndTheRestWaits(t *testing.T) {
	t.Parallel()
	h := open(t, broker.TopologyConfig{})
	for n := range 10 {
		check(t, h.Publish(t.Context(), uploaded("acme", n)))
	}
	check(t, h.Publish(t.Context(), uploaded("other", 0)))
	// What is no work on record is let in whatever there is.
	check(t, h.Publish(t.Context(), event.New("acme", time.Now(), event.DocumentUploaded{DataRef: "file:///a"})))
	if q, w := h.queued(t, "acme"), h.waiting(t, "acme"); q != size+1 || w != 10-size {
		t.Errorf("%d in the queue, %d wait", q, w)
	}
	if q, w := h.queued(t, "other"), h.waiting(t, "other"); q != 1 || w != 0 {
		t.Errorf("of the other: %d in the queue, %d wait", q, w)
	}
}

func TestWhatTheServerRefusesWaits(t *testing.T) {
	t.Parallel()
	h := open(t, broker.TopologyConfig{IngestTenantQueue: 2})
	for n := range 5 {
		check(t, h.Publish(t.Context(), uploaded("acme", n)))
	}
	if q, w := h.queued(t, "acme"), h.waiting(t, "acme"); q != 2 || w != 3 {
		t.Errorf("%d in the queue, %d wait", q, w)
	}
}

// TestNobodyIsForgottenAtAFullWindow: many put work in while it is worked off,
// so that every publication meets a window that is just full or just not.
// Whatever the order, all of it is done, in order but for what was let in
// past the line.
func TestNobodyIsForgottenAtAFullWindow(t *testing.T) {
	t.Parallel()
	const gates, each = 8, 40
	h := open(t, broker.TopologyConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	seen := map[string]int{}
	wait := h.works(ctx, t, func(_, id string) {
		mu.Lock()
		defer mu.Unlock()
		if seen[id]++; len(seen) == gates*each {
			cancel()
		}
	})
	var uploads sync.WaitGroup
	for g := range gates {
		gate := admission.New(admission.Config{Size: size, Log: slog.New(slog.DiscardHandler)}, h.JS, h.store, h.Publisher)
		uploads.Go(func() {
			for n := range each {
				if err := gate.Publish(t.Context(), uploaded("acme", g*each+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	uploads.Wait()
	wait()
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != gates*each {
		t.Errorf("%d of %d were worked on; %d wait, %d in the queue", len(seen), gates*each, h.waiting(t, "acme"), h.queued(t, "acme"))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was worked on %d times", id, n)
		}
	}
}

// TestManyAtOnceKeepToTheWindow: publications and looks at the line that begin
// at the same moment do not all take the same room.
func TestManyAtOnceKeepToTheWindow(t *testing.T) {
	t.Parallel()
	const many = 16
	h := open(t, broker.TopologyConfig{})
	for n := range many {
		check(t, h.store.Wait(t.Context(), catalog.Turn{Tenant: "acme", ID: fmt.Sprintf("w%03d", n), Step: catalog.Extract, Number: 1}))
	}
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			if err := h.Publish(t.Context(), uploaded("acme", n)); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if err := h.Refill(t.Context(), "acme", catalog.Extract); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// Half a window may be let in on what was counted a moment ago.
	if q, w := h.queued(t, "acme"), h.waiting(t, "acme"); q < size || q > size+size/2 || q+w != 2*many {
		t.Errorf("%d in the queue, %d wait; want %d to %d, and %d in all", q, w, size, size+size/2, 2*many)
	}
}

// TestACrashAroundAPublicationGivesOutAgain: between the publication and the
// note of it, and before both.
func TestACrashAroundAPublicationGivesOutAgain(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"publish", "given out"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			h := open(t, broker.TopologyConfig{})
			for n := range 3 * size {
				check(t, h.Publish(t.Context(), uploaded("acme", n)))
			}
			s, err := h.JS.Stream(t.Context(), broker.StreamIngest)
			check(t, err)
			check(t, s.Purge(t.Context()))
			h.crash.next = step
			if err := h.Refill(t.Context(), "acme", catalog.Extract); !errors.Is(err, errCrash) {
				t.Fatalf("got %v", err)
			}
			check(t, h.Refill(t.Context(), "acme", catalog.Extract))
			if q := h.queued(t, "acme"); q != size {
				t.Errorf("%d in the queue, want %d", q, size)
			}
			// The same ones again are no others: the second half follows.
			check(t, s.Purge(t.Context()))
			check(t, h.Refill(t.Context(), "acme", catalog.Extract))
			check(t, h.Refill(t.Context(), "acme", catalog.Extract))
			if q, w := h.queued(t, "acme"), h.waiting(t, "acme"); q != size || w != 0 {
				t.Errorf("%d in the queue, %d wait; want %d and none", q, w, size)
			}
		})
	}
}

// TestWhatACrashForgotIsFound: work waits, nothing is in the queue whose end
// would bring it out, and nobody says anything.
func TestWhatACrashForgotIsFound(t *testing.T) {
	t.Parallel()
	h := open(t, broker.TopologyConfig{})
	for _, tenant := range []string{"acme", "other"} {
		for n := range 3 * size {
			check(t, h.store.Wait(t.Context(), catalog.Turn{Tenant: tenant, ID: fmt.Sprintf("d%03d", n), Step: catalog.Extract, Number: 1}))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	order := map[string][]string{}
	wait := h.works(ctx, t, func(tenant, id string) {
		mu.Lock()
		defer mu.Unlock()
		if order[tenant] = append(order[tenant], id); len(order["acme"])+len(order["other"]) == 6*size {
			cancel()
		}
	})
	wait()
	if len(order["acme"]) != 3*size || len(order["other"]) != 3*size {
		t.Errorf("done: %v", order)
	}
}
