package qdrantvector

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/vector"
)

const (
	// maxLimit is the greatest number of hits a query may ask for.
	maxLimit = 200
	// tieMargin is how many more hits are asked for than needed: the server
	// cuts ties as it likes, this package by document and ordinal.
	tieMargin = 32
	// searchWidth is how many neighbours a graph search considers.
	searchWidth = 256
	// maxRounds bounds how often a search looks again because documents
	// changed while it ran.
	maxRounds = 6
	// clockSkew is how far the clocks of two machines may be apart. A document
	// that went live longer ago was whole before the search began.
	clockSkew = 5 * time.Second
	// searchesTogether is how many searches share a request: enough to make
	// the request a small part of its cost, and few enough not to wait long for the slowest.
	searchesTogether = 8
	// patience is how long a search waits for the requests of others before it
	// makes its own beside them.
	patience = 5 * time.Millisecond
	// maxRequests is for a server that hangs: patience lets a few be under way else.
	maxRequests = 64
)

// Search implements [vector.Store]. It makes two requests, shared with other
// searches of the same time: the legs, then the heads of the documents found
// and the cosines that are missing. One would not do: a batch has no order,
// and a head read before the legs does not tell what they have seen. Hits of a
// version that the head does not name are dropped. A document that went live
// just now may have been found in part: the search then looks again, knowing
// the heads from before, which no change that comes later can make wrong
// within the grace.
func (s *Store) Search(ctx context.Context, q vector.Query) ([]vector.Hit, error) {
	_ = q.Scope.Tenant()
	if err := s.checkQuery(&q); err != nil {
		return nil, err
	}
	hits, err := s.search(ctx, q)
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
		if err := checkVector(q.Dense, s.cfg.Dimensions); err != nil {
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

// found is a point that a leg has found, with the leg's score.
type found struct {
	*point
	score float64
	// cosine is NaN while it is not known.
	cosine float64
}

// compare is the order of [vector.Compare].
func compare(a, b found) int {
	if a.score != b.score {
		return cmp.Compare(b.score, a.score)
	}
	return compareChunks(a.point, b.point)
}

func compareChunks(a, b *point) int {
	return cmp.Or(
		strings.Compare(a.source.document, b.source.document), cmp.Compare(a.ordinal, b.ordinal), strings.Compare(a.source.version, b.source.version),
	)
}

// run is one search.
type run struct {
	*Store
	query   vector.Query
	terms   []lexical.Term
	depth   int
	foreign bool
	// known are heads that were read before the legs of this round, by document.
	known map[string]reading
	// live are the documents of which hits were kept, as their heads say.
	live map[string]*head
	// excluded are known documents of which other versions than the live one
	// were found, and would be again.
	excluded map[string]bool
}

// reading is a head and when it was asked for.
type reading struct {
	*head
	at time.Time
}

func (s *Store) search(ctx context.Context, q vector.Query) ([]vector.Hit, error) {
	r := &run{Store: s, query: q, depth: max(q.Limit, vector.Depth), known: make(map[string]reading), excluded: make(map[string]bool)}
	if q.Mode == vector.Hybrid {
		r.depth = vector.Depth
		foreign, err := s.foreign(ctx, q)
		if err != nil {
			return nil, err
		}
		r.foreign = foreign
	}
	if q.Mode != vector.Dense {
		r.terms = s.words.Query(q.Text, lexical.AllLanguages)
	}
	if q.Mode == vector.Keyword && len(r.terms) == 0 {
		return nil, ctx.Err() //nolint:wrapcheck // wrapped by the caller
	}
	for round := 1; ; round++ {
		keyword, dense, err := r.legs(ctx)
		if err != nil {
			return nil, err
		}
		if len(keyword)+len(dense) == 0 {
			return nil, nil
		}
		found := s.now()
		heads, err := r.confirm(ctx, keyword, dense)
		if err != nil {
			return nil, err
		}
		keyword, dense, certain := r.settle(heads, keyword, dense, found)
		if certain || round == maxRounds {
			return r.rank(keyword, dense), nil
		}
	}
}

// legs asks both legs in one batch; a leg that is not wanted is empty.
func (r *run) legs(ctx context.Context) (keyword, dense []found, err error) {
	filter := visible(r.query)
	for document := range r.excluded {
		filter.MustNot = append(filter.MustNot, qdrant.NewFilterAsCondition(otherVersions(document, r.known[document].Live)))
	}
	limit := new(uint64(r.depth + tieMargin))
	payload := qdrant.NewWithPayloadInclude(refKey)
	var batch []*qdrant.QueryPoints
	if len(r.terms) > 0 {
		params, err := r.sparseParams()
		if err != nil {
			return nil, nil, err
		}
		batch = append(batch, &qdrant.QueryPoints{
			CollectionName: r.names.alias, Query: sparseQuery(r.terms), Using: new(sparseVector),
			Filter: filter, Params: params, Limit: limit, WithPayload: payload,
		})
	}
	if r.query.Mode != vector.Keyword {
		batch = append(batch, &qdrant.QueryPoints{
			CollectionName: r.names.alias, Query: qdrant.NewQueryDense(r.query.Dense), Using: new(denseVector),
			Filter: filter, Params: &qdrant.SearchParams{HnswEf: new(uint64(searchWidth))}, Limit: limit, WithPayload: payload,
		})
	}
	results, err := r.batch(ctx, batch)
	if err != nil {
		return nil, nil, err
	}
	if len(r.terms) > 0 {
		keyword = legOf(results[0], false)
		results = results[1:]
	}
	if len(results) > 0 {
		dense = legOf(results[0], true)
	}
	return keyword, dense, nil
}

// otherVersions matches the points of a document that are not of the version.
func otherVersions(document, version string) *qdrant.Filter {
	f := &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatchKeyword(documentKey, document)}}
	if version != "" {
		f.MustNot = []*qdrant.Condition{qdrant.NewMatchKeyword(versionKey, version)}
	}
	return f
}

