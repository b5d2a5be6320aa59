package worker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/pkg/worker/workertest"
)

type (
	embedDelivery = worker.Delivery[event.ChunksReady]
	events        = []event.Event
)

// quick is a configuration in which nothing waits for long.
func quick() worker.Config {
	return worker.Config{
		Stream: broker.StreamIngest, Consumer: broker.ConsumerIngestorEmbed, Slots: 4, MaxAttempts: 3,
		PullWait: time.Second, Grace: 5 * time.Second, Timeout: 5 * time.Second,
		BackoffBase: 20 * time.Millisecond, BackoffMax: 50 * time.Millisecond, ThrottleMax: 100 * time.Millisecond,
		StuckAfter: 200 * time.Millisecond,
	}
}

// shortAck lets the broker notice a dead worker soon.
func shortAck() broker.TopologyConfig { return broker.TopologyConfig{AckWait: 600 * time.Millisecond} }

func job(batch int) event.Event {
	return event.New("default", time.Now(), event.ChunksReady{
		ID: "doc", Generation: 1, Version: "v", Batch: batch, From: 0, To: 1,
	})
}

func indexed(d embedDelivery) events {
	return events{event.New("default", time.Now(), event.DocumentIndexed{ID: d.Data.ID, Generation: int64(d.Data.Batch) + 1})}
}

