package kernel

import "math"

// blockCols is the number of columns that the portable product keeps in registers.
const blockCols = 4

// Portable is the plain Go backend. The zero value is ready.
type Portable struct {
	tile []float32
}

var _ Backend = (*Portable)(nil)

// Name returns "portable".
func (*Portable) Name() string { return "portable" }

// Linear implements [Backend].
func (p *Portable) Linear(dst, x View, rows int, l *Linear) {
	size := l.In * PanelWidth
	for first := 0; first < l.Out; first += PanelWidth {
		tile := p.grow(size)
		panel := l.Panels[first*l.In:][:size]
		for c := 0; c < PanelWidth; c += blockCols {
			out := tile[c*l.In:][:blockCols*l.In]
			for k := range l.In {
				in := panel[k*PanelWidth+c:][:blockCols]
				o := out[k*blockCols:][:blockCols]

				o[0], o[1], o[2], o[3] = float32(int8(in[0])), float32(int8(in[1])), float32(int8(in[2])), float32(int8(in[3]))
			}
		}
		multiply(dst.From(0, first), x, rows, l.In, tile, l.Scale[first:], l.Bias[first:])
	}
}

// Product implements [Backend].
func (p *Portable) Product(dst, x View, rows int, b Panels, scale, bias []float32) {
	size := b.K * PanelWidth
	for first := 0; first < b.Cols; first += PanelWidth {
		tile := p.grow(size)
		panel := b.Data[first*b.K:][:size]
		for c := 0; c < PanelWidth; c += blockCols {
			out := tile[c*b.K:][:blockCols*b.K]
			for k := range b.K {
				copy(out[k*blockCols:][:blockCols], panel[k*PanelWidth+c:][:blockCols])
			}
		}
		multiply(dst.From(0, first), x, rows, b.K, tile, scale[first:], bias[first:])
	}
}

func (p *Portable) grow(size int) []float32 {
	if cap(p.tile) < size {
		p.tile = make([]float32, size)
	}
	return p.tile[:size]
}

// multiply writes one panel of a product; tile holds the panel as blocks of
// blockCols columns. Two rows at a time share the loads of the block.
func multiply(dst, x View, rows, depth int, tile, scale, bias []float32) {
	for r := 0; r < rows; r += 2 {
		x0 := x.Data[r*x.Stride:][:depth]
		x1 := x0
		d0 := dst.Data[r*dst.Stride:][:PanelWidth]
		d1 := d0
		if r+1 < rows {
			x1 = x.Data[(r+1)*x.Stride:][:depth]
			d1 = dst.Data[(r+1)*dst.Stride:][:PanelWidth]
		}
		for c := 0; c < PanelWidth; c += blockCols {
			s, b := scale[c:][:blockCols], bias[c:][:blockCols]
			r0, r1 := dot(x0, x1, tile[c*depth:][:blockCols*depth])
			for i := range blockCols {
				d1[c+i] = r1[i]*s[i] + b[i]
				d0[c+i] = r0[i]*s[i] + b[i]
			}
		}
	}
}

func dot(x0, x1, block []float32) (r0, r1 [blockCols]float32) {
	var a0, a1, a2, a3, b0, b1, b2, b3 float32
	x1 = x1[:len(x0)]
	for k, u := range x0 {
		if len(block) < blockCols {
			break
		}
		v := x1[k]
		w0, w1, w2, w3 := block[0], block[1], block[2], block[3]
		block = block[blockCols:]
		a0 += u * w0
		a1 += u * w1
		a2 += u * w2
		a3 += u * w3
		b0 += v * w0
		b1 += v * w1
		b2 += v * w2
		b3 += v * w3
	}
	return [blockCols]float32{a0, a1, a2, a3}, [blockCols]float32{b0, b1, b2, b3}
}

// Softmax implements [Backend].
func (*Portable) Softmax(x View, rows, cols int) {
	for r := range rows {
		row := x.Data[r*x.Stride:][:cols]
		greatest := row[0]
		for _, v := range row {
			greatest = max(greatest, v)
		}
		var sum float32
		for i, v := range row {
			e := exp(v - greatest)
			row[i] = e
			sum += e
		}
		inverse := 1 / sum
		for i := range row {
			row[i] *= inverse
		}
	}
}

// GELU implements [Backend].
func (*Portable) GELU(x, factor []float32) {
	factor = factor[:len(x)]
	for i, v := range x {
		z := max(v, -v) * (1 / math.Sqrt2)
		t := 1 / (1 + erfP*z)
		erfc := t * (erfA1 + t*(erfA2+t*(erfA3+t*(erfA4+t*erfA5)))) * exp(-z*z)
		// x·Φ(x) is x - ½·x·erfc(z) above zero and ½·x·erfc(z) below.
		x[i] = (max(v, 0) - z*(math.Sqrt2/2)*erfc) * factor[i]
	}
}

// AddNorm implements [Backend].
func (*Portable) AddNorm(x, residual, gamma, beta []float32) {
	residual, gamma, beta = residual[:len(x)], gamma[:len(x)], beta[:len(x)]
	var sum float32
	for i := range x {
		x[i] += residual[i]
		sum += x[i]
	}
	mean := sum / float32(len(x))
	var squares float32
	for i := range x {
		x[i] -= mean
		squares += x[i] * x[i]
	}
	inverse := float32(1 / math.Sqrt(float64(squares)/float64(len(x))+normEpsilon))
	for i := range x {
		x[i] = x[i]*inverse*gamma[i] + beta[i]
	}
}

// leastExponent keeps the result of exp a normal number.
const leastExponent = -86

// exp is eˣ for x ≤ 0 to about one unit in the last place of a float32: x is
// k·ln2 + r with |r| ≤ ½·ln2, and the Taylor series of eʳ ends at r⁶/720,
// where what is left is below 2e-7. It is several times faster than math.Exp.
func exp(x float32) float32 {
	const (
		// ln2High has few enough bits that k·ln2High is exact.
		ln2High = 0.693359375
		ln2Low  = math.Ln2 - ln2High
	)
	x = max(x, leastExponent)
	k := int32(x*math.Log2E - 0.5)
	f := float32(k)
	r := x - f*ln2High - f*ln2Low
	e := 1 + r*(1+r*(1.0/2+r*(1.0/6+r*(1.0/24+r*(1.0/120+r*(1.0/720))))))
	return math.Float32frombits(math.Float32bits(e) + uint32(k)<<23)
}
