package deadletter_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/deadletter"
	"github.com/ragbus/ragbus/pkg/worker"
)

// BenchmarkList lists among 10,000 letters of 4 KiB of two tenants: a page as
// it comes, and one for which all letters of the tenant are passed over.
func BenchmarkList(b *testing.B) {
	bus := brokertest.Start(b)
	body := make([]byte, 4<<10)
	for i := range 10_000 {
		m := &nats.Msg{
			Subject: broker.DeadPrefix + "rag.document.v1.embed." + []string{"a", "b"}[i%2], Data: body,
			Header: nats.Header{worker.HeaderDeadCode: {"bad_news"}, worker.HeaderDeadClass: {"permanent"}, "n": {fmt.Sprint(i)}},
		}
		if _, err := bus.JS.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	<-bus.JS.PublishAsyncComplete()
	letters := deadletter.NewStore(bus.JS)
	for name, q := range map[string]deadletter.Query{
		"page": {Tenant: "a", Limit: 100}, "passed-over": {Tenant: "a", Limit: 100, Code: "none"},
	} {
		b.Run(name, func(b *testing.B) {
			before := processor(b)
			for b.Loop() {
				if _, _, err := letters.List(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processor(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// processor is the time that this process, broker included, has computed so far.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