func deadLetters(t *testing.T, b *brokertest.Broker) []*jetstream.RawStreamMsg {
	t.Helper()
	s, err := b.JS.Stream(t.Context(), broker.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	var out []*jetstream.RawStreamMsg
	for seq := max(1, s.CachedInfo().State.FirstSeq); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func with(action worker.Action) func(workertest.Settled) bool {
	return func(s workertest.Settled) bool { return s.Verdict.Action == action }
}

func TestEachOutcomeEndsAsItsVerdictSays(t *testing.T) {
	t.Parallel()
	failing := func(errs ...error) func(context.Context, embedDelivery) (events, error) {
		return func(_ context.Context, d embedDelivery) (events, error) {
			if d.Attempt <= len(errs) {
				return nil, errs[d.Attempt-1]
			}
			return indexed(d), nil
		}
	}
	flaky := errors.New("flaky")
	tests := map[string]struct {
		handler func(context.Context, embedDelivery) (events, error)
		want    []worker.Action
		code    string
	}{
		"success":   {failing(), []worker.Action{worker.Done}, ""},
		"retry":     {failing(flaky, flaky), []worker.Action{worker.Retry, worker.Retry, worker.Done}, ""},
		"give up":   {failing(flaky, flaky, flaky), []worker.Action{worker.Retry, worker.Retry, worker.Bury}, "internal"},
		"permanent": {failing(fault.Permanentf("hopeless", "it is hopeless")), []worker.Action{worker.Bury}, "hopeless"},
		"throttled": {failing(fault.ThrottledFor(time.Millisecond, flaky)), []worker.Action{worker.Later, worker.Done}, ""},
		"panic": {
			func(context.Context, embedDelivery) (events, error) { panic("secret") },
			[]worker.Action{worker.Retry, worker.Retry, worker.Bury},
			"internal",
		},
		"bad result": {
			func(context.Context, embedDelivery) (events, error) {
				return events{event.New("default", time.Now(), event.DocumentIndexed{ID: "a/b"})}, nil
			},
			[]worker.Action{worker.Bury},
			"invalid_id",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			var told atomic.Int32
			h := workertest.Start(t, b, quick(), worker.Handle(test.handler).Buried(
				func(_ context.Context, d embedDelivery, burial worker.Burial) (events, error) {
					told.Add(1)
					if burial.Code != test.code || burial.Attempts != len(test.want) || d.Data.ID != "doc" {
						t.Errorf("%+v of %+v", burial, d)
					}
					failed := event.DocumentFailed{ID: d.Data.ID, Generation: 1}
					failed.Error.Code = burial.Code
					return events{event.New("default", time.Now(), failed)}, nil
				}))
			h.Publish(job(0))
			var got []worker.Action
			for i, s := range h.Await(t, len(test.want), nil) {
				got = append(got, s.Verdict.Action)
				if s.SettleErr != nil || s.Attempt != i+1 || s.EventID != job(0).ID {
					t.Errorf("%+v", s)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if n := b.Messages(broker.StreamIngest); n != 0 {
				t.Errorf("%d messages are left", n)
			}
			buried := 0
			if test.code != "" {
				buried = 1
			}
			letters := deadLetters(t, b)
			if len(letters) != buried || int(told.Load()) != buried || b.Messages(broker.StreamEvents) != 1 {
				t.Errorf("%d dead letters, told %d times, %d facts", len(letters), told.Load(), b.Messages(broker.StreamEvents))
			}
		})
	}
}

func TestADeadLetterTellsItsStory(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	cfg := quick()
	cfg.Name = "pod-7"
	h := workertest.Start(t, b, cfg, worker.Handle(func(context.Context, embedDelivery) (events, error) {
		return nil, fault.Permanentf("bad_pdf", "the file is no PDF").WithCause(errors.New("xref\nmissing"))
	}))
	e := job(3)
	e.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	h.Publish(e)
	h.Await(t, 1, with(worker.Bury))
	letters := deadLetters(t, b)
	if len(letters) != 1 {
		t.Fatalf("%d letters", len(letters))
	}
	m, _ := event.Encode(e)
	if letters[0].Subject != "rag.dead.v1."+m.Subject || string(letters[0].Data) != string(m.Data) {
		t.Errorf("%s: %s", letters[0].Subject, letters[0].Data)
	}
	got := letters[0].Header
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		worker.HeaderDeadStream: "RAG_INGEST", worker.HeaderDeadSubject: m.Subject, worker.HeaderDeadConsumer: "ingestor-embed",
		worker.HeaderDeadSequence: "1", worker.HeaderDeadAttempts: "1", worker.HeaderDeadClass: "permanent",
		worker.HeaderDeadCode: "bad_pdf", worker.HeaderDeadMessage: "the file is no PDF",
		worker.HeaderDeadReason: "the file is no PDF: xref missing", worker.HeaderDeadWorker: "pod-7@" + host,
		"traceparent": e.Traceparent, "ce-id": e.ID,
	} {
		if got.Get(key) != want {
			t.Errorf("%s is %q, want %q", key, got.Get(key), want)
		}
	}
	stored, err := time.Parse(time.RFC3339Nano, got.Get(worker.HeaderDeadStored))
	if err != nil {
		t.Fatal(err)
	}
	if id := worker.DeadLetterID("RAG_INGEST", "ingestor-embed", 1, stored); got.Get("Nats-Msg-Id") != id {
		t.Errorf("the letter's id is %q, want %q", got.Get("Nats-Msg-Id"), id)
	}
	for _, key := range []string{worker.HeaderDeadStored, worker.HeaderDeadTime} {
		if _, err := time.Parse(time.RFC3339Nano, got.Get(key)); err != nil {
			t.Error(err)
		}
	}
}

func TestALetterIsNotTakenForThatOfAnEarlierStream(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for round := 1; round <= 2; round++ {
		h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
			return nil, fault.Permanentf("bad_news", "it broke")
		}))
		h.Publish(job(round))
		h.Await(t, 1, with(worker.Bury))
		if err := h.Stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(deadLetters(t, b)); n != round {
			t.Fatalf("%d letters in round %d", n, round)
		}
		// As a stream in memory after a restart: it counts from 1 again.
		if err := b.JS.DeleteStream(t.Context(), broker.StreamIngest); err != nil {
			t.Fatal(err)
		}
		if err := broker.Ensure(t.Context(), b.JS, b.Topology); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatCannotBeReadIsBuriedAtOnce(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
		t.Error("the handler ran")
		return nil, nil
	}))
	subject := "rag.document.v1.embed.default"
	for _, m := range []*nats.Msg{
		{Subject: subject, Data: []byte("not json")},
		{Subject: subject, Data: []byte(`{"unknown":1}`)},
		{Subject: subject, Data: make([]byte, 1<<20-100)},
	} {
		if _, err := b.Publisher.Store(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range h.Await(t, 3, nil) {
		if s.Verdict.Action != worker.Bury || s.SettleErr != nil {
			t.Errorf("%+v", s)
		}
	}
	letters := deadLetters(t, b)
	if len(letters) != 3 {
		t.Fatalf("%d letters", len(letters))
	}
	truncated := 0
	for _, l := range letters {
		if l.Header.Get(worker.HeaderDeadCode) != "invalid_event" {
			t.Errorf("%v", l.Header)
		}
		if l.Header.Get(worker.HeaderDeadTruncated) != "" {
			truncated++
		}
	}
	if truncated != 1 || b.Messages(broker.StreamIngest) != 0 {
		t.Errorf("%d truncated, %d left", truncated, b.Messages(broker.StreamIngest))
	}
}

func TestAnEventWithoutARouteIsBuried(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	cfg := quick()
	cfg.Consumer = broker.ConsumerIngestorExtract
	h := workertest.Start(t, b, cfg, worker.Handle(
		func(context.Context, worker.Delivery[event.DocumentUploaded]) (events, error) { return nil, nil }))
	h.Publish(event.New("default", time.Now(), event.DocumentDeleted{ID: "doc", Generation: 2}))
	s := h.Await(t, 1, nil)[0]
	if code, _ := fault.Public(s.Err); s.Verdict.Action != worker.Bury || code != "unknown_kind" {
		t.Errorf("%+v", s)
	}
}

func TestExpiredWorkIsNotBegun(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	e := job(0)
	e.Deadline = time.Now().Add(-time.Second)
	m, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publisher.Store(t.Context(), &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
		t.Fatal(err)
	}
	h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
		t.Error("the handler ran")
		return nil, nil
	}))
	s := h.Await(t, 1, nil)[0]
	if code, _ := fault.Public(s.Err); s.Verdict.Action != worker.Bury || code != "deadline_exceeded" {
		t.Errorf("%+v", s)
	}
}

