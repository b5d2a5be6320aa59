package embeddedvector

import "slices"

const (
	// firstBlock and largestBlock are the sizes, in elements, of an arena's blocks.
	firstBlock   = 1 << 9
	largestBlock = 1 << 16
)

// arena is a list that grows by blocks and is copied once, when its length is
// known: growing a slice by appending would leave several times its size to
// the garbage collector, at the moment when an index is loaded and most of
// the memory of a process is its index.
type arena[T any] struct {
	full [][]T
	last []T
	size int
}

// extend appends n zeros, n at least 1, and returns them.
func (a *arena[T]) extend(n int) []T {
	if len(a.last)+n > cap(a.last) {
		if len(a.last) > 0 {
			a.full = append(a.full, a.last)
		}
		a.last = make([]T, 0, max(n, firstBlock, min(2*cap(a.last), largestBlock)))
	}
	from := len(a.last)
	a.last = a.last[:from+n]
	a.size += n
	return a.last[from:]
}

// blocks returns the elements in order, in pieces.
func (a *arena[T]) blocks() [][]T { return append(slices.Clip(a.full), a.last) }

// join returns the elements and empties the arena.
func (a *arena[T]) join() []T {
	out := make([]T, 0, a.size)
	for _, block := range a.blocks() {
		out = append(out, block...)
	}
	*a = arena[T]{}
	return out
}
