package qdranttest

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

type scored struct {
	*point
	score float32
}

// compare orders the best first. NaN counts as the best, as in the server.
func compare(a, b scored) int {
	if nan := math.IsNaN(float64(a.score)); nan != math.IsNaN(float64(b.score)) {
		if nan {
			return -1
		}
		return 1
	}
	if a.score != b.score {
		return cmp.Compare(b.score, a.score)
	}
	return strings.Compare(a.key, b.key)
}

// best collects the best of what it is offered.
type best struct {
	limit     int
	threshold *float32
	found     []scored
	// worst is the score of the last place once all are taken.
	worst float32
	full  bool
}

func newBest(limit uint64, threshold *float32) *best {
	return &best{limit: int(min(limit, math.MaxInt32)), threshold: threshold}
}

func (b *best) offer(p *point, score float32) {
	if b.full && score < b.worst || b.threshold != nil && score < *b.threshold {
		return
	}
	b.found = append(b.found, scored{point: p, score: score})
	if len(b.found) >= 2*b.limit {
		b.cut()
	}
}

func (b *best) cut() {
	slices.SortFunc(b.found, compare)
	if len(b.found) >= b.limit {
		b.found = b.found[:b.limit]
		if b.limit > 0 {
			b.worst, b.full = b.found[b.limit-1].score, true
		}
	}
}

// ranked returns the best, best first.
func (b *best) ranked() []scored {
	b.cut()
	return b.found
}