func TestTheEventsDeadlineEndsTheHandler(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := workertest.Start(t, b, quick(), worker.Handle(func(ctx context.Context, d embedDelivery) (events, error) {
		if until, ok := ctx.Deadline(); !ok || !until.Equal(d.Deadline) || until.After(d.Event.Deadline) {
			t.Errorf("ends at %v, event at %v", until, d.Event.Deadline)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	e := job(0)
	e.Deadline = time.Now().Add(300 * time.Millisecond)
	h.Publish(e)
	s := h.Await(t, 1, nil)[0]
	if code, _ := fault.Public(s.Err); s.Verdict.Action != worker.Bury || code != "deadline_exceeded" {
		t.Errorf("%+v", s)
	}
}

func TestASlowHandlerIsNotDeliveredTwice(t *testing.T) {
	t.Parallel()
	b := brokertest.StartWith(t, shortAck())
	var runs atomic.Int32
	h := workertest.Start(t, b, quick(), worker.Handle(func(ctx context.Context, d embedDelivery) (events, error) {
		runs.Add(1)
		wait := time.NewTimer(1500 * time.Millisecond)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		return indexed(d), ctx.Err()
	}))
	h.Publish(job(0))
	s := h.Await(t, 1, nil)[0]
	if s.Verdict.Action != worker.Done || s.Attempt != 1 || runs.Load() != 1 {
		t.Errorf("%+v, %d runs", s, runs.Load())
	}
}

// A worker that dies is a worker whose pulls take messages that nobody settles.
func TestWorkThatKilledItsWorkersIsBuriedWithoutRunning(t *testing.T) {
	t.Parallel()
	b := brokertest.StartWith(t, shortAck())
	if err := b.Publisher.Publish(t.Context(), job(0)); err != nil {
		t.Fatal(err)
	}
	c, err := b.JS.Consumer(t.Context(), broker.StreamIngest, broker.ConsumerIngestorEmbed)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := c.Next(jetstream.FetchMaxWait(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	var told atomic.Int32
	h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
		t.Error("the handler ran")
		return nil, nil
	}).Buried(func(_ context.Context, _ embedDelivery, burial worker.Burial) (events, error) {
		told.Add(1)
		if burial.Code != "attempts_exhausted" || burial.Attempts != 4 {
			t.Errorf("%+v", burial)
		}
		return nil, nil
	}))
	h.Await(t, 1, with(worker.Bury))
	if told.Load() != 1 || len(deadLetters(t, b)) != 1 || b.Messages(broker.StreamIngest) != 0 {
		t.Error("not buried")
	}
}

func TestACrashBetweenDeadLetterAndEndLeavesOneDeadLetter(t *testing.T) {
	t.Parallel()
	b := brokertest.StartWith(t, shortAck())
	var told atomic.Int32
	h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
		return nil, fault.Permanentf("hopeless", "it is hopeless")
	}).Buried(func(context.Context, embedDelivery, worker.Burial) (events, error) {
		if told.Add(1) == 1 {
			return nil, errors.New("the store is down") // the letter is stored, the message is not ended
		}
		return nil, nil
	}))
	h.Publish(job(0))
	got := h.Await(t, 2, nil)
	if got[0].SettleErr == nil || got[1].SettleErr != nil {
		t.Errorf("%+v", got)
	}
	if len(deadLetters(t, b)) != 1 || told.Load() != 2 || b.Messages(broker.StreamIngest) != 0 {
		t.Errorf("%d letters, told %d times, %d left", len(deadLetters(t, b)), told.Load(), b.Messages(broker.StreamIngest))
	}
}

