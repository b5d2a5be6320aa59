package search

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// fixed is an index that always finds the same, one chunk of each document.
type fixed struct {
	vector.Store

	hits     int
	searches int
}

func (f *fixed) Search(_ context.Context, q vector.Query) ([]vector.Hit, error) {
	f.searches++
	hits := make([]vector.Hit, min(f.hits, q.Limit))
	for i := range hits {
		hits[i] = vector.Hit{Ref: corpus.ChunkRef{Tenant: q.Scope.Tenant(), Document: fmt.Sprint("d", i), Version: "v"}, Score: float64(-i)}
	}
	return hits, nil
}

// texts is a catalog of documents by their number. Those without a text are gone.
type texts struct {
	of     []string
	looked []int
}

func (c *texts) Find(_ context.Context, _ corpus.Scope, refs []corpus.ChunkRef) ([]catalog.Found, error) {
	c.looked = append(c.looked, len(refs))
	var found []catalog.Found
	for _, ref := range refs {
		var n int
		if _, err := fmt.Sscanf(ref.Document, "d%d", &n); err != nil {
			return nil, err
		}
		if c.of[n] != "" {
			found = append(found, catalog.Found{
				Chunk: corpus.Chunk{ChunkRef: ref, Text: c.of[n]}, Document: corpus.Document{ID: ref.Document, LiveVersion: "v"},
			})
		}
	}
	return found, nil
}

func TestSpareHitsAreLookedUpWhenOthersFallOut(t *testing.T) {
	t.Parallel()
	const limit = 3
	for _, c := range []struct {
		name     string
		of       []string
		want     []string
		looked   []int
		searches int
	}{
		{"none falls out", []string{"a", "b", "c", "d"}, []string{"d0", "d1", "d2"}, []int{3}, 1},
		{"a duplicate", []string{"a", "a", "c", "d", "e"}, []string{"d0", "d2", "d3"}, []int{3, 2}, 1},
		{"a spare duplicate", []string{"a", "a", "c", "c", "e"}, []string{"d0", "d2", "d4"}, []int{3, 2}, 1},
		{"too few", []string{"a", "a"}, []string{"d0"}, []int{2}, 1},
		{"nothing", nil, []string{}, nil, 1},
		{"one is gone: searched again", []string{"a", "", "c", "d"}, []string{"d0", "d2", "d3"}, []int{3, 1, 3, 1}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			embedder, err := scriptembed.New(scriptembed.Config{})
			if err != nil {
				t.Fatal(err)
			}
			scope, err := corpus.NewScope(corpus.DefaultTenant)
			if err != nil {
				t.Fatal(err)
			}
			index, known := &fixed{hits: len(c.of)}, &texts{of: c.of}
			r, err := New(embedder, index, known).Search(t.Context(), Request{Scope: scope, Query: "q", Mode: vector.Hybrid, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, p := range r.Passages {
				got = append(got, p.DocumentID)
			}
			if !slices.Equal(got, c.want) || r.Passages == nil {
				t.Errorf("passages %v, want %v", got, c.want)
			}
			if !slices.Equal(known.looked, c.looked) || index.searches != c.searches {
				t.Errorf("%d searches, looked up %v; want %d, %v", index.searches, known.looked, c.searches, c.looked)
			}
		})
	}
}

// unscoped is an index on a server that cannot tell tenants apart when it
// counts how rare words are.
type unscoped struct{ fixed }

func (*unscoped) IDFScope() string { return "all tenants" }

func TestTheSpanOfASearchExplainsIt(t *testing.T) {
	t.Parallel()
	embedder, err := scriptembed.New(scriptembed.Config{Fail: func(int, embed.Purpose, []string) error {
		return fault.Transientf("embedder_unavailable", "away")
	}})
	if err != nil {
		t.Fatal(err)
	}
	scope, err := corpus.NewScope(corpus.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	recorder := tracetest.NewSpanRecorder()
	ctx, parent := trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test").Start(t.Context(), "process")
	searcher := New(embedder, &unscoped{fixed{hits: 4}}, &texts{of: []string{"a", "a", "the secret of a document", "d"}})
	if _, err := searcher.Search(ctx, Request{Scope: scope, Query: "a secret question", Mode: vector.Hybrid, Limit: 2}); err != nil {
		t.Fatal(err)
	}
	parent.End()
	var names []string
	got := map[string]string{}
	for _, s := range recorder.Ended() {
		names = append(names, s.Name())
		for _, a := range s.Attributes() {
			got[string(a.Key)] = a.Value.String()
		}
	}
	if diff := cmp.Diff([]string{"vector", "catalog", "catalog", "search", "process"}, names); diff != "" {
		t.Error(diff)
	}
	want := map[string]string{
		"ragbus.search.mode": "keyword", "ragbus.search.hits": "4", "ragbus.search.keyword_hits": "0", "ragbus.search.dense_hits": "0",
		"ragbus.search.passages": "2", "ragbus.search.relevant": "true", "ragbus.search.degraded": `["dense"]`, "ragbus.search.idf_scope": "all tenants",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
