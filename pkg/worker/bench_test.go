package worker_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/reply"
	"github.com/ragbus/ragbus/pkg/worker"
)

// client asks questions and waits until each is answered.
type client struct {
	b   *brokertest.Broker
	hub *reply.Hub
}

func newClient(b *testing.B, broker *brokertest.Broker) *client {
	b.Helper()
	nc := broker.Connect().NATS()
	hub, err := reply.NewHub(nc, "gw", nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := hub.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := hub.Close(); err != nil {
			b.Error(err)
		}
	})
	return &client{b: broker, hub: hub}
}

func (c *client) ask(ctx context.Context) error {
	id := corpus.NewID()
	in := c.hub.Expect(id)
	defer in.Close()
	e := event.New("default", time.Now(), event.ChatAsked{ID: id, ConversationID: "c", Question: "why?", AskedAt: time.Now()})
	e.ReplyTo, e.Deadline = c.hub.Subject(id), time.Now().Add(time.Minute)
	if err := c.b.Publisher.Publish(ctx, e); err != nil {
		return err
	}
	for {
		f, err := in.Next(ctx)
		if err != nil || f.Type == reply.End {
			return err
		}
	}
}

func (c *client) run(b *testing.B, parallel int) {
	b.Helper()
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	b.SetParallelism(max(1, parallel/2))
	began := cpu()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := c.ask(b.Context()); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-µs/op")
}

func hopConfig(consumer string) worker.Config {
	return worker.Config{Stream: broker.StreamChat, Consumer: consumer, Slots: 64}
}

func runWorker(b *testing.B, nc *broker.Conn, cfg worker.Config, r worker.Route) {
	b.Helper()
	w, err := worker.New(nc.JetStream(), cfg, worker.Deps{}, r)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}

// BenchmarkHop is a question through two workers of this package and back.
// BenchmarkBareHop is the same through two loops of plain nats.go: what the
// broker itself costs. Their ratio is what the runtime costs.
func BenchmarkHop(b *testing.B) {
	for name, parallel := range map[string]int{"1": 1, "64": 64} {
		b.Run(name, func(b *testing.B) {
			server := brokertest.Start(b)
			conn := server.Connect()
			runWorker(b, conn, hopConfig(broker.ConsumerRetriever), worker.Handle(
				func(_ context.Context, d worker.Delivery[event.ChatAsked]) ([]event.Event, error) {
					return []event.Event{d.Follow(event.ChatRetrieved{Asked: d.Data})}, nil
				}))
			runWorker(b, conn, hopConfig(broker.ConsumerGenerator), worker.Handle(
				func(_ context.Context, d worker.Delivery[event.ChatRetrieved]) ([]event.Event, error) {
					w, err := reply.NewWriter(conn.NATS(), d.Event.ReplyTo, d.Data.Asked.ID, reply.Generate, d.Attempt)
					if err != nil {
						return nil, err
					}
					return nil, w.End(struct{}{})
				}))
			newClient(b, server).run(b, parallel)
		})
	}
}

func BenchmarkBareHop(b *testing.B) {
	for name, parallel := range map[string]int{"1": 1, "64": 64} {
		b.Run(name, func(b *testing.B) {
			server := brokertest.Start(b)
			conn := server.Connect()
			bareLoop(b, conn, broker.ConsumerRetriever, func(m jetstream.Msg) error {
				_, err := conn.JetStream().PublishMsg(b.Context(), &nats.Msg{
					Subject: "rag.chat.v1.retrieved.default", Header: nats.Header{event.HeaderReplyTo: m.Headers()[event.HeaderReplyTo]}, Data: m.Data(),
				})
				return err
			})
			bareLoop(b, conn, broker.ConsumerGenerator, func(m jetstream.Msg) error {
				return conn.NATS().PublishMsg(&nats.Msg{
					Subject: m.Headers().Get(event.HeaderReplyTo), Header: nats.Header{reply.HeaderFrame: {"generate/1/1/end"}},
				})
			})
			newClient(b, server).run(b, parallel)
		})
	}
}

// bareLoop is 64 goroutines behind one prefetching consumer, as fast as
// nats.go gets: it has no deadline, no heartbeat, no decoding, no recovery.
func bareLoop(b *testing.B, conn *broker.Conn, consumer string, handle func(jetstream.Msg) error) {
	b.Helper()
	c, err := conn.JetStream().Consumer(b.Context(), broker.StreamChat, consumer)
	if err != nil {
		b.Fatal(err)
	}
	slots := make(chan struct{}, 64)
	consuming, err := c.Consume(func(m jetstream.Msg) {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			if err := handle(m); err != nil && b.Context().Err() == nil {
				b.Error(err)
			}
			if err := m.DoubleAck(b.Context()); err != nil && b.Context().Err() == nil {
				b.Error(err)
			}
		}()
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		consuming.Drain()
		<-consuming.Closed()
	})
}
