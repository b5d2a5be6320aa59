package retriever

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/conversation/sqlconversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/reply"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const bound = 30 * time.Second

type stack struct {
	broker        *brokertest.Broker
	catalog       *sqlcatalog.Store
	conversations *sqlconversation.Store
	index         *embeddedvector.Store
	embedder      *scriptembed.Embedder
	hub           *reply.Hub
}

func start(t *testing.T, script scriptembed.Config, change ...func(*Deps)) *stack {
	t.Helper()
	dir, ctx := t.TempDir(), t.Context()
	s := &stack{broker: brokertest.Start(t)}
	db, err := sqldb.Open(ctx, sqldb.Config{URL: sqldb.FileURL(filepath.Join(dir, "ragbus.db"))})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	s.catalog, err = sqlcatalog.Open(ctx, db)
	check(t, err)
	s.conversations, err = sqlconversation.Open(ctx, db)
	check(t, err)
	s.embedder, err = scriptembed.New(script)
	check(t, err)
	p := s.embedder.Profile()
	log := slog.New(slog.DiscardHandler)
	s.index, err = embeddedvector.Open(ctx, embeddedvector.Config{Path: filepath.Join(dir, "index.db"), Dimensions: p.Dimensions, ProfileKey: p.Key(), Logger: log})
	check(t, err)
	t.Cleanup(func() { check(t, s.index.Close()) })
	check(t, s.index.Delete(ctx, "nobody", "nothing", 1)) // a write waits until the index is loaded
	s.hub, err = reply.NewHub(s.broker.NATS, "test", log)
	check(t, err)
	check(t, s.hub.Start(ctx))
	t.Cleanup(func() { check(t, s.hub.Close()) })
	deps := Deps{
		Log: log, JetStream: s.broker.JS, Catalog: s.catalog, Conversations: s.conversations, Index: s.index, Embedder: s.embedder,
	}
	for _, c := range change {
		c(&deps)
	}
	service, err := New(Config{PullWait: 200 * time.Millisecond, Searches: 2, Slots: 4}, deps)
	check(t, err)
	runCtx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- service.Run(runCtx) }()
	t.Cleanup(func() {
		cancel()
		check(t, <-done)
	})
	return s
}

// index puts a document of one chunk a text into catalog and index.
func (s *stack) put(t *testing.T, tenant, id string, acl []string, texts ...string) {
	t.Helper()
	ctx := t.Context()
	doc, _, err := s.catalog.Accept(ctx, catalog.Upload{
		Tenant: tenant, ID: id, Collection: "default", Title: "About " + id, Bytes: 1, SHA256: strings.Repeat(id[:1], 64), BlobKey: "documents/" + tenant + "/" + id + "/1", ACL: acl,
	})
	check(t, err)
	ref := catalog.Ref{Tenant: tenant, ID: id, Generation: doc.Generation}
	_, _, err = s.catalog.Begin(ctx, ref)
	check(t, err)
	vd := vector.Document{Tenant: tenant, Collection: "default", ID: id, Version: doc.SHA256, Generation: doc.Generation, ACL: acl}
	for i, text := range texts {
		c := corpus.Chunk{ChunkRef: corpus.ChunkRef{Tenant: tenant, Document: id, Version: doc.SHA256, Ordinal: i}, Text: text, CharEnd: len([]rune(text)), Page: i + 1}
		check(t, s.catalog.PutChunks(ctx, ref, []corpus.Chunk{c}))
		v, err := s.embedder.Embed(ctx, embed.Passage, []string{text})
		check(t, err)
		check(t, s.index.Upsert(ctx, vd, []vector.Point{{Ordinal: i, Text: text, Dense: v[0]}}))
	}
	_, open, err := s.catalog.Extracted(ctx, ref, catalog.Extraction{Chunks: len(texts), Pages: len(texts), MediaType: "text/plain"})
	check(t, err)
	for _, b := range open {
		_, err := s.catalog.FinishBatch(ctx, ref, b.Number)
		check(t, err)
	}
	check(t, s.index.Activate(ctx, vd))
	_, err = s.catalog.GoLive(ctx, ref)
	check(t, err)
}

