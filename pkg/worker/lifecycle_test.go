package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/pkg/worker/workertest"
)

func TestAnIdleWorkerStopsAtOnce(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	cfg := quick()
	cfg.PullWait, cfg.Grace = 30*time.Second, 40*time.Second
	h := workertest.Start(t, b, cfg, worker.Handle(func(_ context.Context, d embedDelivery) (events, error) {
		return indexed(d), nil
	}))
	h.Publish(job(0))
	h.Await(t, 1, nil)
	if err := h.Worker.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	began := time.Now()
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if err := h.Worker.Ready(t.Context()); err == nil {
		t.Error("a stopped worker is ready")
	}
}

func TestRunningHandlersGetTheirGrace(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	release := make(chan struct{})
	h := workertest.Start(t, b, quick(), worker.Handle(func(_ context.Context, d embedDelivery) (events, error) {
		<-release
		return indexed(d), nil
	}))
	h.Publish(job(0))
	h.AwaitStarted(t, 1)
	stopped := make(chan error, 1)
	go func() { stopped <- h.Stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if s := h.All()[0]; s.Verdict.Action != worker.Done || b.Messages(broker.StreamEvents) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestInterruptedWorkIsHandedToAnother(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	cfg := quick()
	cfg.PullWait, cfg.Grace = 100*time.Millisecond, 150*time.Millisecond
	first := workertest.Start(t, b, cfg, worker.Handle(func(ctx context.Context, _ embedDelivery) (events, error) {
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), worker.ErrStopping) {
			t.Errorf("ended by %v", context.Cause(ctx))
		}
		return nil, ctx.Err()
	}))
	first.Publish(job(0), job(1))
	first.AwaitStarted(t, 2)
	if err := first.Stop(); err != nil {
		t.Error(err)
	}
	for _, s := range first.Await(t, 2, nil) {
		if s.Verdict.Action != worker.HandBack || s.Attempt != 1 {
			t.Errorf("%+v", s)
		}
	}
	if n := len(first.All()); n != 2 {
		t.Errorf("the stopping worker took its own work again: %d deliveries", n)
	}
	began := time.Now()
	second := workertest.Start(t, b, quick(), worker.Handle(func(_ context.Context, d embedDelivery) (events, error) {
		return indexed(d), nil
	}))
	for _, s := range second.Await(t, 2, with(worker.Done)) {
		if s.Attempt != 2 {
			t.Errorf("%+v", s)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the work waited %s", took)
	}
}

// Stopping under load must neither lose a message nor leave one to the ack wait.
func TestStoppingUnderLoadLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	b := brokertest.StartWith(t, broker.TopologyConfig{AckWait: time.Minute})
	const jobs = 2000
	var seen sync.Map
	var count atomic.Int32
	all := make(chan struct{})
	handle := worker.Handle(func(_ context.Context, d embedDelivery) (events, error) {
		if _, again := seen.LoadOrStore(d.Data.Batch, true); !again && count.Add(1) == jobs {
			close(all)
		}
		return nil, nil
	})
	workertest.Start(t, b, quick(), handle)
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for i := range jobs {
			if err := b.Publisher.Publish(t.Context(), job(i)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 10 {
		h := workertest.Start(t, b, quick(), handle)
		h.AwaitStarted(t, 5)
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	}
	publisher.Wait()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	select {
	case <-all:
	case <-limit.C:
		t.Errorf("%d of %d are done; the rest waits for the ack wait", count.Load(), jobs)
	}
}

func TestReplicasShareTheWork(t *testing.T) {
	t.Parallel()
	b := brokertest.StartTCP(t)
	const jobs = 40
	var counts [2]atomic.Int32
	var both sync.WaitGroup
	both.Add(2)
	done := make(chan int, 2*jobs)
	var replicas []*workertest.Harness
	for i := range counts {
		var first sync.Once
		replicas = append(replicas, workertest.Start(t, b, quick(), worker.Handle(
			func(_ context.Context, d embedDelivery) (events, error) {
				first.Do(both.Done)
				both.Wait() // nobody goes on until each replica has work
				counts[i].Add(1)
				done <- d.Data.Batch
				return indexed(d), nil
			})))
	}
	for i := range jobs {
		replicas[0].Publish(job(i))
	}
	seen := map[int]bool{}
	for range jobs {
		seen[<-done] = true
	}
	if len(seen) != jobs || counts[0].Load() == 0 || counts[1].Load() == 0 {
		t.Errorf("%d jobs: %d and %d", len(seen), counts[0].Load(), counts[1].Load())
	}
}

func TestTheWorkerSurvivesItsServer(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, broker.TopologyConfig) *brokertest.Broker{
		"in the process": brokertest.StartWith, "over TCP": brokertest.StartTCPWith,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, shortAck())
			var running atomic.Int32
			h := workertest.Start(t, b, quick(), worker.Handle(func(_ context.Context, d embedDelivery) (events, error) {
				running.Add(1)
				return indexed(d), nil
			}))
			h.Publish(job(0))
			h.Await(t, 1, nil)
			b.Restart()
			conn := b.Connect()
			for i := 1; i <= 20; i++ {
				if err := broker.NewPublisher(conn.JetStream()).Publish(t.Context(), job(i)); err != nil {
					t.Fatal(err)
				}
			}
			h.Await(t, 21, with(worker.Done))
			if err := h.Worker.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			if err := h.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAStuckHandlerIsGivenUpAndHalfOfThemEndTheWorker(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	cfg := quick()
	cfg.Timeout, cfg.Grace, cfg.PullWait, cfg.Slots = 50*time.Millisecond, 300*time.Millisecond, 100*time.Millisecond, 4
	release := make(chan struct{})
	h := workertest.Start(t, b, cfg, worker.Handle(func(_ context.Context, d embedDelivery) (events, error) {
		if d.Attempt == 1 {
			<-release
		}
		return nil, nil
	}))
	stuck := func(s workertest.Settled) bool { return s.Stuck }
	h.Publish(job(0))
	if s := h.Await(t, 1, stuck)[0]; !errors.Is(s.Err, worker.ErrStuck) || s.Verdict.Action != worker.Retry {
		t.Errorf("%+v", s)
	}
	h.Await(t, 1, with(worker.Done))
	if err := h.Worker.Ready(t.Context()); err != nil {
		t.Errorf("one of four is stuck: %v", err)
	}
	h.Publish(job(1))
	h.Await(t, 2, stuck)
	if err := h.Wait(); !errors.Is(err, worker.ErrStuck) {
		t.Errorf("got %v", err)
	}
	close(release)
}

func TestTheConsumerMustSuitTheRuntime(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	if err := b.JS.DeleteConsumer(t.Context(), broker.StreamIngest, broker.ConsumerIngestorEmbed); err != nil {
		t.Fatal(err)
	}
	_, err := b.JS.CreateConsumer(t.Context(), broker.StreamIngest, jetstream.ConsumerConfig{
		Durable: broker.ConsumerIngestorEmbed, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 5, MaxAckPending: 2,
		BackOff: []time.Duration{time.Second}, FilterSubject: event.SubjectFilter(event.KindChunksReady),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) { return nil, nil }))
	err = h.Wait()
	for _, want := range []string{"max deliver is 5", "a backoff is set", "below the 4 slots"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	route := worker.Handle(func(context.Context, embedDelivery) (events, error) { return nil, nil })
	nameless, upsideDown := quick(), quick()
	nameless.Consumer, upsideDown.Grace = "", time.Millisecond
	for name, build := range map[string]func() (*worker.Worker, error){
		"no consumer":  func() (*worker.Worker, error) { return worker.New(b.JS, nameless, worker.Deps{}, route) },
		"bad settings": func() (*worker.Worker, error) { return worker.New(b.JS, upsideDown, worker.Deps{}, route) },
		"no route":     func() (*worker.Worker, error) { return worker.New(b.JS, quick(), worker.Deps{}) },
		"two routes":   func() (*worker.Worker, error) { return worker.New(b.JS, quick(), worker.Deps{}, route, route) },
	} {
		if w, err := build(); err == nil || w != nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestTheTraceGoesThroughTheWorker(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	for name, deps := range map[string]worker.Deps{"with spans": {Tracer: provider.Tracer("test")}, "without": {}} {
		h := workertest.StartWith(t, b, quick(), deps, worker.Handle(func(_ context.Context, d embedDelivery) (events, error) {
			return indexed(d), nil
		}))
		e := job(len(name))
		e.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		h.Publish(e)
		h.Await(t, 1, with(worker.Done))
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	}
	s, err := b.JS.Stream(t.Context(), broker.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= 2; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Header.Get("traceparent"); !strings.HasPrefix(got, "00-0af7651916cd43dd8448eb211c80319c-") {
			t.Errorf("result %d has the traceparent %q", seq, got)
		}
	}
	names := map[string]bool{}
	for _, span := range spans.Ended() {
		names[span.Name()] = true
		if got := span.SpanContext().TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("span %s is in trace %s", span.Name(), got)
		}
	}
	if !names["queue rag.document.v1.embed.*"] || !names["process rag.document.v1.embed.*"] || len(names) != 2 {
		t.Errorf("spans %v", names)
	}
}
