package process

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/ragbus/ragbus/pkg/config"
)

// gcPercent is how much a heap may grow between collections. What a question
// leaves behind is large beside what stays, so that at Go's 100 the collector,
// and what it evicts from the processor's caches, was a fifth of a question's
// processor time; beyond 200 nothing more is gained (`.ci/bench chat`).
const gcPercent = 200

const (
	// lookEvery is how often it is looked whether the process is quiet.
	lookEvery = 30 * time.Second
	// quietBytes is what a process allocates between two looks at most that
	// does little more than answer probes.
	quietBytes = 16 << 20
	// worthBytes must have been allocated since memory was given back for that to be worth a collection.
	worthBytes = 64 << 20
)

// TuneMemory lets the heap of the process grow further between collections
// while there is work, unless the environment says otherwise with GOGC, and
// gives memory back when there is none: Go by itself would keep what was used
// at the busiest. The function it returns ends both. It is for a program's main, once.
func TuneMemory(vars config.Vars) (stop func()) {
	percent := -1
	if vars["GOGC"] == "" {
		percent = debug.SetGCPercent(gcPercent)
	}
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() { giveBack(done) })
	return func() {
		close(done)
		looking.Wait()
		if percent >= 0 {
			debug.SetGCPercent(percent)
		}
	}
}

// giveBack returns memory to the system whenever the process has become quiet, until done is closed.
func giveBack(done <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var q quiet
	for {
		select {
		case <-tick.C:
			metrics.Read(allocated)
			if q.due(allocated[0].Value.Uint64()) {
				debug.FreeOSMemory()
			}
		case <-done:
			return
		}
	}
}

// quiet tells when memory is to be given back, from what was ever allocated:
// at the last look, and when some was given back.
type quiet struct{ looked, gave uint64 }

func (q *quiet) due(allocated uint64) bool {
	calm := allocated-q.looked <= quietBytes
	q.looked = allocated
	if !calm || allocated-q.gave < worthBytes {
		return false
	}
	q.gave = allocated
	return true
}
