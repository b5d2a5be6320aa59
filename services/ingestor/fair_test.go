package ingestor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/admission"
	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
)

// acceptFor is accept for any tenant.
func (s *stack) acceptFor(t testing.TB, tenant, id, text string) corpus.Document {
	t.Helper()
	key, err := blob.Key(tenant, id, corpus.NewID())
	check(t, err)
	info, err := s.blobs.Put(t.Context(), key, bytes.NewReader([]byte(text)), blob.PutOptions{MaxBytes: 1 << 30})
	check(t, err)
	doc, _, err := s.catalog.Accept(t.Context(), catalog.Upload{
		Tenant: tenant, ID: id, Collection: corpus.DefaultCollection, Filename: "d.md", Bytes: info.Bytes, SHA256: info.SHA256, BlobKey: key,
	})
	check(t, err)
	return doc
}

// gate is a window as the gateway has one.
func (s *stack) gate() *admission.Window {
	return admission.New(admission.Config{Size: s.cfg.TenantWindow, Log: s.log}, s.broker.JS, s.catalog, s.broker.Publisher)
}

// uploadFor accepts a document and lets its work in, as the gateway does.
func (s *stack) uploadFor(t testing.TB, gate *admission.Window, tenant, id, text string) {
	t.Helper()
	doc := s.acceptFor(t, tenant, id, text)
	check(t, gate.Publish(t.Context(), event.New(tenant, time.Now(), event.DocumentUploaded{ID: id, Generation: doc.Generation})))
}

// facts calls each for every document that ends, in order, until it returns true.
func (s *stack) facts(t *testing.T, each func(kind event.Kind, tenant, id string) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*bound)
	defer cancel()
	c, err := s.broker.JS.OrderedConsumer(ctx, broker.StreamEvents, jetstream.OrderedConsumerConfig{})
	check(t, err)
	messages, err := c.Messages()
	check(t, err)
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		check(t, err)
		e, err := event.Decode(event.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		check(t, err)
		id := ""
		switch d := e.Data.(type) {
		case event.DocumentIndexed:
			id = d.ID
		case event.DocumentFailed:
			id = d.ID
		case event.DocumentRemoved:
			id = d.ID
		}
		if each(e.Kind(), e.Tenant, id) {
			return
		}
	}
}

func size(n int) option {
	return func(c *Config, _ *Deps) { c.TenantWindow = n }
}

// TestNobodyStandsBehindAllOfAnothersWork: one tenant has hundreds of documents
// in line when another uploads one. How many of the first are indexed before
// the second's is bounded by windows, whatever the machine does.
func TestNobodyStandsBehindAllOfAnothersWork(t *testing.T) {
	t.Parallel()
	const window, crowd = 8, 300
	s := prepare(t, scriptembed.Config{}, size(window))
	gate := s.gate()
	for i := range crowd {
		s.uploadFor(t, gate, "bulk", fmt.Sprint("d", i), "herring in a barrel")
	}
	if n := s.broker.Messages(broker.StreamIngest); n != window {
		t.Fatalf("%d messages in the queue for a window of %d", n, window)
	}
	s.run(t)
	indexed, before, asked, done := 0, -1, -1, false
	s.facts(t, func(kind event.Kind, tenant, id string) bool {
		if kind != event.KindDocumentIndexed {
			t.Errorf("%s of %s: %s", id, tenant, kind)
		}
		if tenant == "bulk" {
			indexed++
		} else {
			before, done = indexed, true
		}
		if asked < 0 && indexed == 20 {
			asked = indexed
			s.uploadFor(t, gate, "single", "mine", "one salmon")
		}
		return done && indexed == crowd
	})
	// A window before it is read, a window before it is embedded, and what was
	// in work or on its way to us.
	if most := 4 * window; before-asked > most {
		t.Errorf("%d documents of another tenant were indexed first; want at most %d", before-asked, most)
	}
	s.empty(t)
}

// TestACrowdSurvivesRestarts: what stands in the queue is lost, with many more
// in line behind it whom nobody will tell, and the ingestor is restarted in the
// middle again and again. All of them end indexed.
func TestACrowdSurvivesRestarts(t *testing.T) {
	t.Parallel()
	const window, crowd, restarts = 4, 160, 4
	s := prepare(t, scriptembed.Config{}, size(window))
	gate := s.gate()
	for i := range crowd {
		s.uploadFor(t, gate, "bulk", fmt.Sprint("d", i), "herring in a barrel")
	}
	// What stands in the queue is lost at once, as with a broker's disk.
	queue, err := s.broker.JS.Stream(t.Context(), broker.StreamIngest)
	check(t, err)
	check(t, queue.Purge(t.Context()))
	indexed := map[string]bool{}
	run := func() {
		again, err := New(s.cfg, s.deps)
		check(t, err)
		s.Service = again
		s.run(t)
	}
	run()
	s.facts(t, func(_ event.Kind, _, id string) bool {
		indexed[id] = true
		if n := len(indexed); n%(crowd/(restarts+1)) == 0 && n < crowd-window {
			s.stop()
			run()
		}
		return len(indexed) == crowd-window
	})
	// What was lost with the queue is found by its lease.
	s.stop()
	s.after(2 * s.cfg.Lease)
	check(t, s.emitStalled(t.Context(), s.fence(t)))
	s.run(t)
	s.facts(t, func(_ event.Kind, _, id string) bool {
		indexed[id] = true
		return len(indexed) == crowd
	})
	for i := range crowd {
		doc, err := s.catalog.Document(t.Context(), "bulk", fmt.Sprint("d", i))
		check(t, err)
		points, err := s.index.Count(t.Context(), "bulk", doc.ID, doc.SHA256)
		check(t, err)
		if doc.Status != corpus.Indexed || points != doc.Chunks {
			t.Errorf("%s: %s, %d points of %d", doc.ID, doc.Status, points, doc.Chunks)
		}
	}
	s.empty(t)
}

