package storm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// probePause is how often the storm looks whether the machine runs.
	probePause = 100 * time.Millisecond
	// standstill is how long nothing ran, or no write reached the disk, before
	// it is a fault of its own. The storm's leases of deliveries are 2 s and are
	// renewed every 0.67 s: less than that does not end one.
	standstill = time.Second
)

// watchMachine notes standstills of the whole machine (a virtual machine that
// is suspended, a clock that is set forward, a disk that takes no writes) as
// faults until ctx ends: no process can renew what it holds meanwhile, and the
// broker gives its work to others. What it writes goes into dir.
func (s *storm) watchMachine(ctx context.Context, dir string) {
	var watches sync.WaitGroup
	defer watches.Wait()
	watches.Go(func() { s.journal.watch(ctx, "the machine stood still", func() error { return nil }) })
	file, err := os.Create(filepath.Join(dir, "probe")) //nolint:gosec // a folder of its own
	if err != nil {
		s.found.violatef(6, nil, "the disk cannot be watched: %v", err)
		return
	}
	defer func() { _ = file.Close() }()
	s.journal.watch(ctx, "the disk stood still", func() error {
		if _, err := file.WriteAt([]byte(time.Now().String()), 0); err != nil {
			return err //nolint:wrapcheck // told as it is
		}
		return file.Sync() //nolint:wrapcheck // told as it is
	})
}

// watch calls probe now and then until ctx ends, and notes as a fault of this
// kind when too much time goes by between two returns of it.
func (j *journal) watch(ctx context.Context, kind string, probe func() error) {
	beat := time.NewTicker(probePause)
	defer beat.Stop()
	last := time.Now()
	for {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
		_ = probe() // a disk that is full takes its time, or not
		now := time.Now()
		j.still(kind, last, now)
		last = now
	}
}

// still notes a fault when too much time went by between two times, by the
// clock that leases are measured with (the wall's) or by the one that timers are.
func (j *journal) still(kind string, last, now time.Time) {
	gap := max(now.Sub(last), now.Round(0).Sub(last.Round(0)))
	if gap < standstill {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts[kind]++
	j.windows = append(j.windows, &window{
		name: fmt.Sprintf("%s for %s", kind, gap.Round(probePause)), hits: []string{hitEverything}, strokes: 1, begin: last, end: now,
	})
}
