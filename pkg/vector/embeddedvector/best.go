package embeddedvector

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

const (
	// reserve times the limit is how many candidates a best gathers before it
	// drops all but the limit: selecting seldom, among many, costs less for
	// each than keeping a heap in order.
	reserve = 3
	// buckets of a selection, and how few candidates are sorted instead.
	buckets   = 128
	fewSorted = 24
)

// found is a chunk with the score of a leg.
type found struct {
	score float64
	piece int32
	chunk uint32
}

// best keeps the highest scores seen, at most limit of them. Equal scores are
// ordered by document, then ordinal, so that what is kept does not depend on
// segments or goroutines. Its memory is reused by the next start.
type best struct {
	run   *run
	limit int
	kept  []found
	spare []found
	// worst is the last of the best limit, once so many were selected.
	worst found
	full  bool
}

func (b *best) start(r *run, limit int) {
	b.run, b.limit, b.full = r, limit, false
	if cap(b.kept) < reserve*limit {
		b.kept, b.spare = make([]found, 0, reserve*limit), make([]found, reserve*limit)
	}
	b.kept = b.kept[:0]
}

// floor is the score that a chunk needs at least to be kept.
func (b *best) floor() float64 {
	if !b.full {
		return math.Inf(-1)
	}
	return b.worst.score
}

// offer considers f, and reports whether the floor may have risen.
func (b *best) offer(f found) bool {
	if b.full && b.run.compare(f, b.worst) >= 0 {
		return false
	}
	b.kept = append(b.kept, f)
	if len(b.kept) < reserve*b.limit {
		return false
	}
	b.shrink()
	return true
}

// result returns what is kept, at most limit, in no order.
func (b *best) result() []found {
	b.shrink()
	return b.kept
}

// sorted returns what is kept, best first.
func (b *best) sorted() []found {
	list := b.result()
	slices.SortFunc(list, b.run.compare)
	return list
}

// shrink drops all but the best limit. It counts scores in buckets of equal
// width, keeps the buckets above the one in which the limit falls, drops those
// below and goes on inside that one until it is small enough to be sorted.
func (b *best) shrink() {
	if len(b.kept) <= b.limit {
		return
	}
	sure, rest := 0, b.kept
	for len(rest) > fewSorted {
		above, within := b.part(rest, b.limit-sure)
		if within == len(rest) {
			break // they are equal, or too close to be told apart by width
		}
		sure += above
		rest = rest[above : above+within]
	}
	slices.SortFunc(rest, b.run.compare)
	b.worst, b.full = rest[b.limit-sure-1], true
	b.kept = b.kept[:b.limit]
}

// part moves to the front of list those that are surely among the best limit,
// then those between which only a closer look decides, and returns their numbers.
// The rest of the list is lost.
func (b *best) part(list []found, limit int) (above, within int) {
	least, most := list[0].score, list[0].score
	for i := range list { // scores are numbers: min and max would ask whether they are
		if score := list[i].score; score < least {
			least = score
		} else if score > most {
			most = score
		}
	}
	// Subtracting and multiplying round, but never change an order.
	width := (buckets - 1) / (most - least)
	if width <= 0 || math.IsInf(width, 0) || math.IsNaN(width) {
		return 0, len(list)
	}
	var counts [buckets]int32
	for i := range list {
		counts[bucket(list[i].score, least, width)]++
	}
	boundary, sum := buckets-1, 0
	for ; sum+int(counts[boundary]) < limit; boundary-- {
		sum += int(counts[boundary])
	}
	spare := b.spare[:len(list)]
	for _, f := range list {
		at := bucket(f.score, least, width)
		list[above], spare[within] = f, f // and stays there if the number grows: guessing branches would cost more
		above += one(at > boundary)
		within += one(at == boundary)
	}
	copy(list[above:], spare[:within])
	return above, within
}

func bucket(score, least, width float64) int {
	return int((score-least)*width) & (buckets - 1)
}

func one(yes bool) int {
	n := 0
	if yes {
		n = 1
	}
	return n
}

// compare orders the better of two first.
func (r *run) compare(x, y found) int {
	switch { // scores are numbers, so that cmp.Compare's care for NaN is wasted here
	case x.score > y.score:
		return -1
	case x.score < y.score:
		return 1
	}
	return r.compareNames(x, y)
}

// compareNames orders chunks by document, then ordinal.
func (r *run) compareNames(x, y found) int {
	p, q := &r.pieces[x.piece], &r.pieces[y.piece]
	return cmp.Or(
		strings.Compare(p.documents[p.owner[x.chunk]].id, q.documents[q.owner[y.chunk]].id),
		cmp.Compare(p.ordinals[x.chunk], q.ordinals[y.chunk]),
	)
}
