package ingestor

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
)

func TestMain(m *testing.M) {
	if IsExtractionChild() {
		os.Exit(ExtractionChild(os.Stdin, os.Stdout))
	}
	leaktest.Main(m)
}

// bound is how long a test waits for what must come; it comes much sooner.
const bound = 30 * time.Second

// stack is an ingestor on real parts.
type stack struct {
	*Service
	broker   *brokertest.Broker
	catalog  *sqlcatalog.Store
	blobs    *blob.Store
	index    vector.Index
	db       *sqldb.DB
	deps     Deps
	record   *numbered
	embedder *scriptembed.Embedder
	prefix   string
	stop     func()
}

// option changes the parts before the service is made.
type option func(cfg *Config, deps *Deps)

func start(t *testing.T, script scriptembed.Config, options ...option) *stack {
	t.Helper()
	s := prepare(t, script, options...)
	s.run(t)
	return s
}

// prepare makes a stack whose service is not running yet.
func prepare(t testing.TB, script scriptembed.Config, options ...option) *stack {
	t.Helper()
	dir := t.TempDir()
	ctx := t.Context()
	s := &stack{broker: brokertest.Start(t)}
	db, err := sqldb.Open(ctx, sqldb.Config{URL: sqldb.FileURL(filepath.Join(dir, "ragbus.db"))})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	s.catalog, err = sqlcatalog.Open(ctx, db)
	check(t, err)
	blobs, err := blob.Open(ctx, "mem://")
	check(t, err)
	t.Cleanup(func() { check(t, blobs.Close()) })
	s.embedder, err = scriptembed.New(script)
	check(t, err)
	profile := s.embedder.Profile()
	s.db = db
	embedded, err := embeddedvector.Open(ctx, embeddedvector.Config{
		Path: filepath.Join(dir, "index.db"), Dimensions: profile.Dimensions, ProfileKey: profile.Key(), Logger: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	t.Cleanup(func() { check(t, embedded.Close()) })
	s.prefix = filepath.Join(dir, "incoming")
	check(t, os.Mkdir(s.prefix, 0o700))
	s.record = &numbered{Record: s.catalog}
	cfg := Config{
		DatarefPrefixes: []string{"file://" + s.prefix}, TempDir: t.TempDir(), PullWait: 200 * time.Millisecond,
		SweepInterval: time.Hour, Lease: time.Hour,
	}
	deps := Deps{
		Log: slog.New(slog.DiscardHandler), JetStream: s.broker.JS, Catalog: s.catalog, Vectors: s.catalog, Record: s.record, Blobs: blobs,
		Index: embedded, Embedder: s.embedder,
	}
	for _, o := range options {
		o(&cfg, &deps)
	}
	s.index, s.blobs, s.deps = deps.Index, deps.Blobs, deps
	s.Service, err = New(cfg, deps)
	check(t, err)
	return s
}

// run starts the service; stop, or the end of the test, ends it.
func (s *stack) run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(s.stop)
}

// accept stores bytes and a catalog row as the gateway does, and publishes nothing.
func (s *stack) accept(t *testing.T, id, name, text string) (corpus.Document, catalog.Outcome) {
	t.Helper()
	key, err := blob.Key(corpus.DefaultTenant, id, corpus.NewID())
	check(t, err)
	info, err := s.blobs.Put(t.Context(), key, bytes.NewReader([]byte(text)), blob.PutOptions{MaxBytes: 1 << 30})
	check(t, err)
	doc, outcome, err := s.catalog.Accept(t.Context(), catalog.Upload{
		Tenant: corpus.DefaultTenant, ID: id, Collection: corpus.DefaultCollection, Filename: name, Bytes: info.Bytes, SHA256: info.SHA256, BlobKey: key,
	})
	check(t, err)
	return doc, outcome
}

func (s *stack) publish(t *testing.T, data event.Payload) {
	t.Helper()
	check(t, s.broker.Publisher.Publish(t.Context(), event.New(corpus.DefaultTenant, time.Now(), data)))
}

// upload accepts, publishes and waits until the document is settled.
func (s *stack) upload(t *testing.T, id, name, text string) corpus.Document {
	t.Helper()
	doc, _ := s.accept(t, id, name, text)
	s.publish(t, event.DocumentUploaded{ID: id, Generation: doc.Generation})
	return s.settled(t, id, doc.Generation)
}

// settled waits for the fact that ends a generation.
func (s *stack) settled(t *testing.T, id string, generation int64) corpus.Document {
	t.Helper()
	s.fact(t, id, generation)
	doc, err := s.catalog.Document(t.Context(), corpus.DefaultTenant, id)
	check(t, err)
	return doc
}

// fact waits for the event that tells the end of a generation and returns its kind.
func (s *stack) fact(t *testing.T, id string, generation int64) event.Kind {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	c, err := s.broker.JS.OrderedConsumer(ctx, broker.StreamEvents, jetstream.OrderedConsumerConfig{})
	check(t, err)
	messages, err := c.Messages()
	check(t, err)
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			doc, lookup := s.catalog.Document(t.Context(), corpus.DefaultTenant, id)
			t.Fatalf("no end of %s generation %d: %v; it is %+v, %v", id, generation, err, doc, lookup)
		}
		e, err := event.Decode(event.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		check(t, err)
		switch d := e.Data.(type) {
		case event.DocumentIndexed:
			if d.ID == id && d.Generation == generation {
				return e.Kind()
			}
		case event.DocumentFailed:
			if d.ID == id && d.Generation == generation {
				return e.Kind()
			}
		case event.DocumentRemoved:
			if d.ID == id && d.Generation == generation {
				return e.Kind()
			}
		}
	}
}

// search returns the hits of a keyword query.
func (s *stack) search(t *testing.T, text string) []vector.Hit {
	t.Helper()
	scope, err := corpus.NewScope(corpus.DefaultTenant)
	check(t, err)
	hits, err := s.index.Search(t.Context(), vector.Query{Scope: scope, Mode: vector.Keyword, Text: text, Limit: 100})
	check(t, err)
	return hits
}

// whole fails unless the live version is in the index exactly once, chunk by
// chunk, and nothing else of the document is.
func (s *stack) whole(t *testing.T, doc corpus.Document) {
	t.Helper()
	if doc.Status != corpus.Indexed || doc.LiveVersion != doc.SHA256 || doc.Embedded != doc.Chunks || doc.Chunks == 0 {
		t.Fatalf("not whole: %+v", doc)
	}
	count, err := s.index.Count(t.Context(), doc.Tenant, doc.ID, doc.SHA256)
	check(t, err)
	scope, err := corpus.SystemScope(doc.Tenant)
	check(t, err)
	chunks, err := s.catalog.ListChunks(t.Context(), scope, doc.ID, -1, 10_000)
	check(t, err)
	if count != doc.Chunks || len(chunks) != doc.Chunks {
		t.Fatalf("%d points, %d rows, %d chunks", count, len(chunks), doc.Chunks)
	}
}

// blobKeys returns the keys of all bytes in the store.
func (s *stack) blobKeys(t *testing.T) []string {
	t.Helper()
	var keys []string
	for item, err := range s.blobs.List(t.Context(), "documents/") {
		check(t, err)
		keys = append(keys, item.Key)
	}
	return keys
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// publisherOf returns the publisher that a service of these parts would make itself.
func publisherOf(d *Deps) *broker.Publisher { return broker.NewPublisher(d.JetStream) }
