package extract

import (
	"context"
	"slices"
	"sync"
)

// places are the documents that are read at once: limit of them, and one more
// for a tenant of whom none is read. So nobody waits for another's documents to
// end, however long they are. Of those who wait the one goes next whose tenant
// has the fewest being read, and of these who came first.
type places struct {
	limit int

	mu      sync.Mutex
	taken   int
	of      map[string]int
	waiting []*waiter
}

type waiter struct {
	tenant string
	turn   chan struct{}
}

func newPlaces(limit int) *places { return &places{limit: max(limit, 1), of: map[string]int{}} }

// take waits for a place and returns how to leave it, or the cause of ctx's end.
func (p *places) take(ctx context.Context, tenant string) (leave func(), err error) {
	w := &waiter{tenant: tenant, turn: make(chan struct{})}
	p.mu.Lock()
	p.waiting = append(p.waiting, w)
	p.next()
	p.mu.Unlock()
	leave = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.taken--
		if p.of[tenant]--; p.of[tenant] == 0 {
			delete(p.of, tenant)
		}
		p.next()
	}
	select {
	case <-w.turn:
		return leave, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	at := slices.Index(p.waiting, w)
	if at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	p.mu.Unlock()
	if at < 0 {
		leave() // it was given a place meanwhile
	}
	return nil, context.Cause(ctx)
}

// next gives out what places there are. Call with the lock held.
func (p *places) next() {
	for p.taken <= p.limit && len(p.waiting) > 0 {
		at := 0
		for i, w := range p.waiting {
			if p.of[w.tenant] < p.of[p.waiting[at].tenant] {
				at = i
			}
		}
		w := p.waiting[at]
		if p.taken == p.limit && p.of[w.tenant] > 0 {
			return
		}
		p.waiting = slices.Delete(p.waiting, at, at+1)
		p.taken++
		p.of[w.tenant]++
		close(w.turn)
	}
}
