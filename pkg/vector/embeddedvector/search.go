package embeddedvector

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/vector"
)

// maxLimit is the greatest number of hits a query may ask for.
const maxLimit = 200

// Search implements [vector.Store]. It takes no lock and sees one state of
// the index from beginning to end.
func (s *Store) Search(ctx context.Context, q vector.Query) ([]vector.Hit, error) {
	tenant := q.Scope.Tenant()
	if err := s.checkQuery(&q); err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	t := s.knownTenant(tenant)
	if t == nil {
		return nil, ctx.Err()
	}
	run := s.newRun(*t.view.Load(), q)
	defer s.scratch.Put(run.scratch)
	hits, err := run.hits(ctx)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return hits, nil
}

func (s *Store) checkQuery(q *vector.Query) error {
	if q.Limit < 1 || q.Limit > maxLimit {
		return fault.Invalidf("invalid_limit", "limit is %d; use 1 to %d", q.Limit, maxLimit).WithField("limit")
	}
	if len(q.Dense) > 0 {
		if err := checkVector("dense", q.Dense, s.cfg.Dimensions); err != nil {
			return err
		}
	}
	switch q.Mode {
	case vector.Keyword:
	case vector.Hybrid:
		if len(q.Dense) == 0 {
			q.Mode = vector.Keyword
		}
	case vector.Dense:
		if len(q.Dense) == 0 {
			return fault.Invalidf("invalid_vector", "a dense search needs a vector").WithField("dense")
		}
	default:
		return fault.Invalidf("invalid_mode", "mode %q is not known; use hybrid, keyword or dense", q.Mode).WithField("mode")
	}
	return nil
}

// piece is a part within a run, with its place in the run's arrays.
type piece struct {
	part
	collection string
	// chunkBase and documentBase are added to numbers within the part.
	chunkBase, documentBase int
}

// run is one search over one state.
type run struct {
	query   vector.Query
	tenant  string
	words   *lexical.Analyzer
	scratch *scratch
	pieces  []piece
	// chunks and documents count dead ones too; live does not.
	chunks, documents, live int
	foreign                 bool
	languages               lexical.Set
}

// scratch is memory that runs reuse.
type scratch struct {
	// scores of the keyword leg, by chunk.
	scores []float32
	// decisions on documents: undecided, visible or invisible. Both legs and
	// all goroutines of a run share the first decision.
	decisions []uint32
	dots      []int32
}

const (
	undecided = iota
	visible
	invisible
)

func (s *Store) newRun(v view, q vector.Query) *run {
	r := &run{query: q, tenant: q.Scope.Tenant(), words: s.words}
	names := slices.Clone(q.Collections)
	if len(names) == 0 {
		for name := range v {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	words, english := 0, 0
	for _, name := range slices.Compact(names) {
		c := v[name]
		if c == nil {
			continue
		}
		r.live += c.chunks
		words += c.words
		english += c.english
		for _, p := range c.parts {
			r.pieces = append(r.pieces, piece{part: p, collection: name, chunkBase: r.chunks, documentBase: r.documents})
			r.chunks += p.size()
			r.documents += len(p.documents)
			r.languages |= p.languages
		}
	}
	r.foreign = lexical.Foreign(words, english)
	r.scratch = s.takeScratch()
	r.scratch.decisions = zeroed(r.scratch.decisions, r.documents)
	return r
}

func zeroed[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// sees reports whether the document of a piece is live and the caller may see
// it under the query's filter. It asks once for each document.
func (r *run) sees(p *piece, document uint32) bool {
	decision := &r.scratch.decisions[p.documentBase+int(document)]
	d := atomic.LoadUint32(decision)
	if d == undecided {
		d = invisible
		if !p.isDead(document) && p.documents[document].attributes.Load().visible(r.query.Scope, r.query.Filter) {
			d = visible
		}
		if !atomic.CompareAndSwapUint32(decision, undecided, d) {
			d = atomic.LoadUint32(decision)
		}
	}
	return d == visible
}

// found is a chunk with the score of a leg.
type found struct {
	score float64
	piece int32
	chunk uint32
}

func (r *run) hits(ctx context.Context) ([]vector.Hit, error) {
	depth := max(r.query.Limit, vector.Depth)
	if r.query.Mode == vector.Hybrid {
		depth = vector.Depth
	}
	var keyword, dense []found
	var err error
	if r.query.Mode != vector.Dense {
		if keyword, err = r.keyword(ctx, depth); err != nil {
			return nil, err
		}
	}
	if r.query.Mode != vector.Keyword {
		if dense, err = r.dense(ctx, depth); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch r.query.Mode {
	case vector.Keyword:
		return r.leg(keyword[:min(len(keyword), r.query.Limit)], setKeyword), nil
	case vector.Dense:
		return r.leg(dense[:min(len(dense), r.query.Limit)], setDense), nil
	case vector.Hybrid:
	}
	byWords := r.leg(keyword, setKeyword)
	r.addCosines(byWords, keyword)
	return vector.Fuse(r.query.Fusion, r.foreign, byWords, r.leg(dense, setDense), r.query.Limit), nil
}

// addCosines gives the hits of the keyword leg their cosines, also of those
// that the dense leg has not among its best.
func (r *run) addCosines(hits []vector.Hit, list []found) {
	q := newQuestion(r.query.Dense)
	for i, f := range list {
		p := &r.pieces[f.piece]
		if p.scales[f.chunk] == noVector {
			continue
		}
		cosine := q.cosine(p.row(p.high, f.chunk), p.row(p.low, f.chunk), p.scales[f.chunk])
		hits[i].Dense = &cosine
	}
}

func setKeyword(h *vector.Hit, score *float64) { h.Keyword = score }
func setDense(h *vector.Hit, score *float64)   { h.Dense = score }

// leg returns a leg's list as hits.
func (r *run) leg(list []found, set func(*vector.Hit, *float64)) []vector.Hit {
	hits := make([]vector.Hit, len(list))
	for i, f := range list {
		p := &r.pieces[f.piece]
		d := p.documents[p.owner[f.chunk]]
		hits[i] = vector.Hit{
			Ref:        corpus.ChunkRef{Tenant: r.tenant, Document: d.id, Version: d.version, Ordinal: int(p.ordinals[f.chunk])},
			Collection: p.collection,
			Score:      f.score,
		}
		set(&hits[i], &f.score)
	}
	return hits
}

func (s *Store) takeScratch() *scratch {
	if kept, ok := s.scratch.Get().(*scratch); ok {
		return kept
	}
	return new(scratch)
}
