package worker_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/pkg/worker/workertest"
)

func away() error {
	return fmt.Errorf("search: %w", fault.Transientf("store_away", "the store is away").Away().WithCause(errors.New("refused")))
}

// TestWorkWaitsForAPartThatIsAway: longer than it has attempts, longer than
// one may take, and longer than the broker waits for a sign of life.
func TestWorkWaitsForAPartThatIsAway(t *testing.T) {
	t.Parallel()
	b := brokertest.StartWith(t, shortAck())
	cfg := quick()
	cfg.Timeout, cfg.StuckAfter = 300*time.Millisecond, 300*time.Millisecond
	began := time.Now()
	var runs atomic.Int32
	h := workertest.Start(t, b, cfg, worker.Handle(func(_ context.Context, d embedDelivery) (events, error) {
		if n := int(runs.Add(1)); d.Attempt != n {
			t.Errorf("run %d is told that it is attempt %d", n, d.Attempt)
		}
		if time.Since(began) < 1500*time.Millisecond {
			return nil, away()
		}
		return indexed(d), nil
	}))
	h.Publish(job(0))
	got := h.Await(t, 1, nil)
	if got[0].Verdict.Action != worker.Done || got[0].Attempt != 1 || got[0].Stuck || runs.Load() <= int32(cfg.MaxAttempts) {
		t.Errorf("after %d runs: %+v", runs.Load(), got[0])
	}
	if n := b.Messages(broker.StreamIngest); n != 0 || len(deadLetters(t, b)) != 0 {
		t.Errorf("%d messages are left, %d letters", n, len(deadLetters(t, b)))
	}
}

func TestWorkWaitsNoLongerThanItIsWorthDoing(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	var told atomic.Int32
	h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
		return nil, away()
	}).Buried(func(_ context.Context, d embedDelivery, _ worker.Burial) (events, error) {
		told.Store(int32(d.Attempt))
		return nil, nil
	}))
	e := job(0)
	e.Deadline = time.Now().Add(400 * time.Millisecond)
	h.Publish(e)
	h.Await(t, 1, with(worker.Bury))
	// Frames of a later attempt must not be older than those that were sent.
	if n := told.Load(); n < 2 {
		t.Errorf("the burial is told as attempt %d", n)
	}
}

func TestWorkWaitsNoLongerThanItMayBeOld(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
		return nil, away()
	}).Within(worker.Limits{MaxAge: 300 * time.Millisecond}))
	h.Publish(job(0))
	// How many runs fit before it is too old is the machine's affair.
	h.Await(t, 1, with(worker.Bury))
}

func TestUrgentWorkThatIsOldDoesNotWait(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
		return nil, away()
	}).Urgent(func(event.ChunksReady) bool { return true }))
	h.Publish(job(0))
	got := h.Await(t, 3, nil)
	if first := got[0]; first.Verdict.Action != worker.Retry || first.Took < 9*time.Second {
		t.Errorf("urgent work that could still wait: %+v", first)
	}
	if last := got[2]; last.Verdict.Action != worker.Bury || last.Took > 5*time.Second {
		t.Errorf("urgent work that has waited: %+v", last)
	}
}

func TestWorkThatWaitsIsHandedBackByAStop(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	cfg := quick()
	cfg.PullWait, cfg.Grace = 100*time.Millisecond, 200*time.Millisecond
	h := workertest.Start(t, b, cfg, worker.Handle(func(context.Context, embedDelivery) (events, error) { return nil, away() }))
	h.Publish(job(0))
	h.AwaitStarted(t, 1)
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
	h.Await(t, 1, with(worker.HandBack))
	if n := b.Messages(broker.StreamIngest); n != 1 {
		t.Errorf("%d messages are left", n)
	}
}