// empty fails unless nothing waits or is queued any more.
func (s *stack) empty(t *testing.T) {
	t.Helper()
	lines, err := s.catalog.Lines(t.Context(), "", "", 10)
	check(t, err)
	if len(lines) > 0 {
		t.Errorf("still in line: %+v", lines)
	}
	if letters := s.dead(t); letters > 0 {
		t.Errorf("%d dead letters", letters)
	}
}

// TestALargeDocumentIsNotBeforeAnothersSmallOne: of its batches only a window
// is in the queue.
func TestALargeDocumentIsNotBeforeAnothersSmallOne(t *testing.T) {
	t.Parallel()
	const window = 2
	held := newHold()
	s := prepare(t, scriptembed.Config{}, size(window), func(c *Config, d *Deps) {
		c.EmbedSlots = 1
		d.Vectors = held.around(d.Vectors)
	})
	gate := s.gate()
	s.uploadFor(t, gate, "bulk", "book", book("herring", 1000))
	s.run(t)
	<-held.reached // its first batch is in work
	s.uploadFor(t, gate, "single", "mine", "one salmon")
	held.release()
	var order []string
	s.facts(t, func(_ event.Kind, tenant, _ string) bool {
		order = append(order, tenant)
		return len(order) == 2
	})
	if order[0] != "single" {
		t.Errorf("they ended in the order %v", order)
	}
	doc, err := s.catalog.Document(t.Context(), "bulk", "book")
	check(t, err)
	points, err := s.index.Count(t.Context(), doc.Tenant, doc.ID, doc.SHA256)
	check(t, err)
	if doc.Status != corpus.Indexed || doc.Chunks <= 10*catalog.BatchSize || points != doc.Chunks || doc.Embedded != doc.Chunks {
		t.Errorf("%d points, %+v", points, doc)
	}
	s.empty(t)
}

// TestOneTenantLeavesSlotsOfTheBuiltInEmbedder: whatever batches of one
// tenant's are embedded, and however long that takes, another's is too.
func TestOneTenantLeavesSlotsOfTheBuiltInEmbedder(t *testing.T) {
	t.Parallel()
	slow := &slowEmbedder{word: "herring", released: make(chan struct{}), waiting: make(chan struct{}, 100)}
	s := prepare(t, scriptembed.Config{}, func(_ *Config, d *Deps) {
		slow.Embedder, d.Embedder = d.Embedder, slow
	})
	gate := s.gate()
	s.uploadFor(t, gate, "bulk", "book", book("herring", 1000))
	s.run(t)
	for range s.window.Size(catalog.Embed) {
		<-slow.waiting
	}
	s.uploadFor(t, gate, "single", "mine", "one salmon")
	var order []string
	s.facts(t, func(_ event.Kind, tenant, _ string) bool {
		if order = append(order, tenant); len(order) == 1 {
			close(slow.released)
		}
		return len(order) == 2
	})
	if order[0] != "single" {
		t.Errorf("they ended in the order %v", order)
	}
	s.empty(t)
}

// slowEmbedder says that it is built in, and takes for texts with a word until
// it is released.
type slowEmbedder struct {
	embed.Embedder
	word     string
	waiting  chan struct{}
	released chan struct{}
}

func (e *slowEmbedder) Profile() embed.Profile {
	p := e.Embedder.Profile()
	p.Provider = embed.Builtin
	return p
}

