package qdrantvector

import "github.com/ragbus/ragbus/pkg/vector"

// rank returns the hits of a round as the query wants them.
func (r *run) rank(keyword, dense []found) []vector.Hit {
	words, cosines := hitsOf(keyword, r.depth), hitsOf(dense, r.depth)
	switch r.query.Mode {
	case vector.Keyword:
		return words[:min(len(words), r.query.Limit)]
	case vector.Dense:
		return cosines[:min(len(cosines), r.query.Limit)]
	case vector.Hybrid:
	}
	return vector.Fuse(r.query.Fusion, r.foreign, words, cosines, r.query.Limit)
}

func hitsOf(leg []found, depth int) []vector.Hit {
	out := make([]vector.Hit, min(len(leg), depth))
	for i := range out {
		out[i] = leg[i].Hit
	}
	return out
}
