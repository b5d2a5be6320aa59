package process_test

import (
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/process"
)

// Not parallel: it is about the process.
func TestTuneMemory(t *testing.T) { //nolint:paralleltest // see above
	percent := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	before := percent()
	restore := process.TuneMemory(config.Vars{})
	if got := percent(); got <= before {
		t.Errorf("the heap may grow by %d %%, before by %d %%", got, before)
	}
	restore()
	if got := percent(); got != before {
		t.Errorf("%d %% after it was put back, want %d %%", got, before)
	}
	process.TuneMemory(config.Vars{"GOGC": "50"})()
	if got := percent(); got != before {
		t.Errorf("GOGC is overruled by %d %%", got)
	}
}

func TestMemoryIsGivenBackWhenThereIsNoWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		allocated []uint64
		want      []bool
	}{
		"after the start":                {[]uint64{100, 101, 102}, []bool{false, true, false}},
		"not while there is work":        {[]uint64{100, 200, 300}, []bool{false, false, false}},
		"once after work":                {[]uint64{100, 500, 510, 520, 530}, []bool{false, false, true, false, false}},
		"not for little":                 {[]uint64{10, 20, 30, 40, 50}, []bool{false, false, false, false, false}},
		"now and then for what trickles": {[]uint64{64, 64, 80, 96, 112, 128}, []bool{false, true, false, false, false, true}},
	} {
		if diff := cmp.Diff(c.want, process.Due(c.allocated...)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