func (r *run) sparseParams() (*qdrant.SearchParams, error) {
	if !r.scopedIDF {
		return nil, nil //nolint:nilnil // no parameters are not an error
	}
	return idfOver(&qdrant.Filter{Must: population(r.query)})
}

// batch makes queries that see the index as it is now or later: a request
// that is under way is not joined.
func (r *run) batch(ctx context.Context, queries []*qdrant.QueryPoints) ([][]point, error) {
	return r.queries.Do(ctx, queries) //nolint:wrapcheck // a fault of the client
}

// together makes the queries of several searches in one request. Each has its
// own filter, and gets what is in the places of its queries.
func (s *Store) together(ctx context.Context, searches [][]*qdrant.QueryPoints) ([][][]point, error) {
	queries := slices.Concat(searches...)
	results, err := s.client.queryBatch(ctx, &qdrant.QueryBatchPoints{CollectionName: s.names.alias, QueryPoints: queries})
	if err != nil {
		return nil, err
	}
	if len(results) != len(queries) {
		return nil, fault.Transientf("vector_store_failed", "the search index answered %d of %d queries", len(results), len(queries))
	}
	out := make([][][]point, len(searches))
	for i, search := range searches {
		out[i], results = results[:len(search)], results[len(search):]
	}
	return out, nil
}

// legOf returns a leg, best first. A point that does not say where it is from
// was not written by this package.
func legOf(points []point, dense bool) []found {
	out := make([]found, 0, len(points))
	for i := range points {
		p := &points[i]
		if p.source == nil {
			continue
		}
		f := found{point: p, score: float64(p.score), cosine: math.NaN()}
		if dense {
			f.cosine = f.score
		}
		out = append(out, f)
	}
	slices.SortFunc(out, compare)
	return out
}

// confirm returns the heads of the documents found, and gives hits of the
// keyword leg their cosines: those that the dense leg did not bring are asked for.
func (r *run) confirm(ctx context.Context, keyword, dense []found) (map[string]*head, error) {
	documents := make(map[uuid.UUID]string) // by the head's id
	seen := make(map[*source]bool)
	for _, leg := range [][]found{keyword, dense} {
		for _, f := range leg {
			if !seen[f.source] {
				seen[f.source] = true
				documents[headUUID(r.query.Scope.Tenant(), f.source.document)] = f.source.document
			}
		}
	}
	ids := slices.Collect(maps.Keys(documents))
	batch := []*qdrant.QueryPoints{{
		CollectionName: r.names.alias, Filter: &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewHasID(pointIDs(ids)...)}},
		Limit: new(uint64(len(ids))), WithPayload: qdrant.NewWithPayloadInclude(revisionKey, stateKey),
	}}
	at, missing := r.meet(keyword, dense)
	if len(missing) > 0 {
		batch = append(batch, &qdrant.QueryPoints{
			CollectionName: r.names.alias, Query: qdrant.NewQueryDense(r.query.Dense), Using: new(denseVector),
			Filter: &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewHasID(pointIDs(missing)...)}}, Params: &qdrant.SearchParams{Exact: new(true)},
			Limit: new(uint64(len(missing))), WithPayload: qdrant.NewWithPayload(false),
		})
	}
	results, err := r.batch(ctx, batch)
	if err != nil {
		return nil, err
	}
	heads := make(map[string]*head, len(documents))
	for i := range results[0] {
		p := &results[0][i]
		h, err := r.heads.decode(p)
		if err != nil {
			return nil, err
		}
		heads[documents[p.id]] = h
	}
	if len(missing) > 0 {
		at.addCosines(keyword, results[1])
	}
	return heads, nil
}

// places are where points are in the keyword leg.
type places map[uuid.UUID]int

// meet lets the legs have one point where they have found the same, and gives
// the keyword leg the cosines that the dense leg knows. It returns where the
// hits of the keyword leg are, and those whose cosine is wanted and not known.
func (r *run) meet(keyword, dense []found) (at places, missing []uuid.UUID) {
	if r.query.Mode != vector.Hybrid {
		return nil, nil
	}
	at = make(places, len(keyword))
	for i := range keyword {
		at[keyword[i].id] = i
	}
	for i := range dense {
		if place, ok := at[dense[i].id]; ok {
			dense[i].point, keyword[place].cosine = keyword[place].point, dense[i].cosine
		}
	}
	for i := range keyword {
		if math.IsNaN(keyword[i].cosine) {
			missing = append(missing, keyword[i].id)
		}
	}
	return at, missing
}

func (at places) addCosines(keyword []found, cosines []point) {
	for i := range cosines {
		if place, ok := at[cosines[i].id]; ok {
			keyword[place].cosine = float64(cosines[i].score)
		}
	}
}
