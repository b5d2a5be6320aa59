package embeddedvector

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// best keeps the highest scores seen, at most limit of them, in a heap whose
// root is the worst of them. Equal scores are ordered by document, then
// ordinal, so that what is kept does not depend on segments or goroutines.
type best struct {
	run   *run
	limit int
	heap  []found
}

// floor is the score that a chunk needs at least to be kept.
func (b *best) floor() float64 {
	if len(b.heap) < b.limit {
		return math.Inf(-1)
	}
	return b.heap[0].score
}

func (b *best) offer(f found) {
	if len(b.heap) < b.limit {
		b.heap = append(b.heap, f)
		b.up(len(b.heap) - 1)
		return
	}
	if b.run.compare(f, b.heap[0]) < 0 {
		b.heap[0] = f
		b.down()
	}
}

// compare orders the better of two first.
func (r *run) compare(x, y found) int {
	switch { // scores are numbers, so that cmp.Compare's care for NaN is wasted here
	case x.score > y.score:
		return -1
	case x.score < y.score:
		return 1
	}
	p, q := &r.pieces[x.piece], &r.pieces[y.piece]
	return cmp.Or(
		strings.Compare(p.documents[p.owner[x.chunk]].id, q.documents[q.owner[y.chunk]].id),
		cmp.Compare(p.ordinals[x.chunk], q.ordinals[y.chunk]),
	)
}

func (b *best) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if b.run.compare(b.heap[parent], b.heap[i]) >= 0 {
			return
		}
		b.heap[parent], b.heap[i] = b.heap[i], b.heap[parent]
		i = parent
	}
}

func (b *best) down() {
	for i := 0; ; {
		worst := i
		for _, child := range [...]int{2*i + 1, 2*i + 2} {
			if child < len(b.heap) && b.run.compare(b.heap[child], b.heap[worst]) > 0 {
				worst = child
			}
		}
		if worst == i {
			return
		}
		b.heap[worst], b.heap[i] = b.heap[i], b.heap[worst]
		i = worst
	}
}

// sorted returns what was kept, best first.
func (b *best) sorted() []found {
	slices.SortFunc(b.heap, b.run.compare)
	return b.heap
}
