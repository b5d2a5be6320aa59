package outbound

import (
	"slices"
	"time"
)

// The windows in which use is counted. A provider's limit is per minute; the
// short window keeps a minute's allowance from being spent in one second,
// which providers refuse too.
const (
	minute     = 60 // seconds
	burst      = 10 // seconds
	burstShare = 4  // a quarter of the minute's limit in each short window
)

// Cost is what a call takes of a limit.
type Cost struct {
	Requests int
	Tokens   int
}

func (c Cost) add(o Cost) Cost { return Cost{c.Requests + o.Requests, c.Tokens + o.Tokens} }

func (c Cost) atMost(l Cost) Cost {
	return Cost{atMost(c.Requests, l.Requests), atMost(c.Tokens, l.Tokens)}
}

// atMost bounds a cost by a limit, of which zero is none.
func atMost(cost, limit int) int {
	if limit > 0 {
		return min(cost, limit)
	}
	return cost
}

// within reports whether used and cost together keep the limits.
func within(used, cost, limit Cost) bool {
	sum := used.add(cost)
	return (limit.Requests == 0 || cost.Requests == 0 || sum.Requests <= limit.Requests) &&
		(limit.Tokens == 0 || cost.Tokens == 0 || sum.Tokens <= limit.Tokens)
}

// cell is what was granted in one second.
type cell struct {
	Second int64 `json:"s"`
	// All counts both lanes, Bulk the bulk lane's part.
	All  Cost `json:"a"`
	Bulk Cost `json:"b"`
}

// window is the use of the last minute, oldest second first.
type window struct {
	Cells []cell `json:"c,omitempty"`
}

// advance drops what no limit counts any more. It returns the second that
// counts as now: never before one that something was granted in, so that a
// clock that lags behind another replica's only waits longer.
func (w *window) advance(now int64) int64 {
	if n := len(w.Cells); n > 0 {
		now = max(now, w.Cells[n-1].Second)
	}
	keep := 0
	for keep < len(w.Cells) && w.Cells[keep].Second < now-minute {
		keep++
	}
	w.Cells = slices.Delete(w.Cells, 0, keep)
	return now
}

// used sums what was granted in the seconds from now-span to now: one more
// than the span, because the oldest second may have begun before it.
func (w *window) used(now, span int64) (all, bulk Cost) {
	for _, c := range w.Cells {
		if c.Second >= now-span {
			all, bulk = all.add(c.All), bulk.add(c.Bulk)
		}
	}
	return all, bulk
}

// take counts a cost in a second. It may be negative, to give back.
func (w *window) take(second int64, lane Lane, cost Cost) {
	at, found := slices.BinarySearchFunc(w.Cells, second, func(c cell, s int64) int {
		switch {
		case c.Second < s:
			return -1
		case c.Second > s:
			return 1
		}
		return 0
	})
	if !found {
		w.Cells = slices.Insert(w.Cells, at, cell{Second: second})
	}
	c := &w.Cells[at]
	c.All = atLeastZero(c.All.add(cost))
	if lane == Bulk {
		c.Bulk = atLeastZero(c.Bulk.add(cost))
	}
}

func atLeastZero(c Cost) Cost { return Cost{max(c.Requests, 0), max(c.Tokens, 0)} }

// limits are the bounds of both windows for both lanes.
type limits struct {
	all, bulk Cost
	// reserve is the share that bulk work leaves to interactive calls.
	reserve float64
}

// newLimits splits a limit a minute. A bulk lane that exists is never left without anything.
func newLimits(perMinute Cost, reserve float64) limits {
	return limits{all: perMinute, bulk: Cost{lessShare(perMinute.Requests, reserve), lessShare(perMinute.Tokens, reserve)}, reserve: reserve}
}

func lessShare(n int, share float64) int {
	if n == 0 {
		return 0
	}
	return max(1, int(float64(n)*(1-share)))
}

// part returns the limits of one of several equal users.
func (l limits) part(users int) limits {
	if users <= 1 {
		return l
	}
	divide := func(n int) int {
		if n == 0 {
			return 0
		}
		return max(1, n/users)
	}
	return newLimits(Cost{divide(l.all.Requests), divide(l.all.Tokens)}, l.reserve)
}

func brief(l Cost) Cost {
	divide := func(n int) int { return (n + burstShare - 1) / burstShare }
	return Cost{divide(l.Requests), divide(l.Tokens)}
}

// fits reports whether a cost may be granted at the second. A cost above a
// limit counts as the limit, so that it is granted when nothing else is.
func (l limits) fits(w *window, now int64, lane Lane, cost Cost) bool {
	all, bulk := w.used(now, minute)
	if !within(all, cost, l.all) || lane == Bulk && !within(bulk, cost, l.bulk) {
		return false
	}
	all, bulk = w.used(now, burst)
	if lane == Bulk {
		return withinBrief(bulk, brief(l.bulk))
	}
	// What bulk work has taken just now is not held against who waits.
	return withinBrief(Cost{all.Requests - bulk.Requests, all.Tokens - bulk.Tokens}, brief(l.all))
}

// withinBrief looks at what was used before, whatever the next cost is: one
// above the short window's limit must pass too, and the minute's has the last word.
func withinBrief(used, limit Cost) bool {
	return (limit.Requests == 0 || used.Requests < limit.Requests) && (limit.Tokens == 0 || used.Tokens < limit.Tokens)
}

// bound returns the cost as it is counted.
func (l limits) bound(lane Lane, cost Cost) Cost {
	if lane == Bulk {
		return cost.atMost(l.bulk)
	}
	return cost.atMost(l.all)
}

// delay returns how long it takes until the cost fits, if nobody else is granted anything.
func (l limits) delay(w *window, now int64, lane Lane, cost Cost) time.Duration {
	ends := make([]int64, 0, 2*len(w.Cells))
	for _, c := range w.Cells {
		ends = append(ends, c.Second+burst+1, c.Second+minute+1)
	}
	slices.Sort(ends)
	for _, at := range ends {
		if at > now && l.fits(w, at, lane, cost) {
			return time.Duration(at-now) * time.Second
		}
	}
	return (minute + 1) * time.Second
}
