package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/access/sqlaccess"
	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/conversation/sqlconversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/reply"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// patience is after how long a test that waits has failed.
const patience = 20 * time.Second

// stack is a broker, the stores, and gateways over them.
type stack struct {
	t     testing.TB
	bus   *brokertest.Broker
	docs  *sqlcatalog.Store
	chats *sqlconversation.Store
	blobs *blob.Store
	keys  *sqlaccess.Store
	dir   string
	logs  *safeBuffer
}

func newStack(t testing.TB) *stack {
	t.Helper()
	return newStackWith(t, broker.TopologyConfig{})
}

func newStackWith(t testing.TB, topology broker.TopologyConfig) *stack {
	t.Helper()
	return newStackOn(t, brokertest.StartWith(t, topology), sqldb.FileURL(filepath.Join(t.TempDir(), "ragbus.db")))
}

// newStackOn makes a stack of a broker and a database that others may use too.
func newStackOn(t testing.TB, bus *brokertest.Broker, database string) *stack {
	t.Helper()
	s := &stack{t: t, bus: bus, dir: t.TempDir(), logs: &safeBuffer{}}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: database})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	s.docs, err = sqlcatalog.Open(t.Context(), db)
	must(t, err)
	s.chats, err = sqlconversation.Open(t.Context(), db)
	must(t, err)
	s.keys, err = sqlaccess.Open(t.Context(), db)
	must(t, err)
	url, err := blob.FileURL(filepath.Join(s.dir, "blobs"))
	must(t, err)
	s.blobs, err = blob.Open(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { must(t, s.blobs.Close()) })
	return s
}

