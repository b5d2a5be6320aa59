// Package vector is the port to the search index: chunks with a dense vector
// and their words go in, ranked hits come out. The index holds nothing that
// cannot be rebuilt from the catalog; it never decides who may exist, only
// who is found. Adapters live beside it; vectortest is the contract suite
// that each of them passes.
package vector

import (
	"context"
	"errors"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
)

// Depth is how many hits each leg contributes to fusion.
const Depth = 100

// ErrStale is returned when a write carries a generation older than one the
// index has already seen for that document: the writer is late and must stop.
// Stores return it as a Permanent fault.
var ErrStale = errors.New("vector: a newer generation of the document was written")

// Document names one version of a document and what filters read of it.
type Document struct {
	Tenant     string
	Collection string
	ID         string
	Version    string
	// Generation fences late writers: it only grows for a document.
	Generation int64
	// ACL is who may see it; nil means everyone in the tenant.
	ACL []string
	// Metadata values are string, float64 or bool.
	Metadata map[string]any
}

// Point is one chunk of a version.
type Point struct {
	// Ordinal is the chunk's place in its version.
	Ordinal int
	// Text is what the keyword leg reads: header and chunk, as embedded.
	Text string
	// Dense is a unit vector of the index's dimensions, or nil for a chunk
	// that only the keyword leg finds. NaN and infinity are refused.
	Dense []float32
}

// Mode selects the legs of a search.
type Mode string

// The modes of search.
const (
	Hybrid  Mode = "hybrid"
	Keyword Mode = "keyword"
	Dense   Mode = "dense"
)

// Query asks for the best chunks that a caller may see.
type Query struct {
	// Scope is mandatory; a zero Scope panics.
	Scope corpus.Scope
	// Collections to search; empty means all of the tenant.
	Collections []string
	Filter      corpus.Filter
	Mode        Mode
	// Text is the question, for the keyword leg.
	Text string
	// Dense is the question's vector; a hybrid query without it is a keyword query.
	Dense []float32
	// Fusion combines the legs of a hybrid query.
	Fusion embed.Fusion
	// Limit is the number of hits wanted, 1 to 200.
	Limit int
}

// Hit is a found chunk. Keyword and Dense are its raw scores (BM25, cosine);
// Score is the fused one. Keyword is nil where the keyword leg did not find it.
// Dense is nil in a keyword search and for a chunk without a vector; every other
// hit of a hybrid search has its cosine, also when only the keyword leg found it.
type Hit struct {
	Ref        corpus.ChunkRef
	Collection string
	Score      float64
	Keyword    *float64
	Dense      *float64
}

// Store is an index of live and dark versions.
//
// All methods are safe for concurrent use, idempotent, and return classified
// errors (package fault). Writes are durable when they return. A search sees
// a write as soon as it has returned, and sees of each document one version,
// whole, or none.
type Store interface {
	// Upsert writes points of doc's version, dark: no search sees them until
	// Activate. The same ordinal replaces; points of the version that is live
	// already need another Activate. It returns ErrStale when a newer
	// generation was written or deleted. Points of another dimension, with
	// NaN or with infinity are an Invalid fault and nothing is written.
	Upsert(ctx context.Context, doc Document, points []Point) error

	// Activate makes doc's version the live one in one step, with doc's ACL
	// and metadata. Points of other versions turn dark. ErrStale as above.
	Activate(ctx context.Context, doc Document) error

	// SetAttributes replaces ACL and metadata of the document, whatever its
	// version, without touching vectors. An unknown document is not an error.
	SetAttributes(ctx context.Context, doc Document) error

	// Sweep removes every version but doc's. ErrStale as above.
	Sweep(ctx context.Context, doc Document) error

	// Delete removes all of a document's points at once and remembers the
	// generation, so that late writers of it or of an older one get ErrStale.
	// What a newer generation has written already stays: then the deletion is
	// the late one, and that is not an error.
	Delete(ctx context.Context, tenant, document string, generation int64) error

	// Count returns how many points a version has, live or dark.
	Count(ctx context.Context, tenant, document, version string) (int, error)

	// Search returns at most q.Limit hits, best first; ties are ordered by
	// document, then ordinal. IDF is computed over the tenant and collections
	// searched, never over others. A question without terms finds nothing in
	// the keyword leg; an unknown collection is an empty one.
	Search(ctx context.Context, q Query) ([]Hit, error)

	// Ready returns nil when searches give complete answers, else why not.
	Ready(ctx context.Context) error
}
