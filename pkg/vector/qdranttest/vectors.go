package qdranttest

import (
	"cmp"
	"math"
	"slices"
)

// rows are the dense vectors of one name, one behind the other by slot.
type rows struct {
	width   int
	data    []float32
	lengths []float64
	present set
}

func (r *rows) put(slot uint32, v []float32) {
	if grow := (int(slot)+1)*r.width - len(r.data); grow > 0 {
		r.data = append(r.data, make([]float32, grow)...)
		r.lengths = append(r.lengths, make([]float64, grow/r.width)...)
	}
	copy(r.row(slot), v)
	r.lengths[slot] = norm(v)
	r.present.add(slot)
}

func (r *rows) row(slot uint32) []float32 {
	return r.data[int(slot)*r.width : (int(slot)+1)*r.width]
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// dotGeneric is the dot product of two vectors of the same length.
func dotGeneric(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for ; len(a) >= 4; a, b = a[4:], b[4:] {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
	}
	for i, x := range a {
		s0 += x * b[i]
	}
	return s0 + s1 + (s2 + s3)
}

// sparseVector has its terms in ascending order.
type sparseVector struct {
	terms  []uint32
	values []float32
}

func readSparse(terms []uint32, values []float32) (sparseVector, error) {
	if len(terms) != len(values) {
		return sparseVector{}, invalid("Validation error in sparse vector: values: must be the same length as indices")
	}
	order := make([]int, len(terms))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(terms[i], terms[j]) })
	v := sparseVector{terms: make([]uint32, len(terms)), values: make([]float32, len(terms))}
	for n, i := range order {
		if n > 0 && v.terms[n-1] == terms[i] {
			return sparseVector{}, invalid("Validation error in sparse vector: indices: must be unique")
		}
		v.terms[n], v.values[n] = terms[i], values[i]
	}
	return v, nil
}

func (v sparseVector) has(term uint32) bool {
	_, ok := slices.BinarySearch(v.terms, term)
	return ok
}

// posting is a point that has a term, and its value.
type posting struct {
	slot  uint32
	value float32
}

// inverted are the sparse vectors of one name by their terms.
type inverted struct {
	// lists are ordered by slot.
	lists map[uint32][]posting
	// present has the points with a vector, filled those whose vector is not empty.
	present, filled set
}

func bySlot(p posting, slot uint32) int { return cmp.Compare(p.slot, slot) }

func (x *inverted) put(slot uint32, v sparseVector) {
	x.present.add(slot)
	for i, term := range v.terms {
		list := x.lists[term]
		at := len(list)
		if at > 0 && list[at-1].slot >= slot {
			at, _ = slices.BinarySearchFunc(list, slot, bySlot)
		}
		x.lists[term] = slices.Insert(list, at, posting{slot, v.values[i]})
	}
	if len(v.terms) > 0 {
		x.filled.add(slot)
	}
}

func (x *inverted) remove(slot uint32, v sparseVector) {
	x.present.remove(slot)
	x.filled.remove(slot)
	for _, term := range v.terms {
		list := x.lists[term]
		if at, ok := slices.BinarySearchFunc(list, slot, bySlot); ok {
			list = slices.Delete(list, at, at+1)
		}
		if len(list) == 0 {
			delete(x.lists, term)
			continue
		}
		x.lists[term] = list
	}
}