func TestNothingEndsWithoutAStoredDeadLetter(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	if err := b.JS.DeleteStream(t.Context(), broker.StreamDead); err != nil {
		t.Fatal(err)
	}
	h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
		return nil, fault.Permanentf("hopeless", "it is hopeless")
	}))
	h.Publish(job(0))
	if s := h.Await(t, 1, nil)[0]; s.SettleErr == nil {
		t.Errorf("%+v", s)
	}
	if err := broker.Ensure(t.Context(), b.JS, b.Topology); err != nil {
		t.Fatal(err)
	}
	h.Await(t, 1, func(s workertest.Settled) bool { return s.Verdict.Action == worker.Bury && s.SettleErr == nil })
	if len(deadLetters(t, b)) != 1 {
		t.Errorf("%d letters", len(deadLetters(t, b)))
	}
}

func TestAResultThatCannotBePublishedRepeatsTheWork(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	var refused atomic.Bool
	deps := worker.Deps{Publisher: publisherFunc(func(ctx context.Context, e event.Event) error {
		if refused.CompareAndSwap(false, true) {
			return fault.Transientf("broker_unavailable", "down")
		}
		return b.Publisher.Publish(ctx, e)
	})}
	h := workertest.StartWith(t, b, quick(), deps, worker.Handle(func(_ context.Context, d embedDelivery) (events, error) {
		return indexed(d), nil
	}))
	h.Publish(job(0))
	got := h.Await(t, 2, nil)
	if got[0].Verdict.Action != worker.Retry || got[1].Verdict.Action != worker.Done || b.Messages(broker.StreamEvents) != 1 {
		t.Errorf("%+v", got)
	}
}

type publisherFunc func(context.Context, event.Event) error

func (f publisherFunc) Publish(ctx context.Context, e event.Event) error { return f(ctx, e) }

func TestARepeatedHandlerPublishesOnce(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	var published atomic.Int32
	deps := worker.Deps{Publisher: publisherFunc(func(ctx context.Context, e event.Event) error {
		if published.Add(1) == 50 {
			return fault.Transientf("broker_unavailable", "down")
		}
		return b.Publisher.Publish(ctx, e)
	})}
	h := workertest.StartWith(t, b, quick(), deps, worker.Handle(func(context.Context, embedDelivery) (events, error) {
		out := events{}
		for i := range 100 {
			out = append(out, event.New("default", time.Now(), event.DocumentIndexed{ID: fmt.Sprintf("doc-%d", i), Generation: 1}))
		}
		return out, nil
	}))
	h.Publish(job(0))
	h.Await(t, 1, with(worker.Done))
	if n := b.Messages(broker.StreamEvents); n != 100 || published.Load() <= 100 {
		t.Errorf("%d facts of %d publications", n, published.Load())
	}
}