func (e *slowEmbedder) Embed(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	if len(texts) > 0 && strings.Contains(texts[0], e.word) {
		select {
		case e.waiting <- struct{}{}:
		default:
		}
		select {
		case <-e.released:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return e.Embedder.Embed(ctx, purpose, texts)
}

func TestWindows(t *testing.T) {
	t.Parallel()
	local, remote := embed.Profile{Provider: embed.Builtin}, embed.Profile{Provider: "openai"}
	for name, c := range map[string]struct {
		config               Config
		embedder             embed.Profile
		slots, size, batches int
	}{
		"remote":           {Config{}, remote, 4, admission.DefaultWindow, admission.DefaultWindow},
		"built in":         {Config{}, local, 8, admission.DefaultWindow, 4},
		"built in, slots":  {Config{EmbedSlots: 3}, local, 3, admission.DefaultWindow, 1},
		"built in, window": {Config{TenantWindow: 64}, local, 8, 64, 64},
		"remote, alone":    {Config{Alone: true, ExtractSlots: 2}, remote, 4, 6, 6},
		"built in, alone":  {Config{Alone: true, ExtractSlots: 2}, local, 8, 6, 4},
		"alone, window":    {Config{Alone: true, TenantWindow: 64}, local, 8, 64, 64},
		"remote, window":   {Config{TenantWindow: 64}, remote, 4, 64, 64},
	} {
		size, batches := c.config.windows(c.embedder)
		if slots := c.config.withSlots(c.embedder).EmbedSlots; slots != c.slots || size != c.size || batches != c.batches {
			t.Errorf("%s: %d slots, windows of %d and %d", name, slots, size, batches)
		}
	}
}

// TestOneTenantLeavesPlacesToRead: whatever documents of one tenant's are read,
// and however long that takes, another's is too.
func TestOneTenantLeavesPlacesToRead(t *testing.T) {
	t.Parallel()
	slow := &slowChunks{tenant: "bulk", released: make(chan struct{}), waiting: make(chan struct{}, 100)}
	s := prepare(t, scriptembed.Config{}, func(c *Config, d *Deps) {
		c.Alone, c.ExtractSlots = true, 2
		slow.Store, d.Catalog = d.Catalog, slow
	})
	gate := admission.New(admission.Config{Size: s.cfg.AloneWindow(), Log: s.log}, s.broker.JS, s.catalog, s.broker.Publisher)
	const crowd = 30
	for i := range crowd {
		s.uploadFor(t, gate, "bulk", fmt.Sprint("d", i), "herring in a barrel")
	}
	s.run(t)
	for range 2 {
		<-slow.waiting
	}
	s.uploadFor(t, gate, "single", "mine", "one salmon")
	var order []string
	s.facts(t, func(_ event.Kind, tenant, _ string) bool {
		if order = append(order, tenant); len(order) == 1 {
			close(slow.released)
		}
		return len(order) == crowd+1
	})
	if order[0] != "single" {
		t.Errorf("they ended in the order %v", order)
	}
	s.empty(t)
}

// slowChunks takes for the chunks of one tenant until it is released.
type slowChunks struct {
	catalog.Store
	tenant   string
	waiting  chan struct{}
	released chan struct{}
}

func (c *slowChunks) PutChunks(ctx context.Context, ref catalog.Ref, chunks []corpus.Chunk) error {
	if ref.Tenant == c.tenant {
		select {
		case c.waiting <- struct{}{}:
		default:
		}
		select {
		case <-c.released:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return c.Store.PutChunks(ctx, ref, chunks)
}

// hold stops the first who looks for vectors until it is released.
type hold struct {
	catalog.VectorCache
	reached, released chan struct{}
	once              sync.Once
}

func newHold() *hold { return &hold{reached: make(chan struct{}), released: make(chan struct{})} }

func (h *hold) around(v catalog.VectorCache) *hold {
	h.VectorCache = v
	return h
}

func (h *hold) release() { close(h.released) }

func (h *hold) Vectors(ctx context.Context, tenant, profile string, hashes []string) (map[string][]float32, error) {
	h.once.Do(func() { close(h.reached) })
	select {
	case <-h.released:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return h.VectorCache.Vectors(ctx, tenant, profile, hashes)
}

// counted counts the turns that were put in line.
type counted struct {
	catalog.Store
	turns *atomic.Int64
}

func (c counted) Wait(ctx context.Context, t catalog.Turn) error {
	c.turns.Add(1)
	return c.Store.Wait(ctx, t)
}

// TestWhatPipelinesSendYieldsToo: their events are in the queue whatever the
// window is, but only taking them in goes before others' work.
func TestWhatPipelinesSendYieldsToo(t *testing.T) {
	t.Parallel()
	const window, sent = 2, 20
	var turns atomic.Int64
	s := prepare(t, scriptembed.Config{}, size(window), func(_ *Config, d *Deps) { d.Catalog = counted{d.Catalog, &turns} })
	for i := range sent {
		name := filepath.Join(s.prefix, fmt.Sprintf("d%d.md", i))
		check(t, os.WriteFile(name, fmt.Appendf(nil, "herring number %d", i), 0o600))
		s.publish(t, event.DocumentUploaded{ID: fmt.Sprint("d", i), DataRef: "file://" + name})
	}
	s.run(t)
	indexed := 0
	s.facts(t, func(kind event.Kind, _, id string) bool {
		if kind != event.KindDocumentIndexed {
			t.Errorf("%s: %s", id, kind)
		}
		indexed++
		return indexed == sent
	})
	// At first more are in the queue than the window. Each document waits for
	// its extraction and for its one batch, at most.
	if n := turns.Load(); n < sent/2 || n > 2*sent {
		t.Errorf("of %d documents, %d pieces of work were put in line", sent, n)
	}
	s.empty(t)
}
