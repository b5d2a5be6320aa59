package qdrantvector

import (
	"cmp"
	"math"
	"slices"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/vector"
)

// rank returns the hits of a round as the query wants them.
func (r *run) rank(keyword, dense []found) []vector.Hit {
	// Legs are longer than what fusion takes.
	keyword, dense = keyword[:min(len(keyword), r.depth)], dense[:min(len(dense), r.depth)]
	var best []ranked
	switch r.query.Mode {
	case vector.Keyword:
		for _, f := range keyword[:min(len(keyword), r.query.Limit)] {
			best = append(best, ranked{f.point, vector.Candidate{Keyword: f.score, Dense: math.NaN(), Score: f.score}})
		}
	case vector.Dense:
		for _, f := range dense[:min(len(dense), r.query.Limit)] {
			best = append(best, ranked{f.point, vector.Candidate{Keyword: math.NaN(), Dense: f.score, Score: f.score}})
		}
	case vector.Hybrid:
		best = r.fuse(keyword, dense)
	}
	out := make([]vector.Hit, len(best))
	for i, b := range best {
		out[i] = r.hit(b)
	}
	return out
}

// ranked is a point with its scores.
type ranked struct {
	*point
	vector.Candidate
}

// hit returns what the query's asker gets of a point.
func (r *run) hit(b ranked) vector.Hit {
	h := vector.Hit{
		Ref:   corpus.ChunkRef{Tenant: r.query.Scope.Tenant(), Document: b.source.document, Version: b.source.version, Ordinal: int(b.ordinal)},
		Score: b.Score,
	}
	if live := r.live[b.source.document]; live != nil {
		h.Collection = live.Collection
	}
	if score := b.Keyword; !math.IsNaN(score) {
		h.Keyword = &score
	}
	if score := b.Dense; !math.IsNaN(score) {
		h.Dense = &score
	}
	return h
}

// fuse is [vector.Fuse] on points, of which only the best become hits. The
// legs have met: what both have found is one point.
func (r *run) fuse(keyword, dense []found) []ranked {
	size := len(keyword) + len(dense)
	points, candidates := make([]*point, 0, size), make([]vector.Candidate, 0, size)
	for place, f := range keyword {
		points = append(points, f.point)
		f.keywordRank = len(points)
		candidates = append(candidates, vector.Candidate{Keyword: f.score, Dense: f.cosine, KeywordRank: place + 1})
	}
	for place, f := range dense {
		i := f.keywordRank - 1
		if i < 0 {
			i = len(points)
			points = append(points, f.point)
			candidates = append(candidates, vector.Candidate{Keyword: math.NaN(), Dense: f.score})
		}
		candidates[i].DenseRank = place + 1
	}
	vector.Score(r.query.Fusion, r.foreign, candidates)
	before := func(i, j int) int {
		if a, b := candidates[i].Score, candidates[j].Score; a != b {
			return cmp.Compare(b, a)
		}
		return compareChunks(points[i], points[j])
	}
	order := make([]int, 0, r.query.Limit+1)
	for i := range points {
		if len(order) == r.query.Limit && before(i, order[len(order)-1]) >= 0 {
			continue
		}
		place, _ := slices.BinarySearchFunc(order, i, before)
		order = slices.Insert(order, place, i)
		order = order[:min(len(order), r.query.Limit)]
	}
	out := make([]ranked, len(order))
	for n, i := range order {
		out[n] = ranked{points[i], candidates[i]}
	}
	return out
}
