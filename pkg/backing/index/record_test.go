package index_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/index"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// library is a record of documents, and the index that belongs to it.
type library struct {
	documents *sqlcatalog.Store
	embedder  *counting
}

// counting counts the texts that are embedded.
type counting struct {
	embed.Embedder
	texts int
}

func (c *counting) Embed(ctx context.Context, p embed.Purpose, texts []string) ([][]float32, error) {
	c.texts += len(texts)
	return c.Embedder.Embed(ctx, p, texts)
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqldb.FileURL(t.TempDir() + "/record.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	documents, err := sqlcatalog.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	e, err := scriptembed.New(scriptembed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &library{documents: documents, embedder: &counting{Embedder: e}}
}

// add indexes a document of n chunks that are about a word, in the record alone.
func (l *library) add(t *testing.T, tenant, id, word string, n int) corpus.Document {
	t.Helper()
	doc, _, err := l.documents.Accept(t.Context(), catalog.Upload{
		Tenant: tenant, ID: id, Collection: "default", Title: "About " + id, SHA256: catalog.TextHash(id + word), BlobKey: "documents/" + tenant + "/" + id + "/" + word,
		Metadata: map[string]any{"word": word}, MediaType: "text/plain", Bytes: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	ref := catalog.Ref{Tenant: tenant, ID: id, Generation: doc.Generation}
	if _, _, err := l.documents.Begin(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	chunks := make([]corpus.Chunk, n)
	for i := range chunks {
		text := fmt.Sprintf("Part %d tells of the %s and nothing else.", i, word)
		chunks[i] = corpus.Chunk{ChunkRef: corpus.ChunkRef{Tenant: tenant, Document: id, Version: doc.SHA256, Ordinal: i}, Text: text, CharEnd: len(text)}
	}
	if err := l.documents.PutChunks(t.Context(), ref, chunks); err != nil {
		t.Fatal(err)
	}
	doc, open, err := l.documents.Extracted(t.Context(), ref, catalog.Extraction{MediaType: "text/plain", Chunks: n})
	if err != nil {
		t.Fatal(err)
	}
	vectors := map[string][]float32{}
	for _, c := range chunks {
		text := c.EmbeddingText(doc.Title)
		v, err := l.embedder.Embedder.Embed(t.Context(), embed.Passage, []string{text})
		if err != nil {
			t.Fatal(err)
		}
		vectors[catalog.TextHash(text)] = v[0]
	}
	if err := l.documents.PutVectors(t.Context(), ref, l.embedder.Profile().Key(), vectors); err != nil {
		t.Fatal(err)
	}
	for _, b := range open {
		if _, err := l.documents.FinishBatch(t.Context(), ref, b.Number); err != nil {
			t.Fatal(err)
		}
	}
	if doc, err = l.documents.GoLive(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	return doc
}

func (l *library) record() index.Record {
	return index.Record{Documents: l.documents, Embedder: l.embedder, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// found returns which documents of a tenant a keyword search finds, each once.
func found(t *testing.T, s vector.Store, e embed.Embedder, tenant, word string) string {
	t.Helper()
	scope, err := corpus.NewScope(tenant)
	if err != nil {
		t.Fatal(err)
	}
	dense, err := e.Embed(t.Context(), embed.Query, []string{word})
	if err != nil {
		t.Fatal(err)
	}
	hits, err := s.Search(t.Context(), vector.Query{Scope: scope, Text: word, Dense: dense[0], Mode: vector.Keyword, Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, h := range hits {
		ids = append(ids, h.Ref.Document)
	}
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " ")
}

func TestALostIndexIsRebuiltFromTheRecordWithoutEmbedding(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.add(t, "acme", "ships", "schooner", 150)
	l.add(t, "acme", "birds", "kestrel", 3)
	l.add(t, "other", "ships", "schooner", 2)
	gone := l.add(t, "acme", "gone", "schooner", 2)
	system, err := corpus.SystemScope("acme")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.documents.Delete(t.Context(), system, gone.ID); err != nil {
		t.Fatal(err)
	}

	cfg := index.Config{URL: config.URL("qdrant://" + qdranttest.Start(t, qdranttest.Options{}))}
	for round := range 2 {
		report, err := index.Reindex(t.Context(), cfg, l.record())
		if err != nil {
			t.Fatal(err)
		}
		if report.Documents < 3 || report.Points != 155 {
			t.Errorf("round %d: %+v", round, report)
		}
	}
	if l.embedder.texts != 0 {
		t.Errorf("%d texts were embedded again", l.embedder.texts)
	}
	host := backing.Host{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), OnClose: closing(t), OnProbe: func(lifecycle.Check) {}}
	s, err := index.Open(t.Context(), host, cfg, l.embedder.Profile())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ tenant, word, want string }{
		{"acme", "schooner", "ships"}, {"acme", "kestrel", "birds"}, {"other", "schooner", "ships"}, {"other", "kestrel", ""},
	} {
		if got := found(t, s, l.embedder.Embedder, c.tenant, c.word); got != c.want {
			t.Errorf("%s finds %q for %s, want %q", c.tenant, got, c.word, c.want)
		}
	}
	if n, err := s.Count(t.Context(), "acme", "ships", catalog.TextHash("shipsschooner")); err != nil || n != 150 {
		t.Errorf("%d points of the long document, %v", n, err)
	}
}

func TestATitleThatWasChangedIsEmbeddedWithItsTexts(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.add(t, "acme", "ships", "schooner", 3)
	system, err := corpus.SystemScope("acme")
	if err != nil {
		t.Fatal(err)
	}
	title := "Sailing"
	if _, err := l.documents.Patch(t.Context(), system, "ships", catalog.Patch{Title: &title}); err != nil {
		t.Fatal(err)
	}
	report, err := index.Reindex(t.Context(), index.Config{URL: config.URL("qdrant://" + qdranttest.Start(t, qdranttest.Options{}))}, l.record())
	if err != nil || report.Points != 3 || l.embedder.texts != 3 {
		t.Errorf("%+v, %d texts embedded, %v", report, l.embedder.texts, err)
	}
}

func closing(t *testing.T) func(func(context.Context) error) {
	t.Helper()
	return func(f func(context.Context) error) {
		t.Cleanup(func() {
			if err := f(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
}
