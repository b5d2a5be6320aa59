// Package search turns a question into the passages that a caller may see,
// best first: embed, search the index, check every hit against the catalog,
// drop near-duplicates.
package search

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/telemetry/span"
	"github.com/ragbus/ragbus/pkg/vector"
)

// spare is how many hits are fetched beyond the limit, to replace those that
// turn out to be near-duplicates or gone.
const spare = 6

// finder is what search reads of the catalog.
type finder interface {
	Find(ctx context.Context, scope corpus.Scope, refs []corpus.ChunkRef) ([]catalog.Found, error)
}

// Searcher finds passages. It is safe for concurrent use.
type Searcher struct {
	embedder embed.Embedder
	index    vector.Store
	catalog  finder
	prints   prints
	// idfScope is what the rarity of words is counted over, where the index says so.
	idfScope string
}

// New returns a Searcher over an index that was filled with the embedder's vectors.
func New(embedder embed.Embedder, index vector.Store, catalog finder) *Searcher {
	s := &Searcher{embedder: embedder, index: index, catalog: catalog, prints: newPrints()}
	if scoped, ok := index.(interface{ IDFScope() string }); ok {
		s.idfScope = scoped.IDFScope()
	}
	return s
}

// Request asks for passages.
type Request struct {
	Scope       corpus.Scope
	Query       string
	Collections []string
	Filter      corpus.Filter
	Mode        vector.Mode
	// Limit is the number of passages wanted, 1 to 100.
	Limit int
}

// Result is what was found.
type Result struct {
	// Passages are ordered by score and free of near-duplicates.
	Passages []corpus.Passage
	// Relevant is false when nothing found has a word of the query and all of
	// it is surely unrelated by the measure of the embedding model.
	Relevant bool
	// Degraded names the legs that had to be left out.
	Degraded []string
	// Embedding and Searching are the times spent in each step.
	Embedding, Searching time.Duration
}

// DegradedDense says in a Result that the dense leg was left out.
const DegradedDense = "dense"

// Search finds passages. When the embedder fails, a hybrid search goes on
// with keywords alone and says so; a dense one fails. Its span is the record
// of how the passages came about.
func (s *Searcher) Search(ctx context.Context, r Request) (out Result, err error) {
	ctx, step := span.Step(ctx, "search")
	defer func() { step.End(err) }()
	q := vector.Query{
		Scope: r.Scope, Collections: r.Collections, Filter: r.Filter, Mode: r.Mode, Text: r.Query,
		Fusion: s.embedder.Profile().Fusion, Limit: r.Limit + spare,
	}
	if r.Mode != vector.Keyword {
		started := time.Now()
		vectors, err := s.embedder.Embed(ctx, embed.Query, []string{r.Query})
		out.Embedding = time.Since(started)
		switch {
		case err == nil:
			q.Dense = vectors[0]
		case r.Mode == vector.Dense || ctx.Err() != nil:
			return Result{}, fmt.Errorf("embed the query: %w", err)
		default:
			q.Mode, out.Degraded = vector.Keyword, []string{DegradedDense}
		}
	}
	started := time.Now()
	hits, list, err := s.find(ctx, q, r.Limit)
	if err != nil {
		return Result{}, err
	}
	out.Passages = list
	out.Searching = time.Since(started)
	out.Relevant = s.relevant(q, hits)
	if step.Recording() {
		step.Set(s.explain(q, hits, out)...)
	}
	return out, nil
}

// explain tells how a search went, without a word of what was searched for.
func (s *Searcher) explain(q vector.Query, hits []vector.Hit, out Result) []attribute.KeyValue {
	legs := map[string]int{}
	for _, h := range hits {
		if h.Keyword != nil {
			legs["keyword"]++
		}
		if h.Dense != nil {
			legs["dense"]++
		}
	}
	list := []attribute.KeyValue{
		attribute.String("ragbus.search.mode", string(q.Mode)), attribute.Int("ragbus.search.hits", len(hits)),
		attribute.Int("ragbus.search.keyword_hits", legs["keyword"]), attribute.Int("ragbus.search.dense_hits", legs["dense"]),
		attribute.Int("ragbus.search.passages", len(out.Passages)), attribute.Bool("ragbus.search.relevant", out.Relevant),
		attribute.StringSlice("ragbus.search.degraded", out.Degraded),
	}
	if s.idfScope != "" {
		list = append(list, attribute.String("ragbus.search.idf_scope", s.idfScope))
	}
	return list
}

// find searches and looks the hits up in the catalog. A version that was
// swept between the two is searched for once more: the index has its
// successor by then.
func (s *Searcher) find(ctx context.Context, q vector.Query, limit int) ([]vector.Hit, []corpus.Passage, error) {
	for attempt := 0; ; attempt++ {
		hits, err := s.ask(ctx, q)
		if err != nil {
			return nil, nil, fmt.Errorf("search the index: %w", err)
		}
		list, gone, err := s.lookUp(ctx, q.Scope, hits, limit)
		if err != nil {
			return nil, nil, err
		}
		if gone == 0 || attempt > 0 {
			return hits, list, nil
		}
	}
}

