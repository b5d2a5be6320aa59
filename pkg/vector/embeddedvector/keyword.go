package embeddedvector

import (
	"context"

	"github.com/ragbus/ragbus/pkg/lexical"
)

// keyword returns the best chunks by BM25. Terms are added up one at a time
// into an array of scores by chunk: with a hundred thousand chunks that is
// shorter than what skipping would save.
func (r *run) keyword(ctx context.Context, depth int) ([]found, error) {
	r.scratch.scores = zeroed(r.scratch.scores, r.chunks)
	terms := r.words.Query(r.query.Text, r.languages)
	known := false
	for _, t := range terms {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		holding := r.holding(t.ID)
		if holding == 0 {
			continue
		}
		known = true
		r.add(t.ID, float32(float64(t.Count)*lexical.IDF(r.live, holding)))
	}
	if !known {
		return nil, nil
	}
	return r.topScores(depth), nil
}

// holding counts the live chunks that have the term.
func (r *run) holding(term uint32) int {
	n := 0
	for i := range r.pieces {
		p := &r.pieces[i]
		chunks, _ := p.postings(term)
		n += len(chunks)
		if p.dead == nil {
			continue
		}
		for _, chunk := range chunks {
			if p.isDead(p.owner[chunk]) {
				n--
			}
		}
	}
	return n
}

func (r *run) add(term uint32, weight float32) {
	for i := range r.pieces {
		p := &r.pieces[i]
		chunks, impacts := p.postings(term)
		scores := r.scratch.scores[p.chunkBase : p.chunkBase+p.size()]
		impacts = impacts[:len(chunks)]
		for j, chunk := range chunks {
			scores[chunk] += weight * impacts[j]
		}
	}
}

func (r *run) topScores(depth int) []found {
	b := best{run: r, limit: depth}
	floor := float32(0)
	for i := range r.pieces {
		p := &r.pieces[i]
		for chunk, score := range r.scratch.scores[p.chunkBase : p.chunkBase+p.size()] {
			if score == 0 || score < floor {
				continue
			}
			if !r.sees(p, p.owner[chunk]) {
				continue
			}
			b.offer(found{score: float64(score), piece: int32(i), chunk: uint32(chunk)})
			if len(b.heap) == depth {
				floor = float32(b.heap[0].score)
			}
		}
	}
	return b.sorted()
}
