package retriever

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/worker"
)

func signer(t *testing.T, secrets ...string) *access.Signer {
	t.Helper()
	s, err := access.NewSigner(append(secrets, "the secret of this system's bus, for tests")...)
	check(t, err)
	return s
}

// letter waits for the next dead letter.
func (s *stack) letter(t *testing.T) jetstream.Msg {
	t.Helper()
	c, err := s.broker.JS.OrderedConsumer(t.Context(), broker.StreamDead, jetstream.OrderedConsumerConfig{})
	check(t, err)
	m, err := c.Next(jetstream.FetchMaxWait(bound))
	check(t, err)
	return m
}

func TestAQuestionThatNobodyVouchesForIsBuriedUntold(t *testing.T) {
	t.Parallel()
	mine := signer(t)
	s := start(t, scriptembed.Config{}, func(d *Deps) { d.Signer = mine })
	s.put(t, "default", "secret", []string{"captain"}, "The treasure is under the mast.")
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	caller := conversation.Caller{Tenant: corpus.DefaultTenant, Owner: "me"}
	turn, _, err := s.conversations.Accept(ctx, conversation.Question{Caller: caller, ID: "forged", Text: "Where is the treasure?", AskedAt: time.Now()})
	check(t, err)
	asked := asking("forged", "Where is the treasure?")
	asked.ConversationID = turn.Question.ConversationID
	e := event.New(corpus.DefaultTenant, time.Now(), asked)
	e.ReplyTo, e.Deadline = s.hub.Subject("forged"), time.Now().Add(bound)
	told, err := s.broker.NATS.SubscribeSync(e.ReplyTo)
	check(t, err)
	facts, err := s.broker.NATS.SubscribeSync(event.SubjectFilter(event.KindChatAnswered))
	check(t, err)
	check(t, s.broker.NATS.Flush())

	// Somebody who read a signed question wants more of it.
	var ok bool
	asked, ok = mine.Sign(e).Data.(event.ChatAsked)
	if !ok {
		t.Fatal("what was signed is no question")
	}
	asked.Principals = []string{"captain"}
	e.Data = asked
	check(t, s.broker.Publisher.Publish(ctx, e))
	if got := s.letter(t).Headers().Get(worker.HeaderDeadCode); got != "bad_signature" {
		t.Errorf("buried for %s", got)
	}
	check(t, s.broker.NATS.Flush())
	for name, sub := range map[string]interface{ Pending() (int, int, error) }{"the reader": told, "observers": facts} {
		if n, _, err := sub.Pending(); err != nil || n != 0 {
			t.Errorf("%s were told %d things: %v", name, n, err)
		}
	}
	turn, err = s.conversations.Get(ctx, caller, "forged")
	check(t, err)
	if turn.Answer.Status != conversation.Queued {
		t.Errorf("stored: %+v", turn.Answer)
	}
}

func TestASignedQuestionIsAnsweredAndWhatWasFoundIsSigned(t *testing.T) {
	t.Parallel()
	mine := signer(t)
	// The gateway has the next secret already, in second place.
	s := start(t, scriptembed.Config{}, func(d *Deps) { d.Signer = signer(t, "the next secret of this system's bus, for tests") })
	s.put(t, "default", "secret", []string{"captain"}, "The treasure is under the mast.")
	asked := asking("q1", "Where is the treasure?")
	asked.Principals, asked.AskedAt = []string{"captain"}, asked.AskedAt.UTC()
	e := event.New(corpus.DefaultTenant, time.Now(), asked)
	e.ReplyTo, e.Deadline = s.hub.Subject(asked.ID), time.Now().Add(bound).UTC()
	e = mine.Sign(e)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	check(t, s.broker.Publisher.Publish(ctx, e))
	c, err := s.broker.JS.Consumer(ctx, broker.StreamChat, broker.ConsumerGenerator)
	check(t, err)
	m, err := c.Next(jetstream.FetchMaxWait(bound))
	check(t, err)
	check(t, m.Ack())
	got, err := event.Decode(event.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
	check(t, err)
	retrieved, ok := got.Data.(event.ChatRetrieved)
	if !ok || len(retrieved.Passages.List()) != 1 {
		t.Fatalf("follows %+v", got.Data)
	}
	gateways := signer(t, "the next secret of this system's bus, for tests")
	check(t, gateways.VerifyRetrieved(got, retrieved))
	// The retriever signs with its first secret, which whoever lacks it does not believe.
	check(t, mine.VerifyAsked(got, retrieved.Asked))
	if err := mine.VerifyRetrieved(got, retrieved); err == nil {
		t.Error("signed with a secret that this one does not have, and believed")
	}
}

func TestASearchThatNobodyVouchesForFindsNothing(t *testing.T) {
	t.Parallel()
	mine := signer(t)
	s := start(t, scriptembed.Config{}, func(d *Deps) { d.Signer = mine })
	s.put(t, "default", "secret", []string{"captain"}, "The treasure is under the mast.")
	genuine := mine.SignSearch(event.Search{
		Tenant: "default", Principals: []string{"captain"}, Query: "treasure", Limit: 5, Mode: "keyword", Deadline: time.Now().Add(bound).UTC(),
	})
	if r := s.search(t, genuine); r.Problem != nil || len(r.Passages) != 1 {
		t.Fatalf("a signed search got %+v", r)
	}
	for name, forge := range map[string]func(*event.Search){
		"unsigned":        func(q *event.Search) { q.Signature = "" },
		"another query":   func(q *event.Search) { q.Query = "mast" },
		"more principals": func(q *event.Search) { q.Principals = append(q.Principals, "cook") },
		"for longer":      func(q *event.Search) { q.Deadline = q.Deadline.Add(time.Hour) },
		"for ever":        func(q *event.Search) { q.Deadline = time.Time{} },
		"another secret": func(q *event.Search) {
			other, err := access.NewSigner("a secret that this system does not have at all")
			check(t, err)
			*q = other.SignSearch(*q)
		},
	} {
		forged := genuine
		forge(&forged)
		if r := s.search(t, forged); r.Problem == nil || r.Problem.Code != "retriever_unavailable" || r.Problem.Class != "transient" || len(r.Passages) != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
