package embeddedvector

import (
	"cmp"
	"math"
	"slices"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/vector"
)

// fuse combines the legs as [vector.Fuse] does, but makes hits only of those
// that are asked for.
func (r *run) fuse(keyword, dense *best) []vector.Hit {
	byWords, byMeaning := keyword.result(), dense.result()
	if r.query.Fusion.Method == embed.RRF { // the others do not ask for ranks
		byWords, byMeaning = keyword.sorted(), dense.sorted()
	}
	r.unite(byWords, byMeaning)
	vector.Score(r.query.Fusion, r.foreign, r.candidates)
	r.arrange()
	hits, scores := make([]vector.Hit, len(r.order)), make([]float64, 0, 2*len(r.order))
	score := func(s float64) *float64 {
		if math.IsNaN(s) {
			return nil
		}
		scores = append(scores, s)
		return &scores[len(scores)-1]
	}
	for n, i := range r.order {
		c := &r.candidates[i]
		hits[n] = r.hit(r.union[i])
		hits[n].Score, hits[n].Keyword, hits[n].Dense = c.Score, score(c.Keyword), score(c.Dense)
	}
	return hits
}

// unite collects each chunk of the legs once. Those of the keyword leg get
// their cosines also when the dense leg has not them among its best.
func (r *run) unite(keyword, dense []found) {
	r.union, r.candidates = r.union[:0], r.candidates[:0]
	for i, f := range keyword {
		r.union = append(r.union, f)
		r.candidates = append(r.candidates, vector.Candidate{Keyword: f.score, KeywordRank: i + 1, Dense: math.NaN()})
		// Scores are positive and were all read: a negative one now says where
		// the chunk is in the union.
		*r.scoreOf(f) = -float32(i + 1)
	}
	for i, f := range dense {
		if at := int(-*r.scoreOf(f)) - 1; at >= 0 && at < len(keyword) && r.union[at].piece == f.piece && r.union[at].chunk == f.chunk {
			r.candidates[at].Dense, r.candidates[at].DenseRank = f.score, i+1
			continue
		}
		r.union = append(r.union, f)
		r.candidates = append(r.candidates, vector.Candidate{Keyword: math.NaN(), Dense: f.score, DenseRank: i + 1})
	}
	for i, f := range r.union[:len(keyword)] {
		if c := &r.candidates[i]; c.DenseRank == 0 && r.pieces[f.piece].scales[f.chunk] != noVector {
			c.Dense = r.cosine(f)
		}
	}
}

func (r *run) scoreOf(f found) *float32 {
	return &r.pieces[f.piece].scores[f.chunk]
}

// arrange orders the best candidates, at most the query's limit, as
// [vector.Compare] orders their hits. They are few among many.
func (r *run) arrange() {
	limit := r.query.Limit
	r.order = r.order[:0]
	for i := range r.candidates {
		at := len(r.order)
		for at > 0 && r.compareCandidates(i, r.order[at-1]) < 0 {
			at--
		}
		if at < limit {
			r.order = slices.Insert(r.order[:min(len(r.order), limit-1)], at, i)
		}
	}
}

func (r *run) compareCandidates(i, j int) int {
	if x, y := r.candidates[i].Score, r.candidates[j].Score; x != y {
		return cmp.Compare(y, x)
	}
	return r.compareNames(r.union[i], r.union[j])
}