func (s *stack) search(t *testing.T, q event.Search) event.SearchResult {
	t.Helper()
	data, err := json.Marshal(q)
	check(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for { // the service subscribes while the test begins
		m, err := s.broker.NATS.RequestWithContext(ctx, event.SearchSubject(q.Tenant), data)
		if err != nil && ctx.Err() == nil {
			continue
		}
		check(t, err)
		var r event.SearchResult
		check(t, json.Unmarshal(m.Data, &r))
		return r
	}
}

// ask publishes a question and returns what the retriever made of it: the
// event that follows, and the first frame, which for a question without Stream is a generator's.
func (s *stack) ask(t *testing.T, asked event.ChatAsked) (event.ChatRetrieved, reply.Frame) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	inbox := s.hub.Expect(asked.ID)
	defer inbox.Close()
	e := event.New(corpus.DefaultTenant, time.Now(), asked)
	e.ReplyTo, e.Deadline = s.hub.Subject(asked.ID), time.Now().Add(bound)
	check(t, s.broker.Publisher.Publish(ctx, e))
	c, err := s.broker.JS.Consumer(ctx, broker.StreamChat, broker.ConsumerGenerator)
	check(t, err)
	m, err := c.Next(jetstream.FetchMaxWait(bound))
	check(t, err)
	check(t, m.Ack())
	got, err := event.Decode(event.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
	check(t, err)
	if got.ReplyTo != e.ReplyTo || !got.Deadline.Equal(e.Deadline) {
		t.Errorf("reply %q, deadline %s were not handed on", got.ReplyTo, got.Deadline)
	}
	retrieved, ok := got.Data.(event.ChatRetrieved)
	if !ok {
		t.Fatalf("a %T follows", got.Data)
	}
	if !asked.Stream {
		w, err := reply.NewWriter(s.broker.NATS, e.ReplyTo, asked.ID, reply.Generate, 1)
		check(t, err)
		check(t, w.End(json.RawMessage("{}")))
	}
	frame, err := inbox.Next(ctx)
	check(t, err)
	return retrieved, frame
}

func asking(id, text string) event.ChatAsked {
	return event.ChatAsked{ID: id, ConversationID: "c", Owner: "me", Question: text, Stream: true, AskedAt: time.Now()}
}

func TestAQuestionGetsItsPassages(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.put(t, "default", "herring", nil, "The herring swims in large schools.", "It is caught with nets in spring.")
	s.put(t, "default", "salmon", nil, "The salmon climbs rivers to spawn.")
	retrieved, frame := s.ask(t, asking("q1", "When is the herring caught with nets?"))
	if frame.Type != reply.Sources || len(retrieved.Passages.List()) == 0 || retrieved.Passages.List()[0].Text != "It is caught with nets in spring." {
		t.Fatalf("frame %s, passages %+v", frame.Type, retrieved.Passages.List())
	}
	p := retrieved.Passages.List()[0]
	if p.DocumentID != "herring" || p.Title != "About herring" || p.PageStart == nil || *p.PageStart != 2 || p.Scores.Keyword == nil {
		t.Errorf("passage %+v", p)
	}
	var framed []corpus.Passage
	check(t, json.Unmarshal(frame.Data, &framed))
	if len(framed) != len(retrieved.Passages.List()) || framed[0].ID != p.ID {
		t.Errorf("the frame has %d passages, the event %d", len(framed), len(retrieved.Passages.List()))
	}
}

// Whoever waits for the whole answer gets its sources from the generator, with it.
func TestWithoutStreamNoFrameIsSent(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.put(t, "default", "salmon", nil, "The salmon climbs rivers to spawn.")
	asked := asking("whole", "What does the salmon climb?")
	asked.Stream = false
	retrieved, frame := s.ask(t, asked)
	if frame.Stage != reply.Generate || len(retrieved.Passages.List()) != 1 {
		t.Errorf("the first frame is %s of %s; %d passages", frame.Type, frame.Stage, len(retrieved.Passages.List()))
	}
}

func TestACourtesyIsNotSearched(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.put(t, "default", "preface", nil, "Many thanks go to all who helped. Thanks!")
	retrieved, frame := s.ask(t, asking("thanks", "Thanks!"))
	if retrieved.Relevant || len(retrieved.Passages.List()) != 0 || frame.Type != reply.Sources || string(frame.Data) != "[]" {
		t.Errorf("relevant %t, %d passages, frame %s %s", retrieved.Relevant, len(retrieved.Passages.List()), frame.Type, frame.Data)
	}
}

func TestAFollowUpIsSearchedWithItsConversation(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.put(t, "default", "salmon", nil, "The salmon climbs rivers to spawn.")
	caller := conversation.Caller{Tenant: "default", Owner: "me"}
	first, _, err := s.conversations.Accept(t.Context(), conversation.Question{Caller: caller, ID: "q1", Text: "What does the salmon do?", AskedAt: time.Now()})
	check(t, err)
	_, err = s.conversations.Finish(t.Context(), caller, conversation.Answer{
		ID: "q1", ConversationID: first.Question.ConversationID, Status: conversation.Completed, Answer: "It climbs rivers.", Sources: json.RawMessage("[]"), CreatedAt: time.Now(),
	})
	check(t, err)
	_, _, err = s.conversations.Accept(t.Context(), conversation.Question{Caller: caller, ID: "q2", ConversationID: first.Question.ConversationID, Text: "And why does it do that?", AskedAt: time.Now()})
	check(t, err)
	asked := asking("q2", "And why does it do that?")
	asked.ConversationID, asked.Followup = first.Question.ConversationID, true
	retrieved, _ := s.ask(t, asked)
	if !strings.Contains(retrieved.SearchQuery, "salmon") || len(retrieved.Passages.List()) != 1 || len(retrieved.History) != 2 {
		t.Errorf("searched %q with %d passages and history %+v", retrieved.SearchQuery, len(retrieved.Passages.List()), retrieved.History)
	}
}

func TestASearchSeesOnlyItsTenantAndItsOwn(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.put(t, "default", "open", nil, "The treasure is a herring.")
	s.put(t, "default", "secret", []string{"captain"}, "The treasure is under the mast.")
	s.put(t, "other", "foreign", nil, "The treasure is in another ship.")
	for _, c := range []struct {
		tenant     string
		principals []string
		want       string
	}{{"default", nil, "[open]"}, {"default", []string{"captain"}, "[open secret]"}, {"other", []string{"captain"}, "[foreign]"}, {"nobody", nil, "[]"}} {
		for _, mode := range []string{"hybrid", "keyword", "dense"} {
			r := s.search(t, event.Search{Tenant: c.tenant, Principals: c.principals, Query: "treasure", Limit: 10, Mode: mode})
			ids := map[string]bool{}
			for _, p := range r.Passages {
				ids[p.DocumentID] = true
			}
			if got := fmt.Sprint(keys(ids)); got != c.want || r.Problem != nil {
				t.Errorf("%s %v %s: %s, problem %+v, want %s", c.tenant, c.principals, mode, got, r.Problem, c.want)
			}
		}
	}
}

func keys(m map[string]bool) []string {
	out := []string{}
	for _, k := range []string{"foreign", "open", "secret"} {
		if m[k] {
			out = append(out, k)
		}
	}
	return out
}

func TestAnAclThatTheIndexDoesNotKnowYetHoldsAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.put(t, "default", "open", nil, "The treasure is a herring.")
	scope, err := corpus.SystemScope("default")
	check(t, err)
	acl := []string{"captain"}
	_, err = s.catalog.Patch(t.Context(), scope, "open", catalog.Patch{ACL: &acl})
	check(t, err)
	if r := s.search(t, event.Search{Tenant: "default", Query: "treasure", Limit: 10, Mode: "keyword"}); len(r.Passages) != 0 {
		t.Errorf("still visible: %+v", r.Passages)
	}
}