func (s *Searcher) ask(ctx context.Context, q vector.Query) ([]vector.Hit, error) {
	ctx, call := span.Call(ctx, "vector")
	hits, err := s.index.Search(ctx, q)
	call.End(err)
	return hits, err
}

func (s *Searcher) read(ctx context.Context, scope corpus.Scope, refs []corpus.ChunkRef) ([]catalog.Found, error) {
	ctx, call := span.Call(ctx, "catalog")
	found, err := s.catalog.Find(ctx, scope, refs)
	call.End(err)
	return found, err
}

// lookUp returns at most limit passages, best first, and how many hits the
// catalog did not know. The spare hits are looked up only when others fall
// out, which is seldom: texts are most of what a search costs.
func (s *Searcher) lookUp(ctx context.Context, scope corpus.Scope, hits []vector.Hit, limit int) (list []corpus.Passage, gone int, err error) {
	list = []corpus.Passage{}
	known := make([]known, 0, len(hits))
	for _, some := range [][]vector.Hit{hits[:min(limit, len(hits))], hits[min(limit, len(hits)):]} {
		if len(some) == 0 || len(list) == limit {
			break
		}
		refs := make([]corpus.ChunkRef, len(some))
		for i := range some {
			refs[i] = some[i].Ref
		}
		found, err := s.read(ctx, scope, refs)
		if err != nil {
			return nil, 0, fmt.Errorf("look up %d hits: %w", len(refs), err)
		}
		gone += len(some) - len(found)
		known = match(known, some, found)
		list = s.passages(known, limit)
	}
	return list, gone, nil
}

// known is a hit with what the catalog knows of it.
type known struct {
	hit   *vector.Hit
	found *catalog.Found
}

// match appends to list what was found with the hits that it is of. Found is
// in their order, and seldom without any of them.
func match(list []known, hits []vector.Hit, found []catalog.Found) []known {
	all := len(found) == len(hits)
	for i := range hits {
		if len(found) > 0 && (all || found[0].Chunk.ChunkRef == hits[i].Ref) {
			list = append(list, known{&hits[i], &found[0]})
			found = found[1:]
		}
	}
	return list
}

// relevant is false only when no word matches and the model's cosine says for
// certain that nothing does; a cosine never overrules a matching word.
func (s *Searcher) relevant(q vector.Query, hits []vector.Hit) bool {
	if len(hits) == 0 {
		return false
	}
	if q.Dense == nil {
		return true
	}
	for _, h := range hits {
		if h.Keyword != nil || h.Dense == nil || *h.Dense >= s.embedder.Profile().MinScore {
			return true
		}
	}
	return false
}

// passages makes the first limit passages of list, in its order.
func (s *Searcher) passages(list []known, limit int) []corpus.Passage {
	out := make([]corpus.Passage, 0, min(limit, len(list)))
	seen := passagesSeen{known: s.prints, seen: make([]*fingerprint, 0, cap(out))}
	chosen := versions(list)
	for i := 0; i < len(list) && len(out) < limit; i++ {
		f := list[i].found
		if chosen[f.Document.ID] == f.Chunk.Version && !seen.nearDuplicate(&f.Chunk) {
			out = append(out, passage(list[i].hit, f))
		}
	}
	return out
}

// versions chooses one version of each document. Two meet when a new version
// went live between the legs of one search.
func versions(list []known) map[string]string {
	chosen := make(map[string]string, len(list))
	for _, k := range list {
		f := k.found
		if _, ok := chosen[f.Document.ID]; !ok || f.Chunk.Version == f.Document.LiveVersion {
			chosen[f.Document.ID] = f.Chunk.Version
		}
	}
	return chosen
}

// passage copies what it points to: a pointer into f would keep all of it.
func passage(h *vector.Hit, f *catalog.Found) corpus.Passage {
	p := corpus.Passage{
		ID: f.Chunk.ID(), DocumentID: f.Document.ID, Version: f.Chunk.Version, Title: f.Document.Title,
		Section: f.Chunk.Section, CharStart: f.Chunk.CharStart, CharEnd: f.Chunk.CharEnd, Text: f.Chunk.Text,
		Score: h.Score, Scores: corpus.Scores{Keyword: h.Keyword, Dense: h.Dense},
	}
	if source := f.Document.Source; source != "" {
		p.Source = &source
	}
	if page := f.Chunk.Page; page > 0 {
		p.PageStart, p.PageEnd = &page, &page
	}
	return p
}

// CheckQuery returns an Invalid fault unless the mode is known.
func CheckQuery(mode vector.Mode, limit int) error {
	switch mode {
	case vector.Hybrid, vector.Keyword, vector.Dense:
	default:
		return fault.Invalidf("invalid_mode", "mode is %q; use hybrid, keyword or dense", mode).WithField("mode")
	}
	if limit < 1 || limit > 100 {
		return fault.Invalidf("invalid_limit", "limit is %d; use 1 to 100", limit).WithField("limit")
	}
	return nil
}
