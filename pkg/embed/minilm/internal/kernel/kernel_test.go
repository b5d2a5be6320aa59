package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/kernel"
)

// backends returns every implementation that this machine runs.
func backends() []kernel.Backend {
	list := []kernel.Backend{new(kernel.Portable)}
	if best := kernel.Best(); best.Name() != list[0].Name() {
		list = append(list, best)
	}
	return list
}

func random(rng *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64())
	}
	return out
}

// TestProductsMatchTheDefinition compares both kinds of product with sums in
// float64, for row counts that use every mixture of tiles and depths that
// leave a remainder of the unrolled loops.
func TestProductsMatchTheDefinition(t *testing.T) {
	t.Parallel()
	for _, backend := range backends() {
		for rows := 1; rows <= 20; rows++ {
			for _, depth := range []int{1, 2, 3, 5, 32, 39} {
				t.Run(fmt.Sprintf("%s %d rows %d deep", backend.Name(), rows, depth), func(t *testing.T) {
					t.Parallel()
					checkProducts(t, backend, rows, depth)
				})
			}
		}
	}
}

func checkProducts(t *testing.T, shared kernel.Backend, rows, depth int) {
	t.Helper()
	backend := shared
	if shared.Name() == "portable" {
		backend = new(kernel.Portable)
	}
	const cols, stride = 32, 45
	rng := rand.New(rand.NewPCG(uint64(rows), uint64(depth)))
	x := kernel.View{Data: random(rng, (rows+kernel.PadRows)*stride), Stride: stride}
	scale, bias := random(rng, cols), random(rng, cols)
	weights := make([]byte, cols*depth)
	floats := make([]float32, cols*depth)
	for i := range weights {
		weights[i] = byte(rng.IntN(256))
		floats[i] = float32(int8(weights[i]))
	}
	want := func(r, c int) float64 {
		var sum float64
		for k := range depth {
			panel, col := c/kernel.PanelWidth, c%kernel.PanelWidth
			sum += float64(x.Data[r*stride+k]) * float64(floats[panel*depth*kernel.PanelWidth+k*kernel.PanelWidth+col])
		}
		return sum*float64(scale[c]) + float64(bias[c])
	}
	check := func(kind string, got []float32) {
		t.Helper()
		for r := range rows {
			for c := range cols {
				if w := want(r, c); math.Abs(float64(got[r*cols+c])-w) > 2e-3 {
					t.Fatalf("%s: element %d,%d is %v, want %v", kind, r, c, got[r*cols+c], w)
				}
			}
		}
	}
	got := make([]float32, (rows+kernel.PadRows)*cols)
	backend.Linear(kernel.View{Data: got, Stride: cols}, x, rows, &kernel.Linear{In: depth, Out: cols, Panels: string(weights), Scale: scale, Bias: bias})
	check("int8", got)
	clear(got)
	backend.Product(kernel.View{Data: got, Stride: cols}, x, rows, kernel.Panels{Data: floats, K: depth, Cols: cols}, scale, bias)
	check("float32", got)
}

func TestRowFunctionsMatchTheDefinition(t *testing.T) {
	t.Parallel()
	for _, backend := range backends() {
		t.Run(backend.Name(), func(t *testing.T) {
			t.Parallel()
			t.Run("gelu", func(t *testing.T) { checkGELU(t, backend) })
			t.Run("softmax", func(t *testing.T) { checkSoftmax(t, backend) })
			t.Run("add and normalise", func(t *testing.T) { checkAddNorm(t, backend) })
		})
	}
}

func checkGELU(t *testing.T, backend kernel.Backend) {
	t.Helper()
	x := make([]float32, 0, 4096)
	for i := range cap(x) {
		x = append(x, float32(i-2048)/128)
	}
	got := append([]float32(nil), x...)
	factor := make([]float32, len(x))
	for i := range factor {
		factor[i] = float32(i%3) + 1
	}
	backend.GELU(got, factor)
	for i, v := range x {
		want := float64(factor[i]) * float64(v) / 2 * (1 + math.Erf(float64(v)/math.Sqrt2))
		if math.Abs(float64(got[i])-want) > 2e-6 {
			t.Fatalf("gelu(%v) is %v, want %v", v, got[i], want)
		}
	}
}

func checkSoftmax(t *testing.T, backend kernel.Backend) {
	t.Helper()
	const rows, cols, stride = 3, 48, 53
	rng := rand.New(rand.NewPCG(1, 2))
	x := random(rng, rows*stride)
	for i := range x {
		x[i] *= 20
	}
	x[40], x[47] = kernel.Masked, kernel.Masked
	want := make([]float64, len(x))
	for r := range rows {
		row := x[r*stride:][:cols]
		var greatest, sum float64 = math.Inf(-1), 0
		for _, v := range row {
			greatest = max(greatest, float64(v))
		}
		for _, v := range row {
			sum += math.Exp(float64(v) - greatest)
		}
		for c, v := range row {
			want[r*stride+c] = math.Exp(float64(v)-greatest) / sum
		}
	}
	untouched := x[cols]
	backend.Softmax(kernel.View{Data: x, Stride: stride}, rows, cols)
	for r := range rows {
		for c := range cols {
			if i := r*stride + c; math.Abs(float64(x[i])-want[i]) > 1e-6 {
				t.Fatalf("element %d,%d is %v, want %v", r, c, x[i], want[i])
			}
		}
	}
	if x[cols] != untouched {
		t.Fatal("softmax wrote beyond its columns")
	}
}

func checkAddNorm(t *testing.T, backend kernel.Backend) {
	t.Helper()
	const n = 384
	rng := rand.New(rand.NewPCG(3, 4))
	x, residual, gamma, beta := random(rng, n), random(rng, n), random(rng, n), random(rng, n)
	var mean, variance float64
	for i := range n {
		mean += (float64(x[i]) + float64(residual[i])) / n
	}
	for i := range n {
		d := float64(x[i]) + float64(residual[i]) - mean
		variance += d * d / n
	}
	got := append([]float32(nil), x...)
	backend.AddNorm(got, residual, gamma, beta)
	for i := range n {
		want := (float64(x[i])+float64(residual[i])-mean)/math.Sqrt(variance+1e-12)*float64(gamma[i]) + float64(beta[i])
		if math.Abs(float64(got[i])-want) > 1e-5 {
			t.Fatalf("element %d is %v, want %v", i, got[i], want)
		}
	}
}
