package ingestor

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
)

// cpu is what this process and the children that it waited for have used.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		check(tb, syscall.Getrusage(who, &u))
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// ends calls each for every document that ends after subscribed is closed,
// until it returns true.
func (s *stack) ends(tb testing.TB, subscribed chan<- struct{}, each func(tenant, id string) bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Hour)
	defer cancel()
	c, err := s.broker.JS.OrderedConsumer(ctx, broker.StreamEvents, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
	check(tb, err)
	messages, err := c.Messages()
	check(tb, err)
	defer messages.Stop()
	close(subscribed)
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		check(tb, err)
		e, err := event.Decode(event.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		check(tb, err)
		d, ok := e.Data.(event.DocumentIndexed)
		if !ok {
			tb.Fatalf("a document ended as %s", e.Kind())
		}
		if each(e.Tenant, d.ID) {
			return
		}
	}
}

// crowd uploads n documents of one tenant as gateways do.
func (s *stack) crowd(tb testing.TB, tenant, text string, n int) {
	tb.Helper()
	gate := s.gate()
	var next atomic.Int64
	var uploads sync.WaitGroup
	for range 16 {
		uploads.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				s.uploadFor(tb, gate, tenant, fmt.Sprint("d", i), text)
			}
		})
	}
	uploads.Wait()
}

// BenchmarkOneTenant measures what a tenant alone gets: documents of 1,000
// chunks and of one.
func BenchmarkOneTenant(b *testing.B) {
	for _, chunks := range []int{1, 1000} {
		b.Run(fmt.Sprint("chunks=", chunks), func(b *testing.B) {
			s := prepare(b, scriptembed.Config{})
			s.crowd(b, "bulk", book("herring", chunks), b.N)
			before := cpu(b)
			b.ResetTimer()
			ended, subscribed := 0, make(chan struct{})
			var reader sync.WaitGroup
			reader.Go(func() { s.ends(b, subscribed, func(string, string) bool { ended++; return ended == b.N }) })
			<-subscribed
			s.run(b)
			reader.Wait()
			b.StopTimer()
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N*chunks), "cpu-µs/chunk")
			b.ReportMetric(float64(b.N*chunks)/b.Elapsed().Seconds(), "chunks/s")
			s.stop()
		})
	}
}

// BenchmarkNeighbour measures one tenant's single uploads, from before it is
// accepted until it is searchable, while another has so many in line:
//
//	go test ./services/ingestor -run '^$' -bench Neighbour -benchtime 30x
func BenchmarkNeighbour(b *testing.B) {
	for _, crowd := range []int{0, 1_000, 100_000} {
		b.Run(fmt.Sprint("in-line=", crowd), func(b *testing.B) {
			s := prepare(b, scriptembed.Config{})
			s.crowd(b, "bulk", "herring in a barrel", crowd)
			s.run(b)
			gate := s.gate()
			runtime.GC()
			ended := make(chan struct{}, 1)
			var reader sync.WaitGroup
			seen, subscribed := 0, make(chan struct{})
			reader.Go(func() {
				s.ends(b, subscribed, func(tenant, _ string) bool {
					if tenant == "single" {
						seen++
						ended <- struct{}{}
					}
					return seen == b.N
				})
			})
			<-subscribed
			var took []time.Duration
			b.ResetTimer()
			for i := range b.N {
				started := time.Now()
				s.uploadFor(b, gate, "single", fmt.Sprint("mine", i), "one salmon")
				<-ended
				took = append(took, time.Since(started))
			}
			reader.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
			b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "max-ms")
			s.stop()
		})
	}
}
