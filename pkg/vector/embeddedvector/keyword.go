package embeddedvector

import (
	"context"
	"math"

	"github.com/ragbus/ragbus/pkg/lexical"
)

// holdings are the postings of a term in one piece.
type holdings struct {
	scores  []float32
	chunks  []uint32
	impacts []float32
}

// keyword returns the best chunks by BM25, or nil when no live chunk has a
// term of the question. Terms are added up one at a time
// into an array of scores by chunk: with a hundred thousand chunks that is
// shorter than what skipping would save.
func (r *run) keyword(ctx context.Context, depth int) (*best, error) {
	r.keywordLeg.start(r, depth)
	known := false
	for _, t := range r.words.Query(r.query.Text, r.languages) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		holding := r.hold(t.ID)
		if holding == 0 {
			continue
		}
		known = true
		weight := float32(float64(t.Count) * lexical.IDF(r.live, holding))
		for i := range r.held {
			r.held[i].add(weight)
		}
	}
	if known {
		r.topScores(&r.keywordLeg)
	}
	return &r.keywordLeg, nil
}

// hold looks up the term's postings and counts the live chunks that have it.
func (r *run) hold(term uint32) int {
	n := 0
	r.held = r.held[:0]
	for i := range r.pieces {
		p := &r.pieces[i]
		chunks, impacts := p.postings(term)
		if len(chunks) == 0 {
			continue
		}
		r.held = append(r.held, holdings{p.scores, chunks, impacts})
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

func (h holdings) add(weight float32) {
	scores, impacts := h.scores, h.impacts[:len(h.chunks)]
	for i, chunk := range h.chunks {
		scores[chunk] += weight * impacts[i]
	}
}

func (r *run) topScores(b *best) {
	floor := float32(math.SmallestNonzeroFloat32)
	for i := range r.pieces {
		p := &r.pieces[i]
		for chunk, score := range p.scores {
			if score < floor || !r.sees(p, p.owner[chunk]) {
				continue
			}
			if b.offer(found{score: float64(score), piece: int32(i), chunk: uint32(chunk)}) {
				floor = float32(b.floor())
			}
		}
	}
}
