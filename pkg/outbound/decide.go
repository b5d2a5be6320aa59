package outbound

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// state is what the bucket holds under a key.
type state struct {
	window

	// BulkPause and Pause are until when bulk calls, and all calls, are
	// refused because the provider said so (Unix milliseconds).
	BulkPause int64 `json:"bp,omitempty"`
	Pause     int64 `json:"p,omitempty"`
	// Seen has the second in which each replica was last granted something.
	Seen map[string]int64 `json:"r,omitempty"`
}

// byItself decides without the others, within this replica's part.
func (p *Pacer) byItself(now time.Time, asks []*ask, repairs []correction) {
	for _, r := range repairs {
		if r.lane == Bulk {
			p.shared.BulkPause = max(p.shared.BulkPause, r.until)
		} else {
			p.shared.Pause = max(p.shared.Pause, r.until)
		}
	}
	// What the others were granted last, as far as it is known, counts too.
	p.decide(&p.shared, true, now, asks, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.repair = append(p.repair, repairs...)
	for _, a := range asks {
		if a.granted && len(p.repair) < maxPromised {
			p.repair = append(p.repair, correction{lane: a.lane, second: a.second, cost: a.cost})
		}
	}
}

// decide answers the asks on a state, and with apart also within this
// replica's part of the limit. It reports whether all were granted, and
// whether the state was changed.
func (p *Pacer) decide(s *state, apart bool, now time.Time, asks []*ask, repairs []correction) (all, changed bool) {
	second := s.advance(now.Unix())
	for _, r := range repairs {
		changed = true
		switch {
		case r.until > 0 && r.lane == Bulk:
			s.BulkPause = max(s.BulkPause, r.until)
		case r.until > 0:
			s.Pause = max(s.Pause, r.until)
		case r.second >= second-minute:
			s.take(r.second, r.lane, r.cost)
		}
	}
	own, part := window{Cells: slices.Clone(p.own.Cells)}, p.limits.part(p.replicas)
	own.advance(second)
	all = true
	for _, a := range asks {
		a.granted, a.wait = false, s.paused(a.lane, now)
		if a.wait == 0 && !p.limits.fits(&s.window, second, a.lane, a.cost) {
			a.wait = p.limits.delay(&s.window, second, a.lane, a.cost)
		}
		if least := part.bound(a.lane, a.cost); apart && !part.fits(&own, second, a.lane, least) {
			a.wait = max(a.wait, part.delay(&own, second, a.lane, least))
		}
		if a.wait > 0 {
			all = false
			continue
		}
		a.granted, a.second, changed = true, second, true
		s.take(second, a.lane, a.cost)
		own.take(second, a.lane, a.cost)
	}
	return all, changed
}

// paused returns how long the provider's pause still holds for a lane.
func (s *state) paused(lane Lane, now time.Time) time.Duration {
	until := s.Pause
	if lane == Bulk {
		until = max(until, s.BulkPause)
	}
	return max(time.UnixMilli(until).Sub(now), 0)
}

// note says in the shared state that this replica is there, and counts the others.
func (p *Pacer) note(s *state, second int64) {
	if p.deps.Replica == "" {
		return
	}
	if s.Seen == nil {
		s.Seen = map[string]int64{}
	}
	s.Seen[p.deps.Replica] = second
	for name, at := range s.Seen {
		if at < second-forgotten {
			delete(s.Seen, name)
		}
	}
	p.replicas = max(len(s.Seen), 1)
}

// later returns when a refused call should come back: after those that were
// refused before it, and not all at once.
func (p *Pacer) later(now time.Time, a *ask) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ahead Cost
	waiting := p.promised[a.lane][:0]
	for _, w := range p.promised[a.lane] {
		if w.due.After(now) {
			waiting, ahead = append(waiting, w), ahead.add(w.cost)
		}
	}
	p.promised[a.lane] = waiting
	limit := p.limits.all
	if a.lane == Bulk {
		limit = p.limits.bulk
	}
	behind := max(spacing(ahead.Requests, limit.Requests), spacing(ahead.Tokens, limit.Tokens))
	wait := a.wait + behind
	wait += rand.N(wait/8 + time.Millisecond) //nolint:gosec // jitter is no secret
	wait = min(wait, maxDelay)
	if len(waiting) < maxPromised {
		p.promised[a.lane] = append(waiting, promise{due: now.Add(wait), cost: a.cost})
	}
	return wait
}

// spacing is how long it takes to work off what is ahead at the limit's pace.
func spacing(ahead, limit int) time.Duration {
	if limit == 0 {
		return 0
	}
	return time.Duration(float64(ahead) / float64(limit) * float64(time.Minute))
}

func (s *state) clone() state {
	out := *s
	out.Cells, out.Seen = slices.Clone(s.Cells), maps.Clone(s.Seen)
	return out
}

// sound reports whether a value that was read can be counted on.
func (s *state) sound() bool {
	for i, c := range s.Cells {
		if i > 0 && c.Second <= s.Cells[i-1].Second || c.All != atLeastZero(c.All) || c.Bulk != atLeastZero(c.Bulk) {
			return false
		}
	}
	return len(s.Cells) <= 4*minute
}
