package qdranttest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qdrant/go-client/qdrant"
)

func TestDotIsTheDotProduct(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 4, 31, 32, 33, 384, 1000, 1536} {
		a, b, want := make([]float32, n), make([]float32, n), 0.0
		for i := range a {
			a[i], b[i] = rng.Float32()-.5, rng.Float32()-.5
			want += float64(a[i]) * float64(b[i])
		}
		for name, got := range map[string]float32{"dot": dot(a, b), "dotGeneric": dotGeneric(a, b)} {
			if math.Abs(float64(got)-want) > 1e-4 {
				t.Errorf("%s of %d components: %v; want %v", name, n, got, want)
			}
		}
	}
}

// TestIndexesFindWhatFiltersLetThrough changes points at random and compares
// what the indexes find with a test of every point, and the inverted lists
// with the points' own vectors.
func TestIndexesFindWhatFiltersLetThrough(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	c := newCollection(&qdrant.CreateCollection{
		SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{"s": {}}),
	}, true)
	c.index("word", &qdrant.PayloadSchemaInfo{DataType: qdrant.PayloadSchemaType_Keyword})
	c.index("flag", &qdrant.PayloadSchemaInfo{DataType: qdrant.PayloadSchemaType_Bool})
	payload := func() map[string]*qdrant.Value {
		return map[string]*qdrant.Value{
			"word": qdrant.NewValueFromList(qdrant.NewValueString(fmt.Sprint(rng.IntN(5))), qdrant.NewValueString(fmt.Sprint(rng.IntN(5)))),
			"flag": qdrant.NewValueBool(rng.IntN(2) == 0), "free": qdrant.NewValueInt(int64(rng.IntN(3))),
		}
	}
	condition := func() *qdrant.Condition {
		word, other := fmt.Sprint(rng.IntN(6)), fmt.Sprint(rng.IntN(6))
		return []*qdrant.Condition{
			qdrant.NewMatchKeyword("word", word), qdrant.NewMatchKeywords("word", word, other), qdrant.NewMatchKeywords("word"),
			qdrant.NewMatchBool("flag", rng.IntN(2) == 0), qdrant.NewMatchInt("free", int64(rng.IntN(3))),
			qdrant.NewHasID(qdrant.NewIDNum(uint64(rng.IntN(100))), qdrant.NewIDNum(uint64(rng.IntN(100)))),
		}[rng.IntN(6)]
	}
	for range 3000 {
		id := qdrant.NewIDNum(uint64(rng.IntN(100)))
		key, err := keyOf(id)
		if err != nil {
			t.Fatal(err)
		}
		switch p := c.points[key]; {
		case rng.IntN(4) == 0:
			c.remove(key)
		case p != nil && rng.IntN(2) == 0:
			err = c.change(p, payload())
		default:
			v := sparseVector{terms: []uint32{uint32(rng.IntN(4)), uint32(4 + rng.IntN(4))}, values: []float32{1, 2}}
			err = c.put(&point{id: id, key: key, payload: payload(), sparse: map[string]sparseVector{"s": v}})
		}
		if err != nil {
			t.Fatal(err)
		}
		f := &qdrant.Filter{Must: []*qdrant.Condition{condition(), condition()}}
		if rng.IntN(3) == 0 {
			f.MustNot = []*qdrant.Condition{condition()}
		}
		found, err := c.matching(f)
		if err != nil {
			t.Fatal(err)
		}
		test, err := compile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range c.points {
			if slices.Contains(found, p) != test(p) {
				t.Fatalf("%v: point %s with %v is found: %t", f, p.key, p.payload, !test(p))
			}
		}
		checkLists(t, c)
	}
}

func checkLists(t *testing.T, c *collection) {
	t.Helper()
	for term := range uint32(8) {
		list, holding := c.sparse["s"].lists[term], 0
		for _, p := range c.points {
			if p.sparse["s"].has(term) {
				holding++
			}
		}
		if len(list) != holding || !slices.IsSortedFunc(list, func(a, b posting) int { return int(a.slot) - int(b.slot) }) {
			t.Fatalf("term %d: %d points have it; the list is %v", term, holding, list)
		}
		for _, p := range list {
			if at := c.slots[p.slot]; at == nil || !at.sparse["s"].has(term) {
				t.Fatalf("term %d: slot %d has it not", term, p.slot)
			}
		}
	}
}
