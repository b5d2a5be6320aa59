package qdrantvector_test

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/qdrantvector"
	"github.com/ragbus/ragbus/pkg/vector/vectortest"
)

// record is the truth that a rebuild reads: what the catalog is in production.
type record struct {
	mu   sync.Mutex
	rows map[string]row
	// between is called before each version is returned. May be nil.
	between func(n int)
}

type row struct {
	doc     vector.Document
	state   qdrantvector.State
	texts   []string
	changed time.Time
}

func (r *record) set(doc vector.Document, state qdrantvector.State, texts ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows == nil {
		r.rows = make(map[string]row)
	}
	r.rows[doc.ID] = row{doc, state, texts, time.Now()}
}

func (r *record) Versions(_ context.Context, since time.Time) iter.Seq2[qdrantvector.Version, error] {
	return func(yield func(qdrantvector.Version, error) bool) {
		r.mu.Lock()
		rows := maps.Clone(r.rows)
		r.mu.Unlock()
		for n, id := range slices.Sorted(maps.Keys(rows)) {
			if r.between != nil {
				r.between(n)
			}
			found := rows[id]
			if found.changed.Before(since) {
				continue
			}
			v := qdrantvector.Version{Document: found.doc, State: found.state, Chunks: len(found.texts)}
			if found.state != qdrantvector.Gone {
				v.Points = func(yield func(vector.Point, error) bool) {
					for _, p := range pointsOf(found.texts...) {
						if !yield(p, nil) {
							return
						}
					}
				}
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (r *record) Attributes(_ context.Context, _, document string) ([]string, map[string]any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rows[document].doc.ACL, r.rows[document].doc.Metadata, nil
}

func pointsOf(texts ...string) []vector.Point {
	out := make([]vector.Point, len(texts))
	for i, text := range texts {
		out[i] = vector.Point{Ordinal: i, Text: text, Dense: vectortest.Vector(text)}
	}
	return out
}

func documentOf(id string) vector.Document {
	return vector.Document{Tenant: "t", Collection: "c", ID: id, Version: "v1", Generation: 1}
}

func live(tb testing.TB, s vector.Store, doc vector.Document, texts ...string) {
	tb.Helper()
	if err := s.Upsert(tb.Context(), doc, pointsOf(texts...)); err != nil {
		tb.Fatal(err)
	}
	if err := s.Activate(tb.Context(), doc); err != nil {
		tb.Fatal(err)
	}
}

func hybrid(tb testing.TB, s vector.Store, text string, principals ...string) []vector.Hit {
	tb.Helper()
	scope, err := corpus.NewScope("t", principals...)
	if err != nil {
		tb.Fatal(err)
	}
	hits, err := s.Search(tb.Context(), vector.Query{
		Scope: scope, Mode: vector.Hybrid, Text: text, Dense: vectortest.Vector(text), Limit: 100, Fusion: vectortest.Fusion(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return hits
}

func idsOf(hits []vector.Hit) []string {
	out := make([]string, len(hits))
	for i, h := range hits {
		out[i] = h.Ref.ID()
	}
	slices.Sort(out)
	return out
}

func expect(tb testing.TB, what string, want, got any) {
	tb.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// closing changes a document between its reading and its writing.
type closing struct {
	record
	close func(*record)
}

func (c *closing) Versions(ctx context.Context, since time.Time) iter.Seq2[qdrantvector.Version, error] {
	return func(yield func(qdrantvector.Version, error) bool) {
		for v, err := range c.record.Versions(ctx, since) {
			c.close(&c.record)
			if !yield(v, err) {
				return
			}
		}
	}
}
