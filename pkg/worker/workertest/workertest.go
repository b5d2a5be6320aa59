// Package workertest runs handlers in tests: one on one event without a
// broker, or a whole worker on a broker of the test's own.
package workertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/worker"
)

// patience bounds every wait of a test.
const patience = 30 * time.Second

// Handle runs a route's handler on the first attempt of one event, without a broker.
func Handle(t testing.TB, r worker.Route, e event.Event) worker.Trial {
	t.Helper()
	return worker.Try(t.Context(), r, e, worker.Config{}, 1)
}

// Settled is a delivery that was settled.
type Settled struct {
	worker.Info
	worker.Outcome
}

// Recorder is an observer that remembers what was settled. The zero value is ready.
type Recorder struct {
	mu      sync.Mutex
	started int
	settled []Settled
	changed chan struct{}
}

// Started implements [worker.Observer].
func (r *Recorder) Started(worker.Info) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started++
	r.wake()
}

// Settled implements [worker.Observer].
func (r *Recorder) Settled(i worker.Info, o worker.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled = append(r.settled, Settled{i, o})
	r.wake()
}

func (r *Recorder) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// All returns what was settled so far, in that order.
func (r *Recorder) All() []Settled {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Settled(nil), r.settled...)
}

// AwaitStarted returns when n deliveries were started, and fails the test when that takes too long.
func (r *Recorder) AwaitStarted(t testing.TB, n int) {
	t.Helper()
	r.awaitf(t, func() bool { return r.started >= n }, "%d deliveries to start", n)
}

// Await returns the first n settled deliveries that match (nil: any), and
// fails the test when that takes too long.
func (r *Recorder) Await(t testing.TB, n int, match func(Settled) bool) []Settled {
	t.Helper()
	var found []Settled
	r.awaitf(t, func() bool {
		found = found[:0]
		for _, s := range r.settled {
			if match == nil || match(s) {
				found = append(found, s)
			}
		}
		return len(found) >= n
	}, "%d deliveries to be settled", n)
	return found[:n]
}

func (r *Recorder) awaitf(t testing.TB, done func() bool, format string, args ...any) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		r.mu.Lock()
		if done() {
			r.mu.Unlock()
			return
		}
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("waited %s for "+format+"; settled: %+v", append(append([]any{patience}, args...), r.All())...)
		}
	}
}

// Harness is a running worker on a broker.
type Harness struct {
	Recorder
	Broker *brokertest.Broker
	Worker *worker.Worker

	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// Start runs a worker on a connection of its own to b. Stop, or the test's cleanup, ends it.
func Start(t testing.TB, b *brokertest.Broker, cfg worker.Config, routes ...worker.Route) *Harness {
	t.Helper()
	return StartWith(t, b, cfg, worker.Deps{}, routes...)
}

// StartWith is [Start] with dependencies; the observer is the harness.
func StartWith(t testing.TB, b *brokertest.Broker, cfg worker.Config, deps worker.Deps, routes ...worker.Route) *Harness {
	t.Helper()
	h := &Harness{Broker: b, t: t, done: make(chan struct{})}
	deps.Observer = h
	w, err := worker.New(b.Connect().JetStream(), cfg, deps, routes...)
	if err != nil {
		t.Fatal(err)
	}
	h.Worker = w
	ctx, cancel := context.WithCancel(t.Context())
	h.cancel = cancel
	go func() {
		defer close(h.done)
		h.err = w.Run(ctx)
	}()
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Logf("worker: %v", err)
		}
	})
	return h
}

// Stop stops the worker, as often as it is called, and returns what Run returned.
func (h *Harness) Stop() error {
	h.t.Helper()
	h.cancel()
	return h.Wait()
}

// Wait returns what Run returned, without stopping it.
func (h *Harness) Wait() error {
	h.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-h.done:
		return h.err
	case <-limit.C:
		h.t.Fatalf("the worker did not end within %s", patience)
		return nil
	}
}

// Publish publishes events on the harness's broker.
func (h *Harness) Publish(events ...event.Event) {
	h.t.Helper()
	for _, e := range events {
		if err := h.Broker.Publisher.Publish(h.t.Context(), e); err != nil {
			h.t.Fatal(err)
		}
	}
}