func TestNearDuplicatesAreShownOnce(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	text := "The herring swims in large schools through the northern seas, and every spring it comes close to the coast."
	s.put(t, "default", "a-copy", nil, text)
	s.put(t, "default", "b-copy", nil, text+" ")
	s.put(t, "default", "c-other", nil, "The herring is smoked over beech wood for two days before it is sold on the market.")
	r := s.search(t, event.Search{Tenant: "default", Query: "herring", Limit: 10, Mode: "keyword"})
	if len(r.Passages) != 2 {
		t.Errorf("%d passages", len(r.Passages))
	}
}

func TestWithoutItsEmbedderASearchGoesOnAndSaysSo(t *testing.T) {
	t.Parallel()
	broken := false
	s := start(t, scriptembed.Config{Fail: func(_ int, purpose embed.Purpose, _ []string) error {
		if broken && purpose == embed.Query {
			return errors.New("the model is away")
		}
		return nil
	}})
	s.put(t, "default", "open", nil, "The treasure is a herring.")
	broken = true
	r := s.search(t, event.Search{Tenant: "default", Query: "treasure", Limit: 10, Mode: "hybrid"})
	if len(r.Passages) != 1 || len(r.Timings.Degraded) != 1 || r.Timings.Degraded[0] != "dense" {
		t.Errorf("got %+v", r)
	}
	if r = s.search(t, event.Search{Tenant: "default", Query: "treasure", Limit: 10, Mode: "dense"}); r.Problem == nil || r.Problem.Class != "transient" {
		t.Errorf("a dense search got %+v", r)
	}
}

