package vector

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
)

// rrfK is the constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009).
const rrfK = 60

// Compare orders hits as every store does: the best score first, ties by
// document, then ordinal, then version.
func Compare(a, b Hit) int {
	if a.Score != b.Score {
		return cmp.Compare(b.Score, a.Score)
	}
	return cmp.Or(
		strings.Compare(a.Ref.Document, b.Ref.Document),
		cmp.Compare(a.Ref.Ordinal, b.Ref.Ordinal),
		strings.Compare(a.Ref.Version, b.Ref.Version),
	)
}

// Fuse combines the legs of a hybrid search, each best first and at most
// [Depth] long, into at most limit hits in the order of [Compare]. foreign
// says that the collections searched are not English.
//
// A hit counts with a raw score of a leg also when only the other leg's list
// has it but carries that score: stores give the keyword leg's hits their
// cosines, for a model that does not know a language finds all passages
// alike, and that must not count against those which have the words. A score
// that nobody knows counts as nothing: 0 under ScaledMax, the least score
// under MinMax, no rank under RRF.
// An unknown method is treated as ScaledMax. The legs are not modified.
func Fuse(fusion embed.Fusion, foreign bool, keyword, dense []Hit, limit int) []Hit {
	union, candidates := unite(keyword, dense)
	Score(fusion, foreign, candidates)
	for i := range union {
		union[i].Score = candidates[i].Score
	}
	return first(union, limit)
}

// first returns the first limit hits in the order of [Compare]. They are few
// among many, and hits are large to move about.
func first(hits []Hit, limit int) []Hit {
	order := make([]int, 0, min(limit, len(hits))+1)
	for i := range hits {
		if len(order) == limit && (limit == 0 || Compare(hits[i], hits[order[limit-1]]) >= 0) {
			continue
		}
		at, _ := slices.BinarySearchFunc(order, i, func(j, i int) int { return Compare(hits[j], hits[i]) })
		order = slices.Insert(order, at, i)
		order = order[:min(limit, len(order))]
	}
	out := make([]Hit, len(order))
	for n, i := range order {
		out[n] = hits[i]
	}
	return out
}

// unite returns each chunk of the legs once, with the raw scores of both, and
// the same as candidates.
func unite(keyword, dense []Hit) ([]Hit, []Candidate) {
	union := make([]Hit, 0, len(keyword)+len(dense))
	candidates := make([]Candidate, 0, len(keyword)+len(dense))
	at := make(map[corpus.ChunkRef]int, len(keyword)+len(dense))
	for leg, hits := range [...][]Hit{keyword, dense} {
		for place, h := range hits {
			i, ok := at[h.Ref]
			if !ok {
				i = len(union)
				at[h.Ref] = i
				union = append(union, h)
				candidates = append(candidates, Candidate{})
			}
			if union[i].Keyword == nil {
				union[i].Keyword = h.Keyword
			}
			if union[i].Dense == nil {
				union[i].Dense = h.Dense
			}
			rank := &candidates[i].KeywordRank
			if leg == 1 {
				rank = &candidates[i].DenseRank
			}
			if *rank == 0 {
				*rank = place + 1
			}
		}
	}
	for i, h := range union {
		candidates[i].Keyword, candidates[i].Dense = known(h.Keyword), known(h.Dense)
	}
	return union, candidates
}

func known(score *float64) float64 {
	if score == nil {
		return math.NaN()
	}
	return *score
}

// Candidate is what fusion reads of a chunk that a leg has found. Stores that
// number their chunks fuse candidates and make hits of the best alone.
type Candidate struct {
	// Keyword and Dense are the raw scores, NaN where nobody knows the score.
	Keyword, Dense float64
	// KeywordRank and DenseRank are the places in the legs' lists, the best is
	// 1, and 0 where the list has not the chunk. Only RRF reads more of them
	// than whether they are 0.
	KeywordRank, DenseRank int
	// Score is the fused score.
	Score float64
}

// Score sets the fused score of every candidate, exactly as [Fuse] does. The
// candidates are the union of both lists, each chunk once, in any order.
func Score(fusion embed.Fusion, foreign bool, candidates []Candidate) {
	weight := fusion.DenseWeight
	if foreign {
		weight = fusion.ForeignDenseWeight
	}
	if fusion.Method == embed.RRF {
		for i := range candidates {
			c := &candidates[i]
			c.Score = byRank(1-weight, c.KeywordRank) + byRank(weight, c.DenseRank)
		}
		return
	}
	var k, d interval
	for i := range candidates {
		c := &candidates[i]
		if c.KeywordRank > 0 {
			k = k.with(c.Keyword)
		}
		if c.DenseRank > 0 {
			d = d.with(c.Dense)
		}
	}
	measure := interval.share
	if fusion.Method == embed.MinMax {
		measure = interval.position
	}
	for i := range candidates {
		c := &candidates[i]
		c.Score = (1-weight)*measure(k, c.Keyword) + weight*measure(d, c.Dense)
	}
}

func byRank(weight float64, rank int) float64 {
	if rank == 0 {
		return 0
	}
	return weight / float64(rrfK+rank)
}

// interval is the range of a leg's scores.
type interval struct {
	least, greatest float64
	some            bool
}

func (r interval) with(score float64) interval {
	switch {
	case math.IsNaN(score):
		return r
	case !r.some:
		return interval{score, score, true}
	}
	return interval{min(r.least, score), max(r.greatest, score), true}
}

// share returns s as a share of the greatest score. Where no score is
// positive there is nothing to divide by, and the order is kept as it is.
func (r interval) share(s float64) float64 {
	switch {
	case math.IsNaN(s):
		return 0
	case r.greatest <= 0:
		return s
	}
	return s / r.greatest
}

// position returns where s lies between the least score and the greatest, 0 to 1.
func (r interval) position(s float64) float64 {
	switch {
	case math.IsNaN(s) || s < r.least:
		return 0
	case r.greatest == r.least:
		return 1
	}
	return (s - r.least) / (r.greatest - r.least)
}
