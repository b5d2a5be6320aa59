package qdrantvector

import (
	"context"
	"iter"

	"github.com/qdrant/go-client/qdrant"
)

// scrollPage is how many points, with their vectors, one request returns.
const scrollPage = 128

// scroll returns the points that a filter lets through, page by page, whole.
func (s *Store) scroll(ctx context.Context, collection string, of *qdrant.Filter) iter.Seq2[[]*qdrant.PointStruct, error] {
	return func(yield func([]*qdrant.PointStruct, error) bool) {
		var from *qdrant.PointId
		for {
			page, err := s.client.points().Scroll(ctx, &qdrant.ScrollPoints{
				CollectionName: collection, Filter: of, Offset: from, Limit: new(uint32(scrollPage)),
				WithPayload: qdrant.NewWithPayload(true), WithVectors: qdrant.NewWithVectors(true),
			})
			if err != nil {
				yield(nil, err)
				return
			}
			points := make([]*qdrant.PointStruct, len(page.GetResult()))
			for i, p := range page.GetResult() {
				points[i] = &qdrant.PointStruct{Id: p.GetId(), Payload: p.GetPayload(), Vectors: inputOf(p.GetVectors())}
			}
			from = page.GetNextPageOffset()
			if !yield(points, nil) || from == nil {
				return
			}
		}
	}
}

// inputOf returns the vectors of an answer as a request has them.
func inputOf(out *qdrant.VectorsOutput) *qdrant.Vectors {
	named := make(map[string]*qdrant.Vector)
	for name, v := range out.GetVectors().GetVectors() {
		switch {
		case v.GetSparse() != nil:
			named[name] = qdrant.NewVectorSparse(v.GetSparse().GetIndices(), v.GetSparse().GetValues())
		case v.GetIndices() != nil: //nolint:staticcheck // servers before 1.16 send it
			named[name] = qdrant.NewVectorSparse(v.GetIndices().GetData(), v.GetData()) //nolint:staticcheck // as above
		case v.GetDense() != nil:
			named[name] = qdrant.NewVectorDense(v.GetDense().GetData())
		default:
			named[name] = qdrant.NewVectorDense(v.GetData()) //nolint:staticcheck // as above
		}
	}
	return qdrant.NewVectorsMap(named)
}
