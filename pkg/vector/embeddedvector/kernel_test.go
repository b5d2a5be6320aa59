package embeddedvector

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func randomVector(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return normalised(v)
}

// The kernel of this machine and the plain one must rank alike, so they give the same integers.
func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, stride := range []int{16, 32, 48, 384, 1536, 3072} {
		for _, rows := range []int{0, 1, 2, 3, 4, 5, 7, 8, 61} {
			query := make([]int16, stride)
			plane := make([]int8, rows*stride)
			for i := range query {
				query[i] = int16(rng.IntN(1<<16) - 1<<15)
			}
			for i := range plane {
				plane[i] = int8(rng.IntN(255) - 127)
			}
			got, want := make([]int32, rows), make([]int32, rows)
			dotRows(query, plane, got)
			dotRowsGeneric(query, plane, want)
			if !slices.Equal(want, got) {
				t.Errorf("stride %d, %d rows: %v, want %v", stride, rows, got, want)
			}
		}
	}
}

func TestQuestionsDoNotOverflow(t *testing.T) {
	t.Parallel()
	for _, dimensions := range []int{1, 16, 384, 1536, 3072, 16384} {
		even := make([]float32, dimensions)
		for i := range even {
			even[i] = 1
		}
		q := newQuestion(even)
		row := slices.Repeat([]int8{highSteps}, len(q.steps))
		sum := int64(0)
		for i := range q.steps {
			sum += int64(q.steps[i]) * int64(row[i])
		}
		out := make([]int32, 1)
		dotRows(q.steps, row, out)
		if sum > math.MaxInt32 || int64(out[0]) != sum {
			t.Errorf("%d dimensions: %d, exactly %d", dimensions, out[0], sum)
		}
	}
}

func TestStoredVectorsKeepTheirCosines(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for _, dimensions := range []int{3, 384, 768} {
		b := newBuilder(dimensions)
		b.open(&document{})
		var vectors [][]float32
		for range 50 {
			v := randomVector(rng, dimensions)
			vectors = append(vectors, v)
			if err := b.add(row{dense: encodeVector(v)}); err != nil {
				t.Fatal(err)
			}
		}
		s := b.finish()
		asked := randomVector(rng, dimensions)
		q := newQuestion(asked)
		dots := make([]int32, len(vectors))
		dotRows(q.steps, s.high, dots)
		for i, v := range vectors {
			exact := 0.0
			for j := range v {
				exact += float64(v[j]) * float64(asked[j])
			}
			fine := q.cosine(s.row(s.high, uint32(i)), s.row(s.low, uint32(i)), s.scales[i])
			coarse := float64(dots[i]) * float64(q.scale) * float64(s.scales[i])
			if math.Abs(fine-exact) > 2e-5 || math.Abs(coarse-exact) > 5e-3 {
				t.Errorf("%d dimensions: fine %v, coarse %v, exactly %v", dimensions, fine, coarse, exact)
			}
		}
	}
}

func TestVectorsWithoutLengthScoreZero(t *testing.T) {
	t.Parallel()
	b := newBuilder(4)
	b.open(&document{})
	if err := b.add(row{dense: encodeVector(make([]float32, 4))}); err != nil {
		t.Fatal(err)
	}
	s := b.finish()
	if got := newQuestion([]float32{1, 0, 0, 0}).cosine(s.row(s.high, 0), s.row(s.low, 0), s.scales[0]); got != 0 {
		t.Errorf("cosine %v, want 0", got)
	}
	if got := newQuestion(make([]float32, 4)); got.scale != 0 {
		t.Errorf("scale of an empty question %v, want 0", got.scale)
	}
}

func FuzzStoredChunk(f *testing.F) {
	f.Add([]byte{1, 1, 5, 2}, []byte{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0xff}, []byte{1})
	f.Fuzz(func(t *testing.T, terms, dense []byte) {
		b := newBuilder(4)
		b.open(&document{})
		if b.add(row{terms: terms, dense: dense, length: 3}) != nil {
			return
		}
		s := b.finish()
		if s.size() != 1 || !slices.IsSorted(s.terms) || len(s.offsets) != len(s.terms)+1 {
			t.Fatalf("%d chunks, %d terms, %d offsets", s.size(), len(s.terms), len(s.offsets))
		}
	})
}
