// Package kernel holds the arithmetic of the built-in embedder: products of
// float32 activations with int8 or float32 panels, softmax, GELU and layer
// normalisation. [Portable] runs everywhere; on amd64 with AVX2 and FMA
// [Best] chooses assembly. Both compute the same formulas and differ by
// rounding only.
//
// Matrices on the right of a product are stored in panels: a panel is
// [PanelWidth] columns, one after the other for each k, so that one step of
// the inner loop reads consecutive memory.
package kernel

// PanelWidth is the number of columns in a panel.
const PanelWidth = 16

// PadRows is how many rows beyond the last one a product may read from a and
// write to dst. Buffers must have them; their content means nothing.
const PadRows = 4

// Masked is a bias that makes a column vanish in [Backend.Softmax].
const Masked = -1e30

// Linear is a layer y = x·Wᵀ + bias with int8 weights and one scale for each output.
type Linear struct {
	// In and Out are the widths; Out is a multiple of PanelWidth.
	In, Out int
	// Panels holds Out/PanelWidth panels of In·PanelWidth int8 weights.
	Panels string
	// Scale and Bias have Out elements each.
	Scale, Bias []float32
}

// View is a row-major window into a float32 buffer: row r begins at r·Stride.
type View struct {
	Data   []float32
	Stride int
}

// From returns the window that begins at a row and a column of v.
func (v View) From(row, col int) View {
	return View{Data: v.Data[row*v.Stride+col:], Stride: v.Stride}
}

// Panels is a right-hand matrix of float32 panels, each K·PanelWidth long.
type Panels struct {
	Data []float32
	// K is the shared dimension, Cols the number of columns, a multiple of PanelWidth.
	K, Cols int
}

// Backend computes. One Backend serves one goroutine at a time, because it
// may keep scratch memory.
type Backend interface {
	// Name says which implementation this is, for logs and benchmarks.
	Name() string
	// Linear applies layer l to that many rows of x.
	Linear(dst, x View, rows int, l *Linear)
	// Product writes dst = (x·b)·scale + bias for that many rows of x; scale
	// and bias have b.Cols elements.
	Product(dst, x View, rows int, b Panels, scale, bias []float32)
	// Softmax replaces the first cols columns (a multiple of 8) of each row
	// by their softmax.
	Softmax(x View, rows, cols int)
	// GELU replaces each x by x·Φ(x)·factor. The lengths are equal and a
	// multiple of 8.
	GELU(x, factor []float32)
	// AddNorm replaces x by the layer normalisation of x + residual, with
	// epsilon 1e-12. All lengths are equal and a multiple of 8.
	AddNorm(x, residual, gamma, beta []float32)
}

// tileRows says how many of the rows left the next tile takes: 6 as long as
// that wastes nothing, since its loads are used best, else 4. At most
// PadRows-1 rows too many are computed.
func tileRows(left int) int {
	if left <= 4 || left == 7 || left == 8 {
		return 4
	}
	return 6
}

// The coefficients of Abramowitz and Stegun, Handbook of Mathematical
// Functions, formula 7.1.26: erfc(z) = t(a1 + t(a2 + …))·exp(-z²) with
// t = 1/(1+pz), z ≥ 0; the absolute error is at most 1.5e-7.
const (
	erfP  = 0.3275911
	erfA1 = 0.254829592
	erfA2 = -0.284496736
	erfA3 = 1.421413741
	erfA4 = -1.453152027
	erfA5 = 1.061405429
)

// normEpsilon is added to the variance by layer normalisation.
const normEpsilon = 1e-12
