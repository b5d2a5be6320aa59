package qdranttest

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// idfField is the number of SearchParams.idf, which the client does not know
// yet; corpusField is that of the filter within it.
const (
	idfField    = 6
	corpusField = 1
)

// defaultLimit of a query.
const defaultLimit = 10

// resultBytes is about what a point found takes in an answer.
const resultBytes = 144

// defaultRRF is the server's constant of reciprocal rank fusion, with ranks that begin at 0.
const defaultRRF = 2

// Query answers one query.
func (s pointsService) Query(_ context.Context, req *qdrant.QueryPoints) (*qdrant.QueryResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	hits, err := c.query(req)
	if err != nil {
		return nil, err
	}
	out := &qdrant.QueryResponse{}
	out.ProtoReflect().SetUnknown(hits)
	return out, nil
}

// QueryBatch answers several, in order; each sees its own state.
func (s pointsService) QueryBatch(_ context.Context, req *qdrant.QueryBatchPoints) (*qdrant.QueryBatchResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	out := &qdrant.QueryBatchResponse{}
	for _, q := range req.GetQueryPoints() {
		hits, err := c.query(q)
		if err != nil {
			return nil, err
		}
		result := &qdrant.BatchResult{}
		result.ProtoReflect().SetUnknown(hits)
		out.Result = append(out.Result, result)
	}
	return out, nil
}

