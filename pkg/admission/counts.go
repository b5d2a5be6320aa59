package admission

import (
	"sync"
	"time"
)

const (
	// fresh is how long a count is believed. What others add meanwhile may
	// exceed a window, by as much as they publish in that time.
	fresh = 20 * time.Millisecond
	// mostCounts bounds what is remembered.
	mostCounts = 4096
)

// count is how much there was in a window, with what was added since.
type count struct {
	n  int
	at time.Time
}

// counts remembers for a moment what the broker has counted.
type counts struct {
	mu   sync.Mutex
	last map[place]count
}

func newCounts() *counts { return &counts{last: make(map[place]count)} }

// plenty reports whether there was less than so much a moment ago, and counts
// what the caller adds.
func (c *counts) plenty(p place, now time.Time, less int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.last[p]
	age := now.Sub(last.at)
	if !ok || age < 0 || age > fresh || last.n >= less {
		return false
	}
	last.n++
	c.last[p] = last
	return true
}

func (c *counts) note(p place, now time.Time, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.last) >= mostCounts {
		clear(c.last)
	}
	c.last[p] = count{n, now}
}
