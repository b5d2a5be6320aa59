// Package catalogtest is the contract of catalog.Store and
// catalog.VectorCache: every adapter passes it.
package catalogtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Store is what an adapter implements.
type Store interface {
	catalog.Store
	catalog.VectorCache
	catalog.Walker
	catalog.Sweeper
}

// Open returns a Store on an empty database, which ends with the test.
type Open func(t *testing.T) Store

// Run runs the whole contract.
func Run(t *testing.T, open Open) {
	t.Helper()
	run(t, open, map[string]map[string]func(*testing.T, *fixture){
		"Accept":    acceptCases(),
		"Once":      onceCases(),
		"May":       mayCases(),
		"Describe":  describeCases(),
		"Life":      lifeCases(),
		"Fence":     fenceCases(),
		"Delete":    deleteCases(),
		"List":      listCases(),
		"Find":      findCases(),
		"Visible":   visibleCases(),
		"Vectors":   vectorCases(),
		"Sweep":     sweepCases(),
		"Walk":      walkCases(),
		"Sweeper":   sweeperCases(),
		"Line":      lineCases(),
		"Reopen":    reopenCases(),
		"Together":  raceCases(),
		"Any order": modelCases(),
	})
}

// RunSearches runs the part of the contract that says what searches see, for
// a Store whose Find and whose changes are those of different processes.
func RunSearches(t *testing.T, open Open) {
	t.Helper()
	run(t, open, map[string]map[string]func(*testing.T, *fixture){"List": listCases(), "Find": findCases(), "Visible": visibleCases()})
}

func run(t *testing.T, open Open, groups map[string]map[string]func(*testing.T, *fixture)) {
	t.Helper()
	for name, group := range groups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, run := range group {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					run(t, newFixture(t, open(t)))
				})
			}
		})
	}
}

const tenant = "acme"

// fixture is a store with what tests do to it all the time.
type fixture struct {
	Store
	everyone corpus.Scope
	system   corpus.Scope
}

func newFixture(t *testing.T, s Store) *fixture {
	t.Helper()
	system, err := corpus.SystemScope(tenant)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{Store: s, everyone: scope(t), system: system}
}

func scope(t *testing.T, principals ...string) corpus.Scope {
	t.Helper()
	s, err := corpus.NewScope(tenant, principals...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// upload returns an upload of a document whose bytes are content.
func upload(id, content string) catalog.Upload {
	return catalog.Upload{
		Tenant: tenant, ID: id, Collection: "default", Title: "A title", Filename: "a.txt", Source: "https://example.org/a",
		MediaType: "text/plain", Bytes: int64(len(content)), SHA256: catalog.TextHash(content),
		BlobKey:  "documents/" + tenant + "/" + id + "/" + catalog.TextHash(content)[:8],
		Metadata: map[string]any{"lang": "en", "year": 2024.0, "draft": false},
	}
}

func (f *fixture) accept(t *testing.T, u catalog.Upload, want catalog.Outcome) corpus.Document {
	t.Helper()
	doc, outcome, err := f.Accept(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if outcome != want {
		t.Fatalf("accept of %s: outcome %d, want %d", u.ID, outcome, want)
	}
	return doc
}

func ref(d corpus.Document) catalog.Ref {
	return catalog.Ref{Tenant: d.Tenant, ID: d.ID, Generation: d.Generation}
}

// chunksOf makes n chunks of a document's current version.
func chunksOf(d corpus.Document, n int) []corpus.Chunk {
	chunks := make([]corpus.Chunk, n)
	for i := range chunks {
		text := fmt.Sprintf("chunk %d of %.8s: größer, 日本語 and 'quotes'", i, d.SHA256)
		chunks[i] = corpus.Chunk{
			ChunkRef: corpus.ChunkRef{Tenant: d.Tenant, Document: d.ID, Version: d.SHA256, Ordinal: i},
			Text:     text, Section: fmt.Sprint("Section ", i%3), Page: i%5 + 1, CharStart: i * 10, CharEnd: i*10 + len([]rune(text)),
		}
	}
	return chunks
}

func chunkRefs(chunks []corpus.Chunk) []corpus.ChunkRef {
	refs := make([]corpus.ChunkRef, len(chunks))
	for i, c := range chunks {
		refs[i] = c.ChunkRef
	}
	return refs
}

// extract takes an accepted document to embedding, with n chunks.
func (f *fixture) extract(t *testing.T, d corpus.Document, n int) (corpus.Document, []catalog.Batch) {
	t.Helper()
	if _, _, err := f.Begin(t.Context(), ref(d)); err != nil {
		t.Fatal(err)
	}
	if err := f.PutChunks(t.Context(), ref(d), chunksOf(d, n)); err != nil {
		t.Fatal(err)
	}
	doc, open, err := f.Extracted(t.Context(), ref(d), catalog.Extraction{MediaType: "text/markdown", Title: "Found", Chunks: n, Pages: 5, Warnings: []string{"page 3 is empty"}})
	if err != nil {
		t.Fatal(err)
	}
	return doc, open
}

// index takes an accepted document to indexed.
func (f *fixture) index(t *testing.T, d corpus.Document, n int) corpus.Document {
	t.Helper()
	_, open := f.extract(t, d, n)
	for _, b := range open {
		if _, err := f.FinishBatch(t.Context(), ref(d), b.Number); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := f.GoLive(t.Context(), ref(d))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// fail takes an accepted document to failed.
func (f *fixture) fail(t *testing.T, d corpus.Document, retryable bool) corpus.Document {
	t.Helper()
	doc, err := f.Fail(t.Context(), ref(d), corpus.Failure{Code: "unreadable", Message: "the file cannot be read", Retryable: retryable})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func (f *fixture) delete(t *testing.T, id string) corpus.Document {
	t.Helper()
	doc, err := f.Delete(t.Context(), f.system, id)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func (f *fixture) current(t *testing.T, id string) corpus.Document {
	t.Helper()
	doc, err := f.Document(t.Context(), tenant, id)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// live returns the chunks of the live version of document d.
func (f *fixture) live(t *testing.T) []corpus.Chunk {
	t.Helper()
	chunks, err := f.ListChunks(t.Context(), f.system, "d", -1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return chunks
}

func wantStatus(t *testing.T, d corpus.Document, status corpus.Status, generation int64) {
	t.Helper()
	if d.Status != status || d.Generation != generation {
		t.Errorf("the document is %s in generation %d, want %s in %d", d.Status, d.Generation, status, generation)
	}
}

func wantStale(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, catalog.ErrStale) {
		t.Errorf("%s: got %v, want ErrStale", what, err)
	}
}

func wantFault(t *testing.T, what string, err error, class fault.Class, code string) {
	t.Helper()
	if !fault.Is(err, class) {
		t.Errorf("%s: got %v, want a fault that is %s", what, err, class)
		return
	}
	if got, _ := fault.Public(err); got != code {
		t.Errorf("%s: code %q, want %q", what, got, code)
	}
}

func wantNotFound(t *testing.T, what string, err error) {
	t.Helper()
	wantFault(t, what, err, fault.NotFound, "document_not_found")
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func ids(docs []corpus.Document) string {
	var b strings.Builder
	for _, d := range docs {
		b.WriteString(d.ID + " ")
	}
	return strings.TrimSpace(b.String())
}
