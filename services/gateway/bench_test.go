//go:build unix

package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/reply"
)

// memoryChats is a record that costs nothing, so that the benchmark measures the gateway.
type memoryChats struct {
	conversation.Store
	mu  sync.Mutex
	all map[string]conversation.Turn
}

func (m *memoryChats) Accept(_ context.Context, q conversation.Question) (conversation.Turn, bool, error) {
	q.ConversationID = "c" + q.ID
	t := conversation.Turn{Question: q, Seq: 1, Answer: conversation.Answer{ID: q.ID, ConversationID: q.ConversationID, Status: conversation.Queued}}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[q.ID] = t
	return t, true, nil
}

func (*memoryChats) Ready(context.Context) error { return nil }

func (*memoryChats) Unfinished(context.Context, time.Time, int) ([]conversation.Turn, error) {
	return nil, nil
}

// instant answers in the publisher: two frames through the broker, no queue.
type instant struct {
	out     reply.Publisher
	sources json.RawMessage
	end     json.RawMessage
}

func (p instant) Publish(_ context.Context, e event.Event) error {
	id := e.Data.(event.ChatAsked).ID
	w, err := reply.NewWriter(p.out, e.ReplyTo, id, reply.Retrieve, 1)
	if err != nil {
		return err
	}
	if err := w.Sources(p.sources); err != nil {
		return err
	}
	if w, err = reply.NewWriter(p.out, e.ReplyTo, id, reply.Generate, 1); err != nil {
		return err
	}
	return w.End(p.end)
}

// BenchmarkChatAsJSON measures one question through the gateway over HTTP,
// with the client's cost, without SQL and queue. cpu-µs/op is the whole
// process's: client, gateway, embedded broker.
func BenchmarkChatAsJSON(b *testing.B) {
	s := newStack(b)
	sources, err := json.Marshal(passages("p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"))
	must(b, err)
	end, err := json.Marshal(conversation.Answer{ID: "x", Status: conversation.Completed, Answer: strings.Repeat("word ", 100)})
	must(b, err)
	g := s.serve(func(_ *Config, d *Deps) {
		d.Conversations = &memoryChats{all: map[string]conversation.Turn{}}
		d.Publisher = instant{out: s.bus.NATS, sources: sources, end: end}
		d.Log = slog.New(slog.DiscardHandler)
	})
	before := cpuTime()
	b.ResetTimer()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got := g.postJSON("/v1/chat", `{"question":"What is the notice period?"}`); got.status != http.StatusOK {
				b.Fatal(fmt.Sprint(got.status, string(got.body)))
			}
		}
	})
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
