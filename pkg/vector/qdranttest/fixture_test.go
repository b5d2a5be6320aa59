package qdranttest_test

import (
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
)

// fixture is the vendor's client with a collection of one dense and one sparse vector.
type fixture struct {
	*qdrant.Client
}

const collection = "c"

func dial(t *testing.T, address string) fixture {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c, err := qdrant.NewClient(&qdrant.Config{Host: host, Port: number, SkipCompatibilityCheck: true, PoolSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return fixture{c}
}

func start(t *testing.T, opts qdranttest.Options) fixture {
	t.Helper()
	f := dial(t, qdranttest.Start(t, opts))
	f.create(t, collection, nil)
	return f
}

func (f fixture) create(t *testing.T, name string, strict *qdrant.StrictModeConfig) {
	t.Helper()
	if err := f.CreateCollection(t.Context(), &qdrant.CreateCollection{
		CollectionName: name, StrictModeConfig: strict,
		VectorsConfig:       qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{"dense": {Size: 4, Distance: qdrant.Distance_Cosine}}),
		SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{"sparse": {Modifier: qdrant.Modifier_Idf.Enum()}}),
	}); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) upsert(t *testing.T, points ...*qdrant.PointStruct) {
	t.Helper()
	if _, err := f.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: collection, Points: points}); err != nil {
		t.Fatal(err)
	}
}

func payload(pairs ...any) map[string]*qdrant.Value {
	m := make(map[string]any)
	for i := 0; i < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return qdrant.NewValueMap(m)
}

func dense(v ...float32) *qdrant.Vectors {
	return qdrant.NewVectorsMap(map[string]*qdrant.Vector{"dense": qdrant.NewVectorDense(v)})
}

func sparse(terms ...uint32) *qdrant.Vectors {
	ones := make([]float32, len(terms))
	for i := range ones {
		ones[i] = 1
	}
	return qdrant.NewVectorsMap(map[string]*qdrant.Vector{"sparse": qdrant.NewVectorSparse(terms, ones)})
}

func (f fixture) query(t *testing.T, q *qdrant.QueryPoints) ([]*qdrant.ScoredPoint, error) {
	t.Helper()
	q.CollectionName = collection
	return f.Query(t.Context(), q)
}

func (f fixture) scores(t *testing.T, terms []uint32, params *qdrant.SearchParams, filter *qdrant.Filter) map[uint64]float64 {
	t.Helper()
	ones := make([]float32, len(terms))
	for i := range ones {
		ones[i] = 1
	}
	hits, err := f.query(t, &qdrant.QueryPoints{Query: qdrant.NewQuerySparse(terms, ones), Using: new("sparse"), Params: params, Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[uint64]float64)
	for _, h := range hits {
		out[h.GetId().GetNum()] = float64(h.GetScore())
	}
	return out
}
