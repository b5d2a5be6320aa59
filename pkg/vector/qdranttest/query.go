package qdranttest

import (
	"cmp"
	"context"
	"maps"
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

// defaultRRF is the server's constant of reciprocal rank fusion, with ranks that begin at 0.
const defaultRRF = 2

type scored struct {
	*point
	score float32
}

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
	return &qdrant.QueryResponse{Result: hits}, nil
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
		out.Result = append(out.Result, &qdrant.BatchResult{Result: hits})
	}
	return out, nil
}

func (c *collection) query(q *qdrant.QueryPoints) ([]*qdrant.ScoredPoint, error) {
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
	})
	if err != nil {
		return nil, err
	}
	found = found[min(q.GetOffset(), uint64(len(found))):]
	found = found[:min(limit, uint64(len(found)))]
	out := make([]*qdrant.ScoredPoint, len(found))
	for i, f := range found {
		r := f.retrieved(q.GetWithPayload(), q.GetWithVectors())
		out[i] = &qdrant.ScoredPoint{Id: r.GetId(), Payload: r.GetPayload(), Vectors: r.GetVectors(), Score: f.score}
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
		return c.fuse(l.prefetch, defaultRRF)
	case *qdrant.Query_Rrf:
		if len(v.Rrf.GetWeights()) > 0 {
			return nil, status.Error(codes.Unimplemented, "the stand-in fuses without weights only")
		}
		k := v.Rrf.GetK()
		if v.Rrf.K == nil {
			k = defaultRRF
		}
		return c.fuse(l.prefetch, k)
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

func (c *collection) fuse(legs []*qdrant.PrefetchQuery, k uint32) ([]scored, error) {
	sums := make(map[string]*scored)
	for _, p := range legs {
		found, err := c.rank(leg{query: p.GetQuery(), using: p.GetUsing(), filter: p.GetFilter(), params: p.GetParams(), prefetch: p.GetPrefetch(), threshold: p.ScoreThreshold})
		if err != nil {
			return nil, err
		}
		limit := uint64(defaultLimit)
		if p.Limit != nil {
			limit = p.GetLimit()
		}
		for rank, f := range found[:min(limit, uint64(len(found)))] {
			if sums[f.key] == nil {
				sums[f.key] = &scored{point: f.point}
			}
			sums[f.key].score += 1 / (float32(rank) + float32(k))
		}
	}
	out := make([]scored, 0, len(sums))
	for _, s := range sums {
		out = append(out, *s)
	}
	return ordered(out, nil), nil
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
	found, err := c.matching(l.filter)
	if err != nil {
		return nil, err
	}
	length := norm(dense.GetData())
	var out []scored
	for _, p := range found {
		v, ok := p.dense[l.using]
		if !ok {
			continue
		}
		score := 0.0
		for i, x := range dense.GetData() {
			score += float64(x) * float64(v.values[i])
		}
		if params.GetDistance() == qdrant.Distance_Cosine && length > 0 && v.norm > 0 {
			score /= length * v.norm
		}
		out = append(out, scored{point: p, score: float32(score)})
	}
	return ordered(out, l.threshold), nil
}

// ordered sorts the best first. NaN counts as the best, as in the server.
func ordered(found []scored, threshold *float32) []scored {
	if threshold != nil {
		found = slices.DeleteFunc(found, func(f scored) bool { return f.score < *threshold })
	}
	slices.SortFunc(found, func(a, b scored) int {
		if nan := math.IsNaN(float64(a.score)); nan != math.IsNaN(float64(b.score)) {
			if nan {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.key, b.key))
	})
	return found
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
	found, err := c.matching(l.filter)
	if err != nil {
		return nil, err
	}
	terms := slices.Sorted(maps.Keys(query)) // sums of floats depend on the order
	var out []scored
	for _, p := range found {
		score, hit := float32(0), false
		for _, term := range terms {
			if v, ok := p.sparse[l.using][term]; ok {
				score, hit = score+query[term]*v, true
			}
		}
		if hit {
			out = append(out, scored{point: p, score: score})
		}
	}
	return ordered(out, l.threshold), nil
}

// weigh multiplies the query's values by their IDF: over the query's corpus
// where it names one and the release knows of it, else over all points, those
// deleted lately included.
func (c *collection) weigh(query map[uint32]float32, l leg) error {
	corpus, err := corpusOf(l.params)
	if err != nil {
		return err
	}
	var population []map[uint32]float32
	if corpus != nil && c.scopedIDF {
		if err := c.checkFilter(corpus, c.limits.UnindexedFilteringRetrieve); err != nil {
			return err
		}
		found, err := c.matching(corpus)
		if err != nil {
			return err
		}
		for _, p := range found {
			if v, ok := p.sparse[l.using]; ok {
				population = append(population, v)
			}
		}
	} else {
		for _, p := range c.points {
			if v := p.sparse[l.using]; len(v) > 0 {
				population = append(population, v)
			}
		}
		for _, p := range c.ghosts {
			if v := p.sparse[l.using]; len(v) > 0 {
				population = append(population, v)
			}
		}
	}
	for term, weight := range query {
		holding := 0
		for _, v := range population {
			if _, ok := v[term]; ok {
				holding++
			}
		}
		n, f := float64(len(population)), float64(holding)
		query[term] = weight * float32(math.Log((n-f+0.5)/(f+0.5)+1))
	}
	return nil
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

// retrieved returns the point as an answer has it.
func (p *point) retrieved(payload *qdrant.WithPayloadSelector, vectors *qdrant.WithVectorsSelector) *qdrant.RetrievedPoint {
	out := &qdrant.RetrievedPoint{Id: p.id}
	switch v := payload.GetSelectorOptions().(type) {
	case *qdrant.WithPayloadSelector_Enable:
		if v.Enable {
			out.Payload = p.payload
		}
	case *qdrant.WithPayloadSelector_Include:
		out.Payload = make(map[string]*qdrant.Value)
		for _, key := range v.Include.GetFields() {
			if value, ok := p.payload[key]; ok {
				out.Payload[key] = value
			}
		}
	}
	if vectors.GetEnable() || vectors.GetInclude() != nil {
		out.Vectors = p.vectors(vectors)
	}
	return out
}

func (p *point) vectors(selector *qdrant.WithVectorsSelector) *qdrant.VectorsOutput {
	wanted := func(name string) bool {
		return selector.GetEnable() || slices.Contains(selector.GetInclude().GetNames(), name)
	}
	named := make(map[string]*qdrant.VectorOutput)
	for name, v := range p.dense {
		if wanted(name) {
			named[name] = &qdrant.VectorOutput{Vector: &qdrant.VectorOutput_Dense{Dense: &qdrant.DenseVector{Data: v.values}}}
		}
	}
	for name, v := range p.sparse {
		if !wanted(name) {
			continue
		}
		sparse := &qdrant.SparseVector{}
		for term, value := range v {
			sparse.Indices, sparse.Values = append(sparse.Indices, term), append(sparse.Values, value)
		}
		named[name] = &qdrant.VectorOutput{Vector: &qdrant.VectorOutput_Sparse{Sparse: sparse}}
	}
	return &qdrant.VectorsOutput{VectorsOptions: &qdrant.VectorsOutput_Vectors{Vectors: &qdrant.NamedVectorsOutput{Vectors: named}}}
}
