package generator

import (
	"testing"
	"time"
)

func TestTheMoreSpeakTheLongerTextWaits(t *testing.T) {
	t.Parallel()
	p := pace{least: 20 * time.Millisecond}
	for _, step := range []struct {
		begin int64
		want  time.Duration
	}{{0, 20 * time.Millisecond}, {20, 20 * time.Millisecond}, {30, 50 * time.Millisecond}, {50, 100 * time.Millisecond}, {1000, 100 * time.Millisecond}, {-1100, 20 * time.Millisecond}} {
		if got := p.wait(); p.speaking.Add(step.begin) < 0 || p.wait() != step.want {
			t.Errorf("%d more: %s after %s, want %s", step.begin, p.wait(), got, step.want)
		}
	}
	if p := (pace{least: time.Second}); p.wait() != time.Second {
		t.Errorf("less than was set: %s", p.wait())
	}
}
