// Package vectortest is the contract suite of [vector.Store]: every store
// passes all of it, or says in [Caps] what it cannot do and why.
package vectortest

import (
	"hash/fnv"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/vector"
)

// Dimensions of the vectors that the suite writes: stores are opened with it.
const Dimensions = 32

// Caps says what a store can do beyond the minimum.
type Caps struct {
	// Reopen closes the store and opens it again over the same data. Nil when
	// the store does not live in this process.
	Reopen func(t *testing.T, s vector.Store) vector.Store
	// ScopedIDF is set when IDF counts only the collections searched.
	ScopedIDF bool
	// SharedIDF is set when IDF counts all tenants' points, dark ones too, which
	// moves scores: a Qdrant server before 1.19 can do no better.
	SharedIDF bool
	// Tolerance is how far a cosine may be from the exact one.
	Tolerance float64
}

// Fusion is what the suite's hybrid queries use.
func Fusion() embed.Fusion {
	return embed.Fusion{Method: embed.ScaledMax, DenseWeight: 0.5, ForeignDenseWeight: 0.2}
}

// Run checks a store against the contract. open returns an empty, ready store
// of [Dimensions] dimensions and closes it when the test ends; it is called
// once for each case.
func Run(t *testing.T, open func(t *testing.T) vector.Store, caps Caps) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, f fixture)
	}{
		{"points are dark until their version is activated", darkUntilActivated},
		{"a new version replaces the old one whole", newVersionReplaces},
		{"a document may move to another collection", movesCollection},
		{"a version without points hides the document", emptyVersion},
		{"upserting again changes nothing", upsertIsIdempotent},
		{"late writers are refused", lateWriters},
		{"a deletion is seen at once and remembered", deletion},
		{"a late deletion keeps what is newer", lateDeletion},
		{"sweeping leaves one version", sweeping},
		{"attributes change without the points", attributesChange},
		{"count counts dark and live points", counting},
		{"what it holds can be inspected", inspection},
		{"all that it holds can be walked", walking},
		{"a document can be forgotten", forgetting},
		{"principals decide who sees a document", principals},
		{"filters test metadata", filters},
		{"collections limit a search", collections},
		{"modes search their legs", modes},
		{"cosines are exact and ordered", cosines},
		{"keyword scores are BM25 over what is searched", keywordScores},
		{"hybrid hits have their cosines", hybridCosines},
		{"ties are ordered by document and ordinal", ties},
		{"filters apply before the cut", filterBeforeCut},
		{"questions without terms find nothing by keyword", noTerms},
		{"bad points are refused and nothing is written", badPoints},
		{"bad queries are refused", badQueries},
		{"a read without a scope panics", zeroScope},
		{"any text is accepted", anyText},
		{"a cancelled context ends a call", cancelled},
		{"tenants never meet", tenantsNeverMeet},
		{"other tenants do not move scores", otherTenantsKeepScores},
		{"searches see whole versions while they change", wholeVersions},
		{"five thousand points", manyPoints},
		{"a reopened store has everything", reopened},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, fixture{Store: open(t), caps: caps})
		})
	}
}

// fixture is a store with shorthands that fail the test.
type fixture struct {
	vector.Store
	caps Caps
}

// document returns version v1 of a public document in the collection "c".
func document(id string) vector.Document {
	return vector.Document{Tenant: "t", Collection: "c", ID: id, Version: "v1", Generation: 1}
}

// points returns a point for each text, with a vector.
func points(texts ...string) []vector.Point {
	out := make([]vector.Point, len(texts))
	for i, text := range texts {
		out[i] = vector.Point{Ordinal: i, Text: text, Dense: Vector(text)}
	}
	return out
}

// Vector returns a unit vector that depends on the words of the text, so that
// texts with common words are near each other.
func Vector(text string) []float32 {
	v := make([]float32, Dimensions)
	for word := range strings.FieldsSeq(strings.ToLower(text)) {
		h := fnv.New64a()
		_, _ = h.Write([]byte(word))
		x := h.Sum64()
		for i := range v {
			x = x*6364136223846793005 + 1442695040888963407
			v[i] += float32(int32(x>>33)-1<<30) / (1 << 30)
		}
	}
	norm := math.Sqrt(dot(v, v))
	if norm == 0 {
		v[0], norm = 1, 1
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / norm)
	}
	return v
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func scope(t *testing.T, tenant string, principals ...string) corpus.Scope {
	t.Helper()
	s, err := corpus.NewScope(tenant, principals...)
	if err != nil {
		t.Fatalf("scope: %v", err)
	}
	return s
}

func (f fixture) upsert(t *testing.T, doc vector.Document, p []vector.Point) {
	t.Helper()
	if err := f.Upsert(t.Context(), doc, p); err != nil {
		t.Fatalf("upsert %s: %v", doc.ID, err)
	}
}

func (f fixture) activate(t *testing.T, doc vector.Document) {
	t.Helper()
	if err := f.Activate(t.Context(), doc); err != nil {
		t.Fatalf("activate %s: %v", doc.ID, err)
	}
}

// live writes a version and makes it live.
func (f fixture) live(t *testing.T, doc vector.Document, texts ...string) {
	t.Helper()
	f.upsert(t, doc, points(texts...))
	f.activate(t, doc)
}

func (f fixture) search(t *testing.T, q vector.Query) []vector.Hit {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 10
	}
	q.Fusion = Fusion()
	hits, err := f.Search(t.Context(), q)
	if err != nil {
		t.Fatalf("search %q: %v", q.Text, err)
	}
	return hits
}

// keyword returns the chunk ids that a keyword search of tenant t finds.
func (f fixture) keyword(t *testing.T, text string) []string {
	t.Helper()
	return ids(f.search(t, vector.Query{Scope: scope(t, "t"), Mode: vector.Keyword, Text: text}))
}

func ids(hits []vector.Hit) []string {
	out := make([]string, len(hits))
	for i, h := range hits {
		out[i] = h.Ref.ID()
	}
	return out
}

func same[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