func TestBadSearchesAreRefusedWithTheirReason(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	for _, q := range []event.Search{
		{Tenant: "default", Query: "x", Limit: 0, Mode: "hybrid"}, {Tenant: "default", Query: "x", Limit: 101, Mode: "hybrid"}, {Tenant: "default", Query: "x", Limit: 5, Mode: "magic"},
	} {
		if r := s.search(t, q); r.Problem == nil || r.Problem.Class != "invalid" || r.Problem.Field == "" {
			t.Errorf("%+v: %+v", q, r.Problem)
		}
	}
	data, err := json.Marshal(event.Search{Tenant: "other", Query: "x", Limit: 1, Mode: "keyword"})
	check(t, err)
	m, err := s.broker.NATS.Request(event.SearchSubject("default"), data, bound)
	check(t, err)
	if !strings.Contains(string(m.Data), "invalid_search") {
		t.Errorf("a search for another tenant than the subject's: %s", m.Data)
	}
}

// gone is an index that is away for good.
type gone struct{ vector.Store }

func (gone) Search(context.Context, vector.Query) ([]vector.Hit, error) {
	return nil, errors.New("connection refused: password hush")
}

func TestAQuestionThatCannotBeSearchedEndsWithAnError(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{}, func(d *Deps) { d.Index = gone{d.Index} })
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	caller := conversation.Caller{Tenant: "default", Owner: "me"}
	turn, _, err := s.conversations.Accept(ctx, conversation.Question{Caller: caller, ID: "q1", Text: "Where?", AskedAt: time.Now()})
	check(t, err)
	asked := asking("q1", "Where?")
	asked.ConversationID = turn.Question.ConversationID
	inbox := s.hub.Expect("q1")
	defer inbox.Close()
	e := event.New(corpus.DefaultTenant, time.Now(), asked)
	e.ReplyTo, e.Deadline = s.hub.Subject("q1"), time.Now().Add(bound)
	check(t, s.broker.Publisher.Publish(ctx, e))
	frame, err := inbox.Next(ctx)
	check(t, err)
	if frame.Type != reply.Error || strings.Contains(string(frame.Data), "hush") {
		t.Errorf("frame %s: %s", frame.Type, frame.Data)
	}
	turn, err = s.conversations.Get(ctx, caller, "q1")
	check(t, err)
	if turn.Answer.Status != conversation.Failed || turn.Answer.Error == nil {
		t.Errorf("stored: %+v", turn.Answer)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
