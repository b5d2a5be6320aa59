package worker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/worker"
)

// A server that was killed may come back with messages whose numbers their
// consumer has counted as done. Here the consumer is told so on purpose.
func TestAMessageBelowItsConsumersFloorIsGivenOutAgain(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	publisher := broker.NewPublisher(b.JS)
	now := time.Now()
	for i := range 3 {
		must(t, publisher.Publish(t.Context(), event.New("acme", now, event.ChunksReady{ID: fmt.Sprint("d", i), Generation: 1, Version: "v", To: 1})))
	}
	// What another consumer has in hand is not touched.
	must(t, publisher.Publish(t.Context(), event.New("acme", now, event.DocumentUploaded{ID: "other", Generation: 1})))
	reply, err := b.NATS.Request("$JS.API.CONSUMER.RESET."+broker.StreamIngest+"."+broker.ConsumerIngestorEmbed, []byte(`{"seq":3}`), 5*time.Second)
	must(t, err)
	s := worker.NewStranded(b.JS, nil, broker.StreamIngest, broker.ConsumerIngestorExtract, broker.ConsumerIngestorEmbed)
	look := func(now time.Time, want int) {
		t.Helper()
		if n, err := s.Look(t.Context(), now); err != nil || n != want {
			t.Fatalf("gave out %d, want %d: %v (%s)", n, want, err, reply.Data)
		}
	}
	look(now, 0)
	look(now.Add(time.Second), 0)
	look(now.Add(time.Minute), 2)
	look(now.Add(2*time.Minute), 0)

	consumer, err := b.JS.Consumer(t.Context(), broker.StreamIngest, broker.ConsumerIngestorEmbed)
	must(t, err)
	batch, err := consumer.Fetch(3)
	must(t, err)
	got := map[string]bool{}
	for m := range batch.Messages() {
		e, err := event.Decode(event.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		must(t, err)
		ready, ok := e.Data.(event.ChunksReady)
		if !ok {
			t.Fatalf("got %T", e.Data)
		}
		got[ready.ID] = true
		first := m.Headers().Get(worker.HeaderFirstStored)
		if again := m.Headers().Get(event.HeaderMsgID) != e.ID; again != (first != "") {
			t.Errorf("%s: message id %q, first stored %q", e.ID, m.Headers().Get(event.HeaderMsgID), first)
		}
		must(t, m.Ack())
	}
	if len(got) != 3 {
		t.Errorf("delivered are %v", got)
	}
}

// What nobody waits for any more goes as the server would have let it go.
func TestAStrandedMessagePastItsDeadlineIsTakenOut(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	now := time.Now()
	e := event.New("acme", now, event.ChunksReady{ID: "d", Generation: 1, Version: "v", To: 1})
	m, err := event.Encode(e)
	must(t, err)
	header := nats.Header(m.Header)
	header.Set(event.HeaderDeadline, now.Add(30*time.Second).Format(time.RFC3339Nano))
	_, err = broker.NewPublisher(b.JS).Store(t.Context(), &nats.Msg{Subject: m.Subject, Header: header, Data: m.Data})
	must(t, err)
	_, err = b.NATS.Request("$JS.API.CONSUMER.RESET."+broker.StreamIngest+"."+broker.ConsumerIngestorEmbed, []byte(`{"seq":2}`), 5*time.Second)
	must(t, err)
	s := worker.NewStranded(b.JS, nil, broker.StreamIngest, broker.ConsumerIngestorEmbed)
	_, err = s.Look(t.Context(), now)
	must(t, err)
	_, err = s.Look(t.Context(), now.Add(time.Minute))
	must(t, err)
	stream, err := b.JS.Stream(t.Context(), broker.StreamIngest)
	must(t, err)
	if n := stream.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// What the server says of work can be held back like work: the message that it
// gave up on is buried all the same.
func TestAStrandedAdvisoryIsSettled(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := limited(t, b)
	must(t, b.Publisher.Publish(t.Context(), job(0)))
	deliver(t, c, 2, drop)
	starve(t, c)
	awaitMessages(t, b, broker.StreamAdvisories, 1)
	_, err := b.NATS.Request("$JS.API.CONSUMER.RESET."+broker.StreamAdvisories+"."+broker.ConsumerForsaken, []byte(`{"seq":2}`), 5*time.Second)
	must(t, err)
	s := worker.NewForsaken(b.JS, "ingestor", nil).Stranded()
	now := time.Now()
	for _, at := range []struct {
		time.Time
		freed int
	}{{now, 0}, {now.Add(time.Minute), 1}, {now.Add(2 * time.Minute), 0}} {
		if n, err := s.Look(t.Context(), at.Time); err != nil || n != at.freed {
			t.Fatalf("freed %d, want %d: %v", n, at.freed, err)
		}
	}
	for stream, want := range map[string]uint64{broker.StreamAdvisories: 0, broker.StreamIngest: 0, broker.StreamDead: 1} {
		if n := b.Messages(stream); n != want {
			t.Errorf("%s holds %d messages, not %d", stream, n, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
