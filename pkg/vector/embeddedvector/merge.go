package embeddedvector

import (
	"context"
	"math/bits"
	"slices"
	"sync"
)

// The policy of merging: segments whose sizes lie within a factor of eight
// are merged when there are eight of them, so a collection of n chunks has a
// few dozen at most and a chunk is copied about log₈(n) times. A segment that
// is a quarter dead is rewritten. Larger ones than largestMerge are left
// alone otherwise: merging them would gain nothing and take long.
const (
	mergeWidth   = 8
	smallestTier = 8
	largestMerge = 1 << 15
)

// place names a collection of a tenant.
type place struct{ tenant, collection string }

// mergeQueue holds the collections that changed, each once.
type mergeQueue struct {
	mu     sync.Mutex
	dirty  map[place]bool
	signal chan struct{}
}

func newMergeQueue() *mergeQueue {
	return &mergeQueue{dirty: make(map[place]bool), signal: make(chan struct{}, 1)}
}

func (q *mergeQueue) add(p place) {
	q.mu.Lock()
	q.dirty[p] = true
	q.mu.Unlock()
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

func (q *mergeQueue) take() (place, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for p := range q.dirty {
		delete(q.dirty, p)
		return p, true
	}
	return place{}, false
}

// mergeUntil merges what needs it, until ctx ends.
func (s *Store) mergeUntil(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.merges.signal:
		}
		for {
			p, ok := s.merges.take()
			if !ok {
				break
			}
			t := s.tenant(p.tenant)
			for ctx.Err() == nil && t.mergeOnce(p.collection) {
			}
		}
	}
}

// mergeOnce merges one group of segments of the collection, if one needs it.
func (t *tenant) mergeOnce(name string) bool {
	c := (*t.view.Load())[name]
	if c == nil {
		return false
	}
	parts := planMerge(c.parts)
	if len(parts) == 0 {
		return false
	}
	merged, sources := mergeParts(parts)

	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(func(get func(string) *collection) {
		c := get(name)
		next := part{segment: merged}
		for i, d := range merged.documents {
			// A document that died meanwhile is dead in the new segment too.
			if t.located[d.id] != d || d.where != sources[i] {
				if next.dead == nil {
					next.dead = make([]uint64, (len(merged.documents)+63)/64)
				}
				next.dead[i/64] |= 1 << (i % 64)
				next.deadChunks += int(merged.first[i+1] - merged.first[i])
				continue
			}
			d.where, d.index = merged, uint32(i)
		}
		c.parts = slices.DeleteFunc(c.parts, func(p part) bool {
			return slices.ContainsFunc(parts, func(q part) bool { return p.segment == q.segment })
		})
		c.parts = append(c.parts, next)
	})
	return true
}

// planMerge returns the segments to merge next, or none.
func planMerge(parts []part) []part {
	tiers := make(map[int][]part)
	for _, p := range parts {
		if p.deadChunks*4 >= p.size() && p.deadChunks > smallestTier {
			return []part{p}
		}
		if p.live() >= largestMerge {
			continue
		}
		tier := bits.Len(uint(p.live()/smallestTier)) / 3
		tiers[tier] = append(tiers[tier], p)
		if len(tiers[tier]) == mergeWidth {
			return tiers[tier]
		}
	}
	return nil
}

// mergeParts returns a segment of the live documents of the parts, and the
// segment that each came from.
func mergeParts(parts []part) (*segment, []*segment) {
	m := &segment{stride: parts[0].stride}
	var sources []*segment
	moved := make([][]uint32, len(parts))
	total := 0
	for _, p := range parts {
		total += p.live()
	}
	m.owner, m.ordinals = make([]uint32, 0, total), make([]uint32, 0, total)
	m.scales = make([]float32, 0, total)
	m.high, m.low = make([]int8, 0, total*m.stride), make([]int8, 0, total*m.stride)
	for i, p := range parts {
		m.languages |= p.languages
		moved[i] = make([]uint32, p.size())
		for d := range p.documents {
			sources = m.adopt(p, uint32(d), moved[i], sources)
		}
	}
	m.first = append(m.first, uint32(m.size()))
	m.mergePostings(parts, moved)
	return m, sources
}

// gone marks a chunk that is not carried over.
const gone = ^uint32(0)

// adopt copies one document unless it is dead, and notes where its chunks went.
func (s *segment) adopt(p part, d uint32, moved []uint32, sources []*segment) []*segment {
	from, to := p.first[d], p.first[d+1]
	if p.isDead(d) {
		for chunk := from; chunk < to; chunk++ {
			moved[chunk] = gone
		}
		return sources
	}
	at := uint32(s.size())
	s.first = append(s.first, at)
	for chunk := from; chunk < to; chunk++ {
		moved[chunk] = at + chunk - from
		s.owner = append(s.owner, uint32(len(s.documents)))
	}
	s.documents = append(s.documents, p.documents[d])
	s.ordinals = append(s.ordinals, p.ordinals[from:to]...)
	s.scales = append(s.scales, p.scales[from:to]...)
	s.high = append(s.high, p.high[int(from)*p.stride:int(to)*p.stride]...)
	s.low = append(s.low, p.low[int(from)*p.stride:int(to)*p.stride]...)
	return append(sources, p.segment)
}

// mergePostings joins the sorted term lists of the parts.
func (s *segment) mergePostings(parts []part, moved [][]uint32) {
	size := 0
	for _, p := range parts {
		size += len(p.chunks)
	}
	s.chunks, s.impacts = make([]uint32, 0, size), make([]float32, 0, size)
	at := make([]int, len(parts))
	for {
		term, ok := nextTerm(parts, at)
		if !ok {
			break
		}
		before := len(s.chunks)
		for i, p := range parts {
			if at[i] == len(p.terms) || p.terms[at[i]] != term {
				continue
			}
			for j := p.offsets[at[i]]; j < p.offsets[at[i]+1]; j++ {
				if to := moved[i][p.chunks[j]]; to != gone {
					s.chunks, s.impacts = append(s.chunks, to), append(s.impacts, p.impacts[j])
				}
			}
			at[i]++
		}
		if len(s.chunks) > before {
			s.terms = append(s.terms, term)
			s.offsets = append(s.offsets, uint32(before))
		}
	}
	s.offsets = append(s.offsets, uint32(len(s.chunks)))
	s.terms, s.offsets = slices.Clip(s.terms), slices.Clip(s.offsets)
	s.guide = newGuide(s.terms)
}

// nextTerm returns the least term that some part has not passed yet.
func nextTerm(parts []part, at []int) (uint32, bool) {
	least, ok := uint32(0), false
	for i, p := range parts {
		if at[i] < len(p.terms) && (!ok || p.terms[at[i]] < least) {
			least, ok = p.terms[at[i]], true
		}
	}
	return least, ok
}
