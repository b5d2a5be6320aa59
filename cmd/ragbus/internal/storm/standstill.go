package storm

import (
	"context"
	"fmt"
	"time"
)

const (
	// pulse is how often the storm looks whether the machine runs.
	pulse = 100 * time.Millisecond
	// standstill is how long nothing ran before it is a fault of its own: a
	// few of them within one lease of a delivery (10 s) can end it.
	standstill = 2 * time.Second
)

// watchMachine notes standstills of the whole machine (a virtual machine that
// is suspended, a clock that is set forward) as faults until ctx ends: no
// process renews what it holds meanwhile, and the broker may give work to others.
func (s *storm) watchMachine(ctx context.Context) {
	beat := time.NewTicker(pulse)
	defer beat.Stop()
	last := time.Now()
	for {
		select {
		case <-beat.C:
			now := time.Now()
			s.journal.still(last, now)
			last = now
		case <-ctx.Done():
			return
		}
	}
}

// still notes a fault when too much time went by between two pulses, by the
// clock that leases are measured with (the wall's) or by the one that timers are.
func (j *journal) still(last, now time.Time) {
	gap := max(now.Sub(last), now.Round(0).Sub(last.Round(0)))
	if gap < standstill {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	const kind = "the machine stood still"
	j.counts[kind]++
	j.windows = append(j.windows, &window{
		name: fmt.Sprintf("%s for %s", kind, gap.Round(pulse)), hits: []string{hitEverything}, strokes: 1, begin: last, end: now,
	})
}
