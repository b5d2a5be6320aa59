package process

import (
	"runtime/debug"

	"github.com/ragbus/ragbus/pkg/config"
)

// gcPercent is how much a heap may grow between collections. What a question
// leaves behind is large beside what stays, so that at Go's 100 the collector,
// and what it evicts from the processor's caches, was a fifth of a question's
// processor time; beyond 200 nothing more is gained (`.ci/bench chat`).
const gcPercent = 200

// CollectLess lets the heap of the process grow further between collections,
// unless the environment says otherwise with GOGC. The function it returns
// puts back what was. It is for a program's main, once.
func CollectLess(vars config.Vars) func() {
	if vars["GOGC"] != "" {
		return func() {}
	}
	before := debug.SetGCPercent(gcPercent)
	return func() { debug.SetGCPercent(before) }
}