// cancellations are what workers are told from now on.
func (s *stack) cancellations() *nats.Subscription {
	s.t.Helper()
	sub, err := s.bus.NATS.SubscribeSync(reply.CancelPrefix + "*")
	must(s.t, err)
	s.t.Cleanup(func() { must(s.t, sub.Unsubscribe()) })
	return sub
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// server is one running gateway.
type server struct {
	t      testing.TB
	svc    *Service
	url    string
	http   *http.Client
	reg    *prometheus.Registry
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
}

type tweak func(*Config, *Deps)

// serve starts a gateway; the test's cleanup stops it.
func (s *stack) serve(tweaks ...tweak) *server {
	s.t.Helper()
	conn := s.bus.Connect()
	cfg := Config{Addr: "127.0.0.1:0", ReaderGrace: 200 * time.Millisecond, ShutdownGrace: 5 * time.Second}
	reg := prometheus.NewRegistry()
	deps := Deps{
		Catalog: s.docs, Conversations: s.chats, Blobs: s.blobs, Publisher: broker.NewPublisher(conn.JetStream()), Broker: conn,
		Registry: reg, Log: slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, tw := range tweaks {
		tw(&cfg, &deps)
	}
	svc, err := New(cfg, deps)
	must(s.t, err)
	must(s.t, svc.Listen(s.t.Context()))
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	g := &server{t: s.t, svc: svc, url: "http://" + svc.Addr(), reg: reg, cancel: cancel, done: make(chan error, 1)}
	g.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	go func() { g.done <- svc.Run(ctx) }()
	s.t.Cleanup(g.stop)
	g.waitReady()
	return g
}

// stop ends the gateway and fails the test when it does not end well.
func (g *server) stop() {
	g.once.Do(func() {
		g.cancel()
		g.http.CloseIdleConnections()
		select {
		case err := <-g.done:
			if err != nil {
				g.t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			g.t.Error("the gateway does not stop")
		}
	})
}

func (g *server) waitReady() {
	g.t.Helper()
	eventually(g.t, "ready", func() bool {
		resp, err := g.http.Get(g.url + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode == http.StatusOK
	})
}

// eventually polls until a condition holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// answered is an HTTP response, read whole.
type answered struct {
	status int
	header http.Header
	body   []byte
}

func (a answered) decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("%v in %.300s", err, a.body)
	}
}

// problem returns the body of an error answer after checking its form.
func (a answered) problem(t testing.TB, status int, code string) Problem {
	t.Helper()
	var p Problem
	if a.status != status {
		t.Fatalf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != mimeProblem {
		t.Fatalf("content type %q", got)
	}
	a.decode(t, &p)
	if p.Code != code || p.Status != status || p.RequestID == "" || p.RequestID != a.header.Get(headerRequestID) ||
		p.Type != problemType+code || p.Title == "" || p.Detail == "" {
		t.Fatalf("problem %s, want code %s", a.body, code)
	}
	return p
}

type header map[string]string

func (g *server) do(method, path string, body io.Reader, h header) answered {
	g.t.Helper()
	a, err := g.try(method, path, body, h)
	must(g.t, err)
	return a
}

func (g *server) try(method, path string, body io.Reader, h header) (answered, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, g.url+path, body)
	if err != nil {
		return answered{}, err
	}
	for k, v := range h {
		req.Header.Set(k, v)
	}
	resp, err := g.http.Do(req)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answered{resp.StatusCode, resp.Header, data}, err
}

func (g *server) get(path string) answered {
	g.t.Helper()
	return g.do(http.MethodGet, path, nil, nil)
}

func (g *server) postJSON(path, body string, h ...header) answered {
	g.t.Helper()
	all := header{"Content-Type": "application/json"}
	for _, m := range h {
		maps.Copy(all, m)
	}
	return g.do(http.MethodPost, path, strings.NewReader(body), all)
}

// safeBuffer is a buffer for many writers.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// script is what a simulated pair of workers does with a question. It speaks
// the real protocol; the gateway cannot tell it from real ones.
type script func(w *work)

// work is one question in a script's hands.
type work struct {
	s     *stack
	ctx   context.Context //nolint:containedctx // a test's script runs in it
	ask   event.ChatAsked
	event event.Event
	t     testing.TB
}

func (w *work) writer(stage reply.Stage, attempt int) *reply.Writer {
	w.t.Helper()
	out, err := reply.NewWriter(w.s.bus.NATS, w.event.ReplyTo, w.ask.ID, stage, attempt)
	must(w.t, err)
	return out
}

// sources sends what a retriever would.
func (w *work) sources(ids ...string) {
	w.t.Helper()
	found, err := json.Marshal(passages(ids...))
	must(w.t, err)
	must(w.t, w.writer(reply.Retrieve, 1).Sources(found))
}

func passages(ids ...string) []corpus.Passage {
	out := make([]corpus.Passage, len(ids))
	for i, id := range ids {
		out[i] = corpus.Passage{ID: id, DocumentID: "doc", Version: "v", Title: "Title " + id, Text: "Text of " + id + " <é>"}
	}
	return out
}

// answerOf returns a completed answer, without sources.
func (w *work) answerOf(text string) conversation.Answer {
	return conversation.Answer{
		ID: w.ask.ID, ConversationID: w.ask.ConversationID, Status: conversation.Completed, Answer: text, Grounded: true,
		Citations:   []conversation.Citation{{Marker: 1, PassageID: "p1", DocumentID: "doc", Version: "v", Title: "Title p1", Quote: "q", Supported: true}},
		SearchQuery: w.ask.Question, Model: "scripted", CreatedAt: w.ask.AskedAt,
	}
}

// finish stores an answer with its sources and sends the end frame, which has
// them too where the asker waits for the whole.
func (w *work) finish(out *reply.Writer, a conversation.Answer, ids ...string) {
	w.t.Helper()
	stored := a
	sources, err := json.Marshal(passages(ids...))
	must(w.t, err)
	stored.Sources = sources
	kept, err := w.s.chats.Finish(w.ctx, conversation.Caller{Tenant: w.event.Tenant, Owner: w.ask.Owner}, stored)
	if w.ctx.Err() != nil {
		return // the test is over, and with it whoever asked
	}
	must(w.t, err)
	if !w.ask.Whole() {
		kept.Sources = nil
	}
	must(w.t, out.End(kept))
}

// complete answers in the ordinary way: sources, the text in pieces, one citation, the end.
func complete(pieces ...string) script {
	return func(w *work) {
		out := w.writer(reply.Generate, 1)
		a := w.answerOf(strings.Join(pieces, ""))
		if !w.ask.Whole() {
			w.sources("p1", "p2")
		}
		if w.ask.Stream {
			for _, p := range pieces {
				must(w.t, out.Delta(p))
			}
			must(w.t, out.Citation(a.Citations[0]))
		}
		w.finish(out, a, "p1", "p2")
	}
}

// workers answer every question with the script, each in its own goroutine.
// They return how many questions came.
func (s *stack) workers(run script) *atomic.Int64 {
	s.t.Helper()
	var count atomic.Int64
	consumer, err := s.bus.JS.Consumer(s.t.Context(), broker.StreamChat, broker.ConsumerRetriever)
	must(s.t, err)
	messages, err := consumer.Messages()
	must(s.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			m, err := messages.Next()
			if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
				return
			}
			if err != nil {
				continue
			}
			e, err := event.Decode(event.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
			if err != nil {
				s.t.Errorf("question: %v", err)
				continue
			}
			_ = m.Ack()
			count.Add(1)
			wg.Go(func() { run(&work{s: s, ctx: ctx, ask: e.Data.(event.ChatAsked), event: e, t: s.t}) })
		}
	})
	s.t.Cleanup(func() {
		cancel()
		messages.Stop()
		wg.Wait()
	})
	return &count
}

// localCaller is whose conversations are read and written without keys.
func localCaller() conversation.Caller {
	return conversation.Caller{Tenant: corpus.DefaultTenant, Owner: access.LocalOwner}
}
