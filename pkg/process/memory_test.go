package process_test

import (
	"runtime/debug"
	"testing"

	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/process"
)

// Not parallel: it is about the process.
func TestCollectLess(t *testing.T) { //nolint:paralleltest // see above
	percent := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	before := percent()
	restore := process.CollectLess(config.Vars{})
	if got := percent(); got <= before {
		t.Errorf("the heap may grow by %d %%, before by %d %%", got, before)
	}
	restore()
	if got := percent(); got != before {
		t.Errorf("%d %% after it was put back, want %d %%", got, before)
	}
	process.CollectLess(config.Vars{"GOGC": "50"})()
	if got := percent(); got != before {
		t.Errorf("GOGC is overruled by %d %%", got)
	}
}
