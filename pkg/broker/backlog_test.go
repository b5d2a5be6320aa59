package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

func upload(tenant string, n int) event.Event {
	return event.New(tenant, time.Now(), event.DocumentUploaded{ID: fmt.Sprint("d", n), Generation: 1})
}

// narrow gives the ingestion queue a bound for each tenant.
func narrow(t *testing.T, b *brokertest.Broker, bound int64) jetstream.StreamConfig {
	t.Helper()
	if err := broker.Ensure(t.Context(), b.JS, broker.NewTopology(broker.TopologyConfig{IngestTenantQueue: bound})); err != nil {
		t.Fatal(err)
	}
	s, err := b.JS.Stream(t.Context(), broker.StreamIngest)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

func TestTheQueueOfOneTenantIsFull(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	narrow(t, b, 3)
	for n := range 3 {
		if err := b.Publisher.Publish(t.Context(), upload("acme", n)); err != nil {
			t.Fatal(err)
		}
	}
	err := b.Publisher.Publish(t.Context(), upload("acme", 3))
	code, _ := fault.Public(err)
	if !errors.Is(err, broker.ErrSubjectFull) || code != "queue_full" || fault.RetryAfter(err) <= 0 {
		t.Errorf("one more: %v", err)
	}
	// What is there already is no more; another kind and another tenant have room.
	deletion := event.New("acme", time.Now(), event.DocumentDeleted{ID: "d0", Generation: 2})
	for _, e := range []event.Event{upload("acme", 0), deletion, upload("other", 0)} {
		if err := b.Publisher.Publish(t.Context(), e); err != nil {
			t.Errorf("%s: %v", e.Subject(), err)
		}
	}
	backlog := broker.NewBacklog(b.JS)
	for tenant, want := range map[string]int{"acme": 3, "other": 1, "nobody": 0} {
		if n, err := backlog.Of(t.Context(), event.KindDocumentUploaded, tenant); err != nil || n != want {
			t.Errorf("%s has %d in the queue, %v; want %d", tenant, n, err, want)
		}
	}
	// What was refused is not taken for a duplicate later.
	narrow(t, b, 4)
	receipt, err := b.Publisher.Send(t.Context(), upload("acme", 3))
	if err != nil || receipt.Duplicate {
		t.Errorf("later: %+v, %v", receipt, err)
	}
}

func TestTheQueueAsAWholeIsFull(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	topology := broker.NewTopology(broker.TopologyConfig{IngestMaxMessages: 2, IngestTenantQueue: 2})
	if err := broker.Ensure(t.Context(), b.JS, topology); err != nil {
		t.Fatal(err)
	}
	var err error
	for n := range 3 {
		err = b.Publisher.Publish(t.Context(), upload(fmt.Sprint("t", n), 0))
	}
	if err == nil || errors.Is(err, broker.ErrSubjectFull) {
		t.Errorf("got %v, which is not about one tenant", err)
	}
}

// TestABoundComesDownWithTheQueue: the server would enforce a smaller bound by
// dropping the oldest, which are work that was accepted.
func TestABoundComesDownWithTheQueue(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s, err := b.JS.Stream(t.Context(), broker.StreamIngest)
	if err != nil {
		t.Fatal(err)
	}
	before := s.CachedInfo().Config
	before.DiscardNewPerSubject, before.MaxMsgsPerSubject = false, -1 // as it was once
	if _, err := b.JS.UpdateStream(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		if err := b.Publisher.Publish(t.Context(), upload("acme", n)); err != nil {
			t.Fatal(err)
		}
	}
	if cfg := narrow(t, b, 10); cfg.MaxMsgsPerSubject != 100 || !cfg.DiscardNewPerSubject {
		t.Errorf("the bound is %d", cfg.MaxMsgsPerSubject)
	}
	if n := b.Messages(broker.StreamIngest); n != 50 {
		t.Fatalf("%d of 50 are left", n)
	}
	if cfg := narrow(t, b, 10); cfg.MaxMsgsPerSubject != 100 {
		t.Errorf("the bound is %d", cfg.MaxMsgsPerSubject)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if cfg := narrow(t, b, 10); cfg.MaxMsgsPerSubject != 10 {
		t.Errorf("the bound is %d with an empty queue", cfg.MaxMsgsPerSubject)
	}
}

// TestAQueueThatIsMissingMayComeBack: work must not be given up because of it.
func TestAQueueThatIsMissingMayComeBack(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	backlog := broker.NewBacklog(b.JS)
	for range 2 { // unknown before, and known before
		if err := b.JS.DeleteStream(t.Context(), broker.StreamIngest); err != nil {
			t.Fatal(err)
		}
		if _, err := backlog.Of(t.Context(), event.KindDocumentUploaded, "acme"); !fault.Is(err, fault.Transient) {
			t.Errorf("got %v", err)
		}
		if err := broker.Ensure(t.Context(), b.JS, b.Topology); err != nil {
			t.Fatal(err)
		}
		if _, err := backlog.Of(t.Context(), event.KindDocumentUploaded, "acme"); err != nil {
			t.Errorf("when it is back: %v", err)
		}
	}
}
