package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/pkg/worker/workertest"
)

// forsaken runs one listener until the test, or stop, ends it.
func forsaken(t *testing.T, b *brokertest.Broker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	f := worker.NewForsaken(b.Connect().JetStream(), "ingestor", nil)
	go func() { done <- f.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// limited lets the server give up on batches after two deliveries, which no
// consumer of the topology does.
func limited(t *testing.T, b *brokertest.Broker) jetstream.Consumer {
	t.Helper()
	c, err := b.JS.Consumer(t.Context(), broker.StreamIngest, broker.ConsumerIngestorEmbed)
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.CachedInfo().Config
	cfg.MaxDeliver, cfg.AckWait = 2, 100*time.Millisecond
	if c, err = b.JS.UpdateConsumer(t.Context(), broker.StreamIngest, cfg); err != nil {
		t.Fatal(err)
	}
	return c
}

// deliver takes n deliveries and does with each what settle says.
func deliver(t *testing.T, c jetstream.Consumer, n int, settle func(jetstream.Msg) error) {
	t.Helper()
	for range n {
		m, err := c.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if err := settle(m); err != nil {
			t.Fatal(err)
		}
	}
}

// starve waits for work like a worker that gets none: the server gives up on a
// message when it would be delivered once more.
func starve(t *testing.T, c jetstream.Consumer) {
	t.Helper()
	if m, err := c.Next(jetstream.FetchMaxWait(time.Second)); err == nil {
		t.Fatalf("one more delivery: %s", m.Subject())
	}
}

func awaitMessages(t *testing.T, b *brokertest.Broker, stream string, want uint64) {
	t.Helper()
	end := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for b.Messages(stream) != want {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s holds %d messages, not %d", stream, b.Messages(stream), want)
		}
	}
}

func drop(jetstream.Msg) error { return nil }

func TestWhatTheServerGaveUpOnIsBuriedWithItsBytes(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := limited(t, b)
	// Nobody listens while the server gives up: its advisories wait.
	for i := range 3 {
		if err := b.Publisher.Publish(t.Context(), job(i)); err != nil {
			t.Fatal(err)
		}
	}
	deliver(t, c, 6, drop)
	starve(t, c)
	awaitMessages(t, b, broker.StreamAdvisories, 3)
	if b.Messages(broker.StreamIngest) != 3 || b.Messages(broker.StreamDead) != 0 {
		t.Fatalf("%d in the queue, %d letters", b.Messages(broker.StreamIngest), b.Messages(broker.StreamDead))
	}
	first, second := forsaken(t, b), forsaken(t, b)
	defer first()
	defer second()
	awaitMessages(t, b, broker.StreamDead, 3)
	awaitMessages(t, b, broker.StreamIngest, 0)
	awaitMessages(t, b, broker.StreamAdvisories, 0)
	bodies := map[string]bool{}
	for _, l := range deadLetters(t, b) {
		bodies[string(l.Data)] = true
		if l.Header.Get(worker.HeaderDeadCode) != "attempts_exhausted" || l.Header.Get(worker.HeaderDeadAttempts) != "2" ||
			l.Header.Get(worker.HeaderDeadConsumer) != broker.ConsumerIngestorEmbed || l.Subject != "rag.dead.v1.rag.document.v1.embed.default" {
			t.Errorf("%s %v", l.Subject, l.Header)
		}
	}
	for i := range 3 {
		m, err := event.Encode(job(i))
		if err != nil {
			t.Fatal(err)
		}
		if !bodies[string(m.Data)] {
			t.Errorf("the bytes of batch %d are not in a letter", i)
		}
	}
}

func TestAnAdvisoryThatComesAgainMakesNoSecondLetter(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := limited(t, b)
	if err := b.Publisher.Publish(t.Context(), job(0)); err != nil {
		t.Fatal(err)
	}
	deliver(t, c, 2, drop)
	starve(t, c)
	awaitMessages(t, b, broker.StreamAdvisories, 1)
	// A listener that died between the letter and the end of the message.
	s, err := b.JS.Stream(t.Context(), broker.StreamAdvisories)
	if err != nil {
		t.Fatal(err)
	}
	said, err := s.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.NATS.Publish(said.Subject, said.Data); err != nil {
		t.Fatal(err)
	}
	awaitMessages(t, b, broker.StreamAdvisories, 2)
	forsaken(t, b)
	awaitMessages(t, b, broker.StreamAdvisories, 0)
	if got := []uint64{b.Messages(broker.StreamDead), b.Messages(broker.StreamIngest)}; !cmp.Equal(got, []uint64{1, 0}) {
		t.Errorf("letters and queue: %v", got)
	}
}

func TestWorkThatAnotherProgramEndsIsTold(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c, err := b.JS.Consumer(t.Context(), broker.StreamIngest, broker.ConsumerIngestorEmbed)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publisher.Publish(t.Context(), job(0)); err != nil {
		t.Fatal(err)
	}
	deliver(t, c, 1, func(m jetstream.Msg) error { return m.TermWithReason("tidying up") })
	forsaken(t, b)
	awaitMessages(t, b, broker.StreamDead, 1)
	l := deadLetters(t, b)[0]
	if l.Header.Get(worker.HeaderDeadCode) != "terminated" || l.Header.Get(worker.HeaderDeadSequence) != "1" {
		t.Errorf("%s %v", l.Subject, l.Header)
	}
	awaitMessages(t, b, broker.StreamAdvisories, 0)
}

// TestWorkWhoseMessageIsGoneWasNotGivenUp: its time is over, or the queue was
// purged, while somebody had it.
func TestWorkWhoseMessageIsGoneWasNotGivenUp(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c, err := b.JS.Consumer(t.Context(), broker.StreamIngest, broker.ConsumerIngestorEmbed)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publisher.Publish(t.Context(), job(0)); err != nil {
		t.Fatal(err)
	}
	deliver(t, c, 1, drop)
	stream, err := b.JS.Stream(t.Context(), broker.StreamIngest)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	awaitMessages(t, b, broker.StreamAdvisories, 1)
	forsaken(t, b)
	awaitMessages(t, b, broker.StreamAdvisories, 0)
	if n := b.Messages(broker.StreamDead); n != 0 {
		t.Errorf("%d letters of work that nobody gave up", n)
	}
}

func TestTheWorkersOwnBurialsAreToldOnce(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
		panic("poison")
	}))
	h.Publish(job(0))
	h.Await(t, 1, with(worker.Bury))
	awaitMessages(t, b, broker.StreamAdvisories, 1)
	// The window in which the broker knows a letter again is over.
	dead, err := b.JS.Stream(t.Context(), broker.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg := dead.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := b.JS.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	forsaken(t, b)
	awaitMessages(t, b, broker.StreamAdvisories, 0)
	if n := b.Messages(broker.StreamDead); n != 0 {
		t.Errorf("%d more letters", n)
	}
}