// query returns what was found, encoded as the field "result" that answers to
// one query and to several have alike. A hundred messages for each query would
// cost more than the query.
func (c *collection) query(q *qdrant.QueryPoints) ([]byte, error) {
	if q.Limit != nil && q.GetLimit() == 0 {
		return nil, invalid("Validation error in body: [limit: value 0 invalid, must be 1 or larger]")
	}
	limit := uint64(defaultLimit)
	if q.Limit != nil {
		limit = q.GetLimit()
	}
	if err := c.checkLimit(limit + q.GetOffset()); err != nil {
		return nil, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, err := c.rank(leg{
		query: q.GetQuery(), using: q.GetUsing(), filter: q.GetFilter(), params: q.GetParams(), prefetch: q.GetPrefetch(), threshold: q.ScoreThreshold,
		limit: limit + q.GetOffset(),
	})
	if err != nil {
		return nil, err
	}
	found = found[min(q.GetOffset(), uint64(len(found))):]
	found = found[:min(limit, uint64(len(found)))]
	out := make([]byte, 0, len(found)*resultBytes)
	for _, f := range found {
		if out, err = f.appendResult(out, q.GetWithPayload(), q.GetWithVectors()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// leg is what a query and a prefetch have in common.
type leg struct {
	query     *qdrant.Query
	using     string
	filter    *qdrant.Filter
	params    *qdrant.SearchParams
	prefetch  []*qdrant.PrefetchQuery
	threshold *float32
	// limit is how many are wanted at most.
	limit uint64
}

// rank returns what a leg finds, best first. The caller holds the lock.
func (c *collection) rank(l leg) ([]scored, error) {
	if err := c.checkFilter(l.filter, c.limits.UnindexedFilteringRetrieve); err != nil {
		return nil, err
	}
	switch v := l.query.GetVariant().(type) {
	case nil:
		found, err := c.matching(l.filter)
		slices.SortFunc(found, func(a, b *point) int { return cmp.Compare(a.key, b.key) })
		return withScore(found), err
	case *qdrant.Query_Fusion:
		if v.Fusion != qdrant.Fusion_RRF {
			return nil, status.Error(codes.Unimplemented, "the stand-in fuses by reciprocal ranks only")
		}
		return c.fuse(l, defaultRRF)
	case *qdrant.Query_Rrf:
		if len(v.Rrf.GetWeights()) > 0 {
			return nil, status.Error(codes.Unimplemented, "the stand-in fuses without weights only")
		}
		k := v.Rrf.GetK()
		if v.Rrf.K == nil {
			k = defaultRRF
		}
		return c.fuse(l, k)
	case *qdrant.Query_Nearest:
		return c.nearest(l, v.Nearest)
	}
	return nil, status.Error(codes.Unimplemented, "the stand-in does not know this query")
}

func withScore(points []*point) []scored {
	out := make([]scored, len(points))
	for i, p := range points {
		out[i].point = p
	}
	return out
}

func (c *collection) fuse(l leg, k uint32) ([]scored, error) {
	sums := make(map[string]*scored)
	for _, p := range l.prefetch {
		limit := uint64(defaultLimit)
		if p.Limit != nil {
			limit = p.GetLimit()
		}
		found, err := c.rank(leg{
			query: p.GetQuery(), using: p.GetUsing(), filter: p.GetFilter(), params: p.GetParams(), prefetch: p.GetPrefetch(),
			threshold: p.ScoreThreshold, limit: limit,
		})
		if err != nil {
			return nil, err
		}
		for rank, f := range found[:min(limit, uint64(len(found)))] {
			if sums[f.key] == nil {
				sums[f.key] = &scored{point: f.point}
			}
			sums[f.key].score += 1 / (float32(rank) + float32(k))
		}
	}
	out := newBest(l.limit, nil)
	for _, s := range sums {
		out.offer(s.point, s.score)
	}
	return out.ranked(), nil
}

func (c *collection) nearest(l leg, input *qdrant.VectorInput) ([]scored, error) {
	if len(l.prefetch) > 0 {
		return nil, status.Error(codes.Unimplemented, "the stand-in does not rescore prefetched points")
	}
	if sparse := input.GetSparse(); sparse != nil {
		return c.nearestSparse(l, sparse)
	}
	dense := input.GetDense()
	params := c.config.GetVectorsConfig().GetParamsMap().GetMap()[l.using]
	corpus, err := corpusOf(l.params)
	switch {
	case dense == nil:
		return nil, status.Error(codes.Unimplemented, "the stand-in searches by vectors only")
	case err != nil:
		return nil, err
	case params == nil:
		return nil, invalid("Not existing vector name error: %s", l.using)
	case uint64(len(dense.GetData())) != params.GetSize():
		return nil, invalid("Vector dimension error: expected dim: %d, got %d", params.GetSize(), len(dense.GetData()))
	case corpus != nil && c.scopedIDF:
		return nil, invalid("`idf` search param is only supported for sparse vectors with the IDF modifier")
	}
	found, err := c.matches(l.filter)
	if err != nil {
		return nil, err
	}
	return c.nearestDense(l, dense.GetData(), params.GetDistance() == qdrant.Distance_Cosine, found), nil
}

func (c *collection) nearestDense(l leg, question []float32, cosine bool, among set) []scored {
	vectors, length := c.dense[l.using], norm(question)
	among.keep(vectors.present)
	out := newBest(l.limit, l.threshold)
	for slot := range among.all() {
		score := dot(question, vectors.row(slot))
		if norm := vectors.lengths[slot]; cosine && length > 0 && norm > 0 {
			score = float32(float64(score) / (length * norm))
		}
		out.offer(c.slots[slot], score)
	}
	return out.ranked()
}

func (c *collection) nearestSparse(l leg, input *qdrant.SparseVector) ([]scored, error) {
	params := c.config.GetSparseVectorsConfig().GetMap()[l.using]
	if params == nil {
		return nil, invalid("Not existing vector name error: %s", l.using)
	}
	query, err := readSparse(input.GetIndices(), input.GetValues())
	if err != nil {
		return nil, err
	}
	if params.GetModifier() == qdrant.Modifier_Idf {
		if err := c.weigh(query, l); err != nil {
			return nil, err
		}
	}
	among, err := c.matches(l.filter)
	if err != nil {
		return nil, err
	}
	scores, hits := make([]float32, len(c.slots)), make(set, len(among))
	for i, term := range query.terms { // ascending: sums of floats depend on the order
		for _, p := range c.sparse[l.using].lists[term] {
			if among.has(p.slot) {
				scores[p.slot] += query.values[i] * p.value
				hits.add(p.slot)
			}
		}
	}
	out := newBest(l.limit, l.threshold)
	for slot := range hits.all() {
		out.offer(c.slots[slot], scores[slot])
	}
	return out.ranked(), nil
}

// weigh multiplies the query's values by their IDF: over the query's corpus
// where it names one and the release knows of it, else over all points, those
// deleted lately included.
func (c *collection) weigh(query sparseVector, l leg) error {
	corpus, err := corpusOf(l.params)
	if err != nil {
		return err
	}
	vectors := c.sparse[l.using]
	if corpus == nil || !c.scopedIDF {
		c.weighOverAll(query, l.using)
		return nil
	}
	if err := c.checkFilter(corpus, c.limits.UnindexedFilteringRetrieve); err != nil {
		return err
	}
	population, err := c.matches(corpus)
	if err != nil {
		return err
	}
	population.keep(vectors.present)
	n := population.size()
	for i, term := range query.terms {
		holding := 0
		for _, p := range vectors.lists[term] {
			if population.has(p.slot) {
				holding++
			}
		}
		query.values[i] *= idf(n, holding)
	}
	return nil
}

func (c *collection) weighOverAll(query sparseVector, using string) {
	vectors := c.sparse[using]
	n := vectors.filled.size()
	for _, p := range c.ghosts {
		if len(p.sparse[using].terms) > 0 {
			n++
		}
	}
	for i, term := range query.terms {
		holding := len(vectors.lists[term])
		for _, p := range c.ghosts {
			if p.sparse[using].has(term) {
				holding++
			}
		}
		query.values[i] *= idf(n, holding)
	}
}

func idf(population, holding int) float32 {
	n, f := float64(population), float64(holding)
	return float32(math.Log((n-f+0.5)/(f+0.5) + 1))
}

// corpusOf returns the filter that defines the population of IDF, nil for the whole collection.
func corpusOf(params *qdrant.SearchParams) (*qdrant.Filter, error) {
	if params == nil {
		return nil, nil //nolint:nilnil // no filter is not an error
	}
	idf, ok := field(params.ProtoReflect().GetUnknown(), idfField)
	if !ok {
		return nil, nil //nolint:nilnil // no filter is not an error
	}
	encoded, ok := field(idf, corpusField)
	if !ok {
		return nil, nil //nolint:nilnil // no filter is not an error
	}
	corpus := new(qdrant.Filter)
	if err := proto.Unmarshal(encoded, corpus); err != nil {
		return nil, invalid("the corpus of IDF is no filter: %v", err)
	}
	return corpus, nil
}

// field returns the content of a length-delimited field of an encoded message.
func field(message []byte, number protowire.Number) ([]byte, bool) {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil, false
		}
		message = message[size:]
		if n == number && kind == protowire.BytesType {
			content, size := protowire.ConsumeBytes(message)
			return content, size >= 0
		}
		if size = protowire.ConsumeFieldValue(n, kind, message); size < 0 {
			return nil, false
		}
		message = message[size:]
	}
	return nil, false
}
