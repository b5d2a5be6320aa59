package generator

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/reply"
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

// recorder takes frames and keeps their text.
type recorder struct{ texts []string }

func (r *recorder) PublishMsg(m *nats.Msg) error {
	r.texts = append(r.texts, string(m.Data))
	return nil
}

// TestAReaderOfManyLeavesTextToPileUp: each frame has what came until it was due.
func TestAReaderOfManyLeavesTextToPileUp(t *testing.T) {
	t.Parallel()
	var (
		out recorder
		p   = &pace{least: time.Hour}
	)
	s, err := newSpeaker(p, 1, true, func(attempt int) (*reply.Writer, error) {
		return reply.NewWriter(&out, reply.Subject("gw", "r"), "r", reply.Generate, attempt)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.say("one ")
	if got := s.pauseBefore(time.Now()); got > 0 {
		t.Errorf("with few it rests for %s", got)
	}
	s.say("two ")
	p.least = time.Millisecond
	p.speaking.Add(1000)
	due := s.last.Add(longestWait)
	if got := s.pauseBefore(due.Add(-time.Hour)); got != time.Hour || len(out.texts) != 1 {
		t.Errorf("before the next frame is due it rests for %s, sent %q", got, out.texts)
	}
	s.say("three")
	if got := s.pauseBefore(due); got != longestWait {
		t.Errorf("behind a frame it rests for %s", got)
	}
	if diff := cmp.Diff([]string{"one ", "two three"}, out.texts); diff != "" {
		t.Error(diff)
	}
	s.stream = false
	if got := s.pauseBefore(due); got != 0 {
		t.Errorf("where only the end is sent it rests for %s", got)
	}
}
