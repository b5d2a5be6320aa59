package ingestor

import (
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
)

// A sweep frees what the queues of all services hold and their consumers count
// as done: a document's work, and a question that somebody still waits for.
// One that is past its deadline only goes.
func TestASweepFreesWhatQueuesHoldBack(t *testing.T) {
	t.Parallel()
	s := prepare(t, scriptembed.Config{})
	publisher := broker.NewPublisher(s.broker.JS)
	begun := time.Now()
	question := func(id string, left time.Duration) event.Event {
		e := event.New("acme", begun, event.ChatAsked{ID: id, ConversationID: "c", Owner: "o", Question: "why?", AskedAt: begun})
		e.ReplyTo, e.Deadline = "rag.answer.v1.gw."+id, begun.Add(left)
		return e
	}
	for _, e := range []event.Event{
		event.New("acme", begun, event.DocumentDeleted{ID: "d", Generation: 2}), question("awaited", time.Hour), question("late", time.Minute),
	} {
		check(t, publisher.Publish(t.Context(), e))
	}
	queues := []struct{ stream, consumer, past string }{
		{broker.StreamIngest, broker.ConsumerIngestorExtract, `{"seq":2}`}, {broker.StreamChat, broker.ConsumerRetriever, `{"seq":3}`},
	}
	for _, q := range queues {
		_, err := s.broker.NATS.Request("$JS.API.CONSUMER.RESET."+q.stream+"."+q.consumer, []byte(q.past), 5*time.Second)
		check(t, err)
	}
	waiting := func() (n uint64) {
		for _, q := range queues {
			c, err := s.broker.JS.Consumer(t.Context(), q.stream, q.consumer)
			check(t, err)
			n += c.CachedInfo().NumPending
		}
		return n
	}
	if n := waiting(); n != 0 {
		t.Fatalf("%d messages wait for their consumers before", n)
	}
	check(t, s.freeStranded(t.Context()))
	s.after(2 * time.Minute)
	check(t, s.freeStranded(t.Context()))
	if n, chats := waiting(), s.broker.Messages(broker.StreamChat); n != 2 || chats != 1 {
		t.Errorf("%d messages wait for their consumers, %d of them questions; want the deletion and the question that is awaited", n, chats)
	}
}
