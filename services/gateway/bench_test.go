//go:build unix

package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/reply"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
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

// instant answers in the publisher: one frame through the broker, no queue.
type instant struct {
	out reply.Publisher
	end json.RawMessage
	// before is done with each question first; nil for nothing.
	before func(context.Context, event.Event) error
}

func (p instant) Publish(ctx context.Context, e event.Event) error {
	if p.before != nil {
		if err := p.before(ctx, e); err != nil {
			return err
		}
	}
	w, err := reply.NewWriter(p.out, e.ReplyTo, e.Data.(event.ChatAsked).ID, reply.Generate, 1)
	if err != nil {
		return err
	}
	return w.End(p.end)
}

// answering makes a gateway whose questions are answered at once and recorded nowhere.
func (s *stack) answering(before func(context.Context, event.Event) error) tweak {
	sources, err := json.Marshal(passages("p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"))
	must(s.t, err)
	end, err := json.Marshal(conversation.Answer{ID: "x", Status: conversation.Completed, Answer: strings.Repeat("word ", 100), Sources: sources})
	must(s.t, err)
	return func(_ *Config, d *Deps) {
		d.Conversations = &memoryChats{all: map[string]conversation.Turn{}}
		d.Publisher = instant{out: s.bus.NATS, end: end, before: before}
		d.Log = slog.New(slog.DiscardHandler)
	}
}

// BenchmarkChatAsJSON measures one question through the gateway over HTTP,
// with the client's cost, without SQL and queue. cpu-µs/op is the whole
// process's: client, gateway, embedded broker.
func BenchmarkChatAsJSON(b *testing.B) {
	s := newStack(b)
	g := s.serve(s.answering(nil))
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

// BenchmarkAccess measures what it costs a question to know who asks: the
// same questions go to a gateway that asks nobody who they are and, in turns,
// to one with keys, limits and signatures, whose workers verify what they are
// sent. Both search an index of a thousand chunks, one where all is public, the
// other by the principals of the key, of which each document shares one.
//
// overhead-µs/op is the difference in processor time of the whole process, and
// ratio what the question costs with keys over what it costs without.
func BenchmarkAccess(b *testing.B) {
	s := newStack(b)
	index := newACLIndex(b)
	keys := s.withKeys()
	var signer *access.Signer
	open := s.serve(s.answering(index.search))
	closed := s.serve(keys, func(_ *Config, d *Deps) { signer = d.Signer }, s.answering(func(ctx context.Context, e event.Event) error {
		for range 2 { // the retriever and the generator
			if err := signer.VerifyAsked(e, e.Data.(event.ChatAsked)); err != nil {
				return err
			}
		}
		return index.search(ctx, e)
	}))
	key := s.key(access.Key{Tenant: aclTenant, Principals: index.principals, Limits: access.Limits{RequestsPerMinute: 1 << 30, TokensPerDay: 1 << 40}})
	key["Content-Type"] = "application/json"
	nobody := header{"Content-Type": "application/json"}
	var without, with time.Duration
	const block = 64
	b.ResetTimer()
	for asked := 0; asked < b.N; asked += block {
		without += open.cost(b, min(block, b.N-asked), nobody)
		with += closed.cost(b, min(block, b.N-asked), key)
	}
	b.ReportMetric(0, "ns/op")
	n := float64(b.N)
	b.ReportMetric(without.Seconds()*1e6/n, "none-cpu-µs/op")
	b.ReportMetric(with.Seconds()*1e6/n, "keys-cpu-µs/op")
	b.ReportMetric((with-without).Seconds()*1e6/n, "overhead-µs/op")
	b.ReportMetric(with.Seconds()/without.Seconds(), "ratio")
}

// cost puts n questions, 16 at a time, and returns the processor time that they took.
func (g *server) cost(b *testing.B, n int, h header) time.Duration {
	b.Helper()
	before := cpuTime()
	var left atomic.Int64
	left.Store(int64(n))
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for left.Add(-1) >= 0 {
				got, err := g.try(http.MethodPost, "/v1/chat", strings.NewReader(`{"question":"What is the notice period?"}`), h)
				if err != nil || got.status != http.StatusOK {
					b.Errorf("status %d, %v: %s", got.status, err, got.body)
				}
			}
		})
	}
	clients.Wait()
	return cpuTime() - before
}

// aclTenant is whose documents have an acl in an aclIndex; those of the default tenant have none.
const aclTenant = "acme"

// aclIndex is an index that holds the same chunks for two tenants.
type aclIndex struct {
	store *embeddedvector.Store
	dense []float32
	// principals of whom each document names one.
	principals []string
}

func newACLIndex(b *testing.B) *aclIndex {
	b.Helper()
	const dimensions, documents, chunks = 384, 50, 20
	store, err := embeddedvector.Open(b.Context(), embeddedvector.Config{
		Path: filepath.Join(b.TempDir(), "index.db"), Dimensions: dimensions, ProfileKey: "bench", Logger: slog.New(slog.DiscardHandler),
	})
	must(b, err)
	b.Cleanup(func() { must(b, store.Close()) })
	random := rand.New(rand.NewPCG(1, 2))
	unit := func() []float32 {
		v := make([]float32, dimensions)
		norm := 0.0
		for i := range v {
			x := random.NormFloat64()
			v[i], norm = float32(x), norm+x*x
		}
		for i := range v {
			v[i] /= float32(math.Sqrt(norm))
		}
		return v
	}
	x := &aclIndex{store: store, dense: unit()}
	for n := range 10 {
		x.principals = append(x.principals, fmt.Sprintf("group:%d", n))
	}
	for n := range documents {
		points := make([]vector.Point, chunks)
		for i := range points {
			points[i] = vector.Point{Ordinal: i, Text: fmt.Sprintf("The notice of clause %d is a period of %d days.", i, random.IntN(1000)), Dense: unit()}
		}
		for tenant, acl := range map[string][]string{corpus.DefaultTenant: nil, aclTenant: {x.principals[n%len(x.principals)], "group:others"}} {
			doc := vector.Document{Tenant: tenant, Collection: corpus.DefaultCollection, ID: fmt.Sprintf("d%d", n), Version: "1", Generation: 1, ACL: acl}
			must(b, store.Upsert(b.Context(), doc, points))
			must(b, store.Activate(b.Context(), doc))
		}
	}
	return x
}

// search looks for what answers the question, on behalf of whoever it says that asks.
func (x *aclIndex) search(ctx context.Context, e event.Event) error {
	asked := e.Data.(event.ChatAsked)
	scope, err := corpus.NewScope(e.Tenant, asked.Principals...)
	if err != nil {
		return err
	}
	hits, err := x.store.Search(ctx, vector.Query{
		Scope: scope, Mode: vector.Hybrid, Text: asked.Question, Dense: x.dense, Limit: 8, Fusion: embed.Fusion{Method: embed.ScaledMax, DenseWeight: 0.5},
	})
	if err == nil && len(hits) != 8 {
		err = fmt.Errorf("%d passages were found", len(hits))
	}
	return err
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
