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
	run := s.startRun(*t.view.Load(), q)
	defer s.endRun(run)
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

// piece is a part within a run, with its share of the run's arrays.
type piece struct {
	part
	collection string
	// decisions on documents: undecided, visible or invisible. Both legs and
	// all goroutines of a run share the first decision.
	decisions []uint32
	// scores of the keyword leg, by chunk.
	scores []float32
	// dots of the high planes, by chunk.
	dots []int32
}

// run is one search over one state. Ended runs are used again, for the memory
// that they hold: a search of a small index would spend most of its time
// allocating it.
type run struct {
	query  vector.Query
	tenant string
	words  *lexical.Analyzer
	names  []string
	pieces []piece
	// chunks and documents count dead ones too; live does not.
	chunks, documents, live int
	foreign                 bool
	languages               lexical.Set

	// What the pieces have shares of.
	decisions []uint32
	scores    []float32
	dots      []int32

	held                 []holdings
	keywordLeg, denseLeg best

	question question
	unit     []float32
	blocks   []block
	scanners []*best

	union      []found
	candidates []vector.Candidate
	order      []int
}

const (
	undecided = iota
	visible
	invisible
)

func (s *Store) startRun(v view, q vector.Query) *run {
	r, ok := s.runs.Get().(*run)
	if !ok {
		r = new(run)
	}
	r.query, r.tenant, r.words = q, q.Scope.Tenant(), s.words
	r.chunks, r.documents, r.live, r.languages = 0, 0, 0, 0
	r.names = append(r.names[:0], q.Collections...)
	if len(r.names) == 0 {
		for name := range v {
			r.names = append(r.names, name)
		}
	}
	slices.Sort(r.names)
	words, english := 0, 0
	for _, name := range slices.Compact(r.names) {
		c := v[name]
		if c == nil {
			continue
		}
		r.live += c.chunks
		words += c.words
		english += c.english
		for _, p := range c.parts {
			r.pieces = append(r.pieces, piece{part: p, collection: name})
			r.chunks += p.size()
			r.documents += len(p.documents)
			r.languages |= p.languages
		}
	}
	r.foreign = lexical.Foreign(words, english)
	r.share()
	if q.Mode != vector.Keyword {
		r.question, r.unit = reuseQuestion(r.question.steps, r.unit, q.Dense)
	}
	return r
}

// share gives every piece its part of the run's arrays.
func (r *run) share() {
	r.decisions, r.scores, r.dots = zeroed(r.decisions, r.documents), zeroed(r.scores, r.chunks), sized(r.dots, r.chunks)
	decisions, scores, dots := r.decisions, r.scores, r.dots
	for i := range r.pieces {
		p := &r.pieces[i]
		p.decisions, decisions = split(decisions, len(p.documents))
		p.scores, scores = split(scores, p.size())
		p.dots, dots = split(dots, p.size())
	}
}

func split[T any](s []T, at int) (before, after []T) { return s[:at], s[at:] }

// endRun keeps the run's memory, and nothing that it points to of the index or the caller.
func (s *Store) endRun(r *run) {
	r.query, r.tenant = vector.Query{}, ""
	clear(r.names[:cap(r.names)])
	clear(r.pieces)
	clear(r.held[:cap(r.held)])
	r.names, r.pieces, r.held = r.names[:0], r.pieces[:0], r.held[:0]
	s.runs.Put(r)
}

func zeroed[T any](s []T, n int) []T {
	s = sized(s, n)
	clear(s)
	return s
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// sees reports whether the document of a piece is live and the caller may see
// it under the query's filter. It asks once for each document.
func (r *run) sees(p *piece, document uint32) bool {
	if d := atomic.LoadUint32(&p.decisions[document]); d != undecided {
		return d == visible
	}
	return r.decide(p, document)
}

func (r *run) decide(p *piece, document uint32) bool {
	d := uint32(invisible)
	if !p.isDead(document) && p.documents[document].attributes.Load().visible(r.query.Scope, r.query.Filter) {
		d = visible
	}
	if decision := &p.decisions[document]; !atomic.CompareAndSwapUint32(decision, undecided, d) {
		d = atomic.LoadUint32(decision)
	}
	return d == visible
}

func (r *run) hits(ctx context.Context) ([]vector.Hit, error) {
	depth := max(r.query.Limit, vector.Depth)
	if r.query.Mode == vector.Hybrid {
		depth = vector.Depth
	}
	var keyword, dense *best
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
		return r.leg(keyword.sorted(), setKeyword), nil
	case vector.Dense:
		return r.leg(dense.sorted(), setDense), nil
	case vector.Hybrid:
	}
	return r.fuse(keyword, dense), nil
}

func setKeyword(h *vector.Hit, score *float64) { h.Keyword = score }
func setDense(h *vector.Hit, score *float64)   { h.Dense = score }

// leg returns the first of a leg's sorted list as hits.
func (r *run) leg(list []found, set func(*vector.Hit, *float64)) []vector.Hit {
	list = list[:min(len(list), r.query.Limit)]
	hits, scores := make([]vector.Hit, len(list)), make([]float64, len(list))
	for i, f := range list {
		hits[i], scores[i] = r.hit(f), f.score
		set(&hits[i], &scores[i])
	}
	return hits
}

func (r *run) hit(f found) vector.Hit {
	p := &r.pieces[f.piece]
	d := p.documents[p.owner[f.chunk]]
	return vector.Hit{
		Ref:        corpus.ChunkRef{Tenant: r.tenant, Document: d.id, Version: d.version, Ordinal: int(p.ordinals[f.chunk])},
		Collection: p.collection,
		Score:      f.score,
	}
}
