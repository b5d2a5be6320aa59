package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

func uploaded(id string) event.Event {
	return event.New("default", time.Now(), event.DocumentUploaded{ID: id, Generation: 1})
}

func asked(id string) event.Event {
	return event.New("default", time.Now(), event.ChatAsked{ID: id, ConversationID: "c1", Question: "why?", AskedAt: time.Now()})
}

func TestTheSameEventIsStoredOnce(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	first, err := b.Publisher.Send(t.Context(), uploaded("doc-1"))
	if err != nil || first.Duplicate || first.Stream != broker.StreamIngest {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := b.Publisher.Send(t.Context(), uploaded("doc-1"))
	if err != nil || !second.Duplicate || second.Sequence != first.Sequence {
		t.Errorf("%+v, %v", second, err)
	}
	if third, err := b.Publisher.Send(t.Context(), uploaded("doc-1").Resent("1")); err != nil || third.Duplicate {
		t.Errorf("%+v, %v", third, err)
	}
	if n := b.Messages(broker.StreamIngest); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	t.Parallel()
	b := brokertest.StartWith(t, broker.TopologyConfig{ChatMaxMessages: 10, ChatMaxPerTenant: 2, IngestMaxBytes: 2048})
	for _, id := range []string{"a", "b"} {
		if err := b.Publisher.Publish(t.Context(), asked(id)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(err error) {
		t.Helper()
		if code, _ := fault.Public(err); !fault.Is(err, fault.Throttled) || code != "queue_full" || fault.RetryAfter(err) <= 0 {
			t.Errorf("got %v (%v)", err, code)
		}
	}
	expect(b.Publisher.Publish(t.Context(), asked("c")))
	other := asked("d")
	other.Tenant = "other"
	if err := b.Publisher.Publish(t.Context(), other); err != nil {
		t.Errorf("another tenant is refused too: %v", err)
	}
	big := event.New("default", time.Now(), event.DocumentUploaded{ID: "big", DataRef: strings.Repeat("x", 4096)})
	expect(b.Publisher.Publish(t.Context(), big))
}

func TestWorkIsDroppedAfterItsDeadlineAndFactsAreNot(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	stored := func(e event.Event) *jetstream.RawStreamMsg {
		t.Helper()
		r, err := b.Publisher.Send(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.JS.Stream(t.Context(), r.Stream)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.GetMsg(t.Context(), r.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	work := asked("a")
	work.Deadline = time.Now().Add(90*time.Second - time.Millisecond)
	if got := stored(work).Header.Get("Nats-TTL"); got != "90s" && got != "1m30s" {
		t.Errorf("time to live is %q", got)
	}
	soon := asked("b")
	soon.Deadline = time.Now().Add(300 * time.Millisecond)
	if got := stored(soon).Header.Get("Nats-TTL"); got != "1s" {
		t.Errorf("time to live is %q", got)
	}
	fact := event.New("default", time.Now(), event.ChatAnswered{ID: "a", Status: "completed"})
	fact.Deadline = time.Now().Add(time.Second)
	if got := stored(fact).Header.Get("Nats-TTL"); got != "" {
		t.Errorf("a fact has the time to live %q", got)
	}
	late := asked("c")
	late.Deadline = time.Now().Add(-time.Second)
	err := b.Publisher.Publish(t.Context(), late)
	if code, _ := fault.Public(err); !fault.Is(err, fault.Permanent) || code != "deadline_exceeded" {
		t.Errorf("got %v", err)
	}
}

func TestTheTraceTravelsWithTheEvent(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	parent := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled,
	})
	ctx := trace.ContextWithSpanContext(t.Context(), parent)
	r, err := b.Publisher.Send(ctx, uploaded("doc-1"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.JS.Stream(t.Context(), r.Stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(t.Context(), r.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.Decode(event.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
	if err != nil {
		t.Fatal(err)
	}
	got := trace.SpanContextFromContext(broker.TraceContext(t.Context(), e))
	if got.TraceID() != parent.TraceID() || got.SpanID() != parent.SpanID() || !got.IsRemote() {
		t.Errorf("got %v", got)
	}
}

func TestPublishingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := brokertest.StartTCP(t)
	if err := b.JS.DeleteStream(t.Context(), broker.StreamEvents); err != nil {
		t.Fatal(err)
	}
	unavailable := func(err error) {
		t.Helper()
		if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "broker_unavailable" {
			t.Errorf("got %v (%s)", err, code)
		}
	}
	unavailable(b.Publisher.Publish(t.Context(), event.New("default", time.Now(), event.ChatAnswered{ID: "a"})))
	huge := &nats.Msg{Subject: broker.DeadPrefix + "x", Data: make([]byte, 2<<20)}
	if _, err := b.Publisher.Store(t.Context(), huge); !fault.Is(err, fault.Permanent) {
		t.Errorf("got %v", err)
	}
	invalid := uploaded("a/b")
	if err := b.Publisher.Publish(t.Context(), invalid); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Publisher.Publish(ctx, uploaded("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	b.Stop()
	began := time.Now()
	unavailable(b.Publisher.Publish(t.Context(), uploaded("a")))
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("a disconnected publisher took %s to say so", took)
	}
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	r, err := b.Publisher.Send(t.Context(), asked("a"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Publisher.Withdraw(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	if n := b.Messages(broker.StreamChat); n != 0 {
		t.Errorf("%d messages", n)
	}
}
