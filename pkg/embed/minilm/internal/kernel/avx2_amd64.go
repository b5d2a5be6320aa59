package kernel

// avx2 is the backend in assembly. Its tiles read and write through pointers,
// so every method takes the bounds of what a tile touches first.
type avx2 struct{}

var _ Backend = avx2{}

// Name returns "avx2".
func (avx2) Name() string { return "avx2" }

// Linear implements [Backend].
func (avx2) Linear(dst, x View, rows int, l *Linear) {
	size := l.In * PanelWidth
	for first := 0; first < l.Out; first += PanelWidth {
		panel := l.Panels[first*l.In:][:size]
		scale, bias := l.Scale[first:][:PanelWidth], l.Bias[first:][:PanelWidth]
		for r := 0; r < rows; {
			n := tileRows(rows - r)
			out, in := dst.From(r, first), x.From(r, 0)
			out.check(n, PanelWidth)
			in.check(n, l.In)
			if n == 6 {
				tile6Int8(&out.Data[0], out.Stride, &in.Data[0], in.Stride, panel, &scale[0], &bias[0])
			} else {
				tile4Int8(&out.Data[0], out.Stride, &in.Data[0], in.Stride, panel, &scale[0], &bias[0])
			}
			r += n
		}
	}
}

// Product implements [Backend].
func (avx2) Product(dst, x View, rows int, b Panels, scale, bias []float32) {
	size := b.K * PanelWidth
	for first := 0; first < b.Cols; first += PanelWidth {
		panel := b.Data[first*b.K:][:size]
		scale, bias := scale[first:][:PanelWidth], bias[first:][:PanelWidth]
		for r := 0; r < rows; {
			n := tileRows(rows - r)
			out, in := dst.From(r, first), x.From(r, 0)
			out.check(n, PanelWidth)
			in.check(n, b.K)
			if n == 6 {
				tile6Float(&out.Data[0], out.Stride, &in.Data[0], in.Stride, panel, &scale[0], &bias[0])
			} else {
				tile4Float(&out.Data[0], out.Stride, &in.Data[0], in.Stride, panel, &scale[0], &bias[0])
			}
			r += n
		}
	}
}

// check panics when a tile of the size would leave the buffer.
func (v View) check(rows, cols int) { _ = v.Data[(rows-1)*v.Stride+cols-1] }

// Softmax implements [Backend].
func (avx2) Softmax(x View, rows, cols int) {
	for r := range rows {
		row := x.Data[r*x.Stride:][:cols]
		softmaxRow(row)
	}
}

// GELU implements [Backend].
func (avx2) GELU(x, factor []float32) {
	factor = factor[:len(x)]
	gelu(x, &factor[0])
}

// AddNorm implements [Backend].
func (avx2) AddNorm(x, residual, gamma, beta []float32) {
	residual, gamma, beta = residual[:len(x)], gamma[:len(x)], beta[:len(x)]
	addNorm(x, &residual[0], &gamma[0], &beta[0])
}

// The tiles compute dst[r][c] = scale[c]·Σ a[r][k]·b[k][c] + bias[c] for 6 or
// 4 rows and one panel b; strides count elements.

//go:noescape
func tile6Int8(dst *float32, dstStride int, a *float32, aStride int, b string, scale, bias *float32)

//go:noescape
func tile4Int8(dst *float32, dstStride int, a *float32, aStride int, b string, scale, bias *float32)

//go:noescape
func tile6Float(dst *float32, dstStride int, a *float32, aStride int, b []float32, scale, bias *float32)

//go:noescape
func tile4Float(dst *float32, dstStride int, a *float32, aStride int, b []float32, scale, bias *float32)

// softmaxRow, gelu and addNorm work on a multiple of 8 elements.

//go:noescape
func softmaxRow(x []float32)

//go:noescape
func gelu(x []float32, factor *float32)

//go:noescape
func addNorm(x []float32, residual, gamma, beta *float32)
