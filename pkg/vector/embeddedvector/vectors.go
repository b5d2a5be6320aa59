package embeddedvector

import (
	"encoding/binary"
	"math"

	"github.com/ragbus/ragbus/pkg/fault"
)

// A vector is kept as 16 bits a component in two planes of 8:
// v ≈ scale·(high + low/lowSteps). The scan reads the high plane only, an
// eighth of the float32 it stands for in a third of the time; the few best
// are then scored again with both, which is exact to about 1e-5.
const (
	highSteps = 127
	lowSteps  = 254
	// rowMultiple is what the kernel needs of a row's length.
	rowMultiple = 16
	// noVector is the scale of a chunk that only the keyword leg finds.
	noVector = -1
)

// strideOf returns the length of a row of the planes.
func strideOf(dimensions int) int {
	return (dimensions + rowMultiple - 1) / rowMultiple * rowMultiple
}

// checkVector returns an Invalid fault unless v has the dimensions and is finite.
func checkVector(field string, v []float32, dimensions int) error {
	if len(v) != dimensions {
		return fault.Invalidf("invalid_vector", "a vector has %d dimensions; the index has %d", len(v), dimensions).WithField(field)
	}
	for _, x := range v {
		if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
			return fault.Invalidf("invalid_vector", "a vector holds NaN or infinity").WithField(field)
		}
	}
	return nil
}

// normalised returns v with length 1, or all zeros when it has no length.
func normalised(v []float32) []float32 { return appendNormalised(make([]float32, 0, len(v)), v) }

func appendNormalised(out, v []float32) []float32 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	norm := math.Sqrt(sum)
	if sum == 0 {
		norm = 1
	}
	for _, x := range v {
		out = append(out, float32(float64(x)/norm))
	}
	return out
}

func greatest(v []float32) float64 {
	most := 0.0
	for _, x := range v {
		most = max(most, math.Abs(float64(x)))
	}
	return most
}

// encodeVector returns the stored form: scale (float32), high plane, low
// plane. A nil vector is nil.
func encodeVector(v []float32) []byte {
	if v == nil {
		return nil
	}
	unit := normalised(v)
	scale := greatest(unit) / highSteps
	out := make([]byte, 4+2*len(unit))
	binary.LittleEndian.PutUint32(out, math.Float32bits(float32(scale)))
	if scale == 0 {
		return out
	}
	for i, x := range unit {
		y := float64(x) / scale
		high := math.Round(y)
		out[4+i] = byte(int8(high))
		out[4+len(unit)+i] = byte(int8(math.Round((y - high) * lowSteps)))
	}
	return out
}

// question is a query vector as the kernel takes it.
type question struct {
	steps []int16
	// scale turns the kernel's integers back: cosine ≈ dot · scale · row scale.
	scale float32
}

// newQuestion prepares a checked query vector. The integers are as large as
// an int32 sum over a row allows.
func newQuestion(v []float32) question {
	q, _ := reuseQuestion(nil, nil, v)
	return q
}

// reuseQuestion is newQuestion in memory that earlier questions had. It
// returns the normalised vector too, for its memory.
func reuseQuestion(steps []int16, unit, v []float32) (question, []float32) {
	q := question{steps: zeroed(steps, strideOf(len(v)))}
	unit = appendNormalised(unit[:0], v)
	most := greatest(unit)
	if most == 0 {
		return q, unit
	}
	scale := float64(min(math.MaxInt16, math.MaxInt32/(highSteps*len(q.steps))))
	for i, x := range unit {
		q.steps[i] = int16(math.Round(float64(x) / most * scale))
	}
	q.scale = float32(most / scale)
	return q, unit
}

// cosine scores one row of the planes with all the precision they have.
func (q question) cosine(high, low []int8, scale float32) float64 {
	var coarse [1]int32
	dotRows(q.steps, high, coarse[:])
	return q.refine(coarse[0], low, scale)
}

// refine is cosine for a row whose high plane was multiplied already.
func (q question) refine(coarse int32, low []int8, scale float32) float64 {
	var fine [1]int32
	dotRows(q.steps, low, fine[:])
	return (float64(coarse) + float64(fine[0])/lowSteps) * float64(q.scale) * float64(scale)
}

func dotRowsGeneric(query []int16, rows []int8, out []int32) {
	for i := range out {
		row := rows[i*len(query) : (i+1)*len(query)]
		sum := int32(0)
		for j, q := range query {
			sum += int32(q) * int32(row[j])
		}
		out[i] = sum
	}
}
