package vector

import (
	"cmp"
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
	weight := fusion.DenseWeight
	if foreign {
		weight = fusion.ForeignDenseWeight
	}
	union := unite(keyword, dense)
	switch fusion.Method {
	case embed.RRF:
		fuseRanks(union, weight, keyword, dense)
	case embed.MinMax:
		k, d := rangeOf(keyword, keywordScore), rangeOf(dense, denseScore)
		for i := range union {
			union[i].Score = (1-weight)*k.position(union[i].Keyword) + weight*d.position(union[i].Dense)
		}
	case embed.ScaledMax:
		fallthrough
	default:
		k, d := rangeOf(keyword, keywordScore), rangeOf(dense, denseScore)
		for i := range union {
			union[i].Score = (1-weight)*k.share(union[i].Keyword) + weight*d.share(union[i].Dense)
		}
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

func keywordScore(h Hit) *float64 { return h.Keyword }
func denseScore(h Hit) *float64   { return h.Dense }

// unite returns each chunk of the legs once, with the raw scores of both.
func unite(keyword, dense []Hit) []Hit {
	union := make([]Hit, 0, len(keyword)+len(dense))
	at := make(map[corpus.ChunkRef]int, len(keyword)+len(dense))
	for _, leg := range [...][]Hit{keyword, dense} {
		for _, h := range leg {
			i, ok := at[h.Ref]
			if !ok {
				at[h.Ref] = len(union)
				union = append(union, h)
				continue
			}
			if union[i].Keyword == nil {
				union[i].Keyword = h.Keyword
			}
			if union[i].Dense == nil {
				union[i].Dense = h.Dense
			}
		}
	}
	return union
}

func fuseRanks(union []Hit, weight float64, keyword, dense []Hit) {
	score := make(map[corpus.ChunkRef]float64, len(union))
	for i, h := range keyword {
		score[h.Ref] += (1 - weight) / float64(rrfK+i+1)
	}
	for i, h := range dense {
		score[h.Ref] += weight / float64(rrfK+i+1)
	}
	for i := range union {
		union[i].Score = score[union[i].Ref]
	}
}

// interval is the range of a leg's scores.
type interval struct{ least, greatest float64 }

func rangeOf(leg []Hit, score func(Hit) *float64) interval {
	r, known := interval{}, false
	for _, h := range leg {
		s := score(h)
		if s == nil {
			continue
		}
		if !known {
			r, known = interval{*s, *s}, true
			continue
		}
		r.least, r.greatest = min(r.least, *s), max(r.greatest, *s)
	}
	return r
}

// share returns s as a share of the greatest score. Where no score is
// positive there is nothing to divide by, and the order is kept as it is.
func (r interval) share(s *float64) float64 {
	switch {
	case s == nil:
		return 0
	case r.greatest <= 0:
		return *s
	}
	return *s / r.greatest
}

// position returns where s lies between the least score and the greatest, 0 to 1.
func (r interval) position(s *float64) float64 {
	switch {
	case s == nil || *s < r.least:
		return 0
	case r.greatest == r.least:
		return 1
	}
	return (*s - r.least) / (r.greatest - r.least)
}
