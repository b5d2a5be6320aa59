package scriptllm_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched tells on a channel when a stream of the model was abandoned.
type watched struct {
	*scriptllm.Model
	closed chan struct{}
}

func (w watched) Stream(ctx context.Context, r llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		before := w.Closed()
		w.Model.Stream(ctx, r)(yield)
		if w.Closed() > before {
			w.closed <- struct{}{}
		}
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	llmtest.Run(t, func(t *testing.T, s llmtest.Scenario) (llm.Model, <-chan struct{}) {
		t.Helper()
		reply := scriptllm.Reply{Deltas: s.Deltas, Finish: s.Finish, Usage: &s.Usage, After: len(s.Deltas)}
		switch s.Failure {
		case llmtest.None:
		case llmtest.Throttled:
			reply.Err = fault.ThrottledFor(llmtest.Pause, nil)
		case llmtest.Unavailable:
			reply.Err = fault.Transientf("model_unavailable", "the model is away")
		case llmtest.Refused:
			reply.Err = fault.Permanentf("model_refused", "the model does not take this")
		case llmtest.Silent:
			reply.Hang = true
		}
		w := watched{scriptllm.New(scriptllm.Sequence(reply)), make(chan struct{}, 64)}
		return w, w.closed
	})
}

func TestWords(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "one", "one two", " lead", "a  b\nc d ", "trail "} {
		if got := strings.Join(scriptllm.Words(text), ""); got != text {
			t.Errorf("Words(%q) joins to %q", text, got)
		}
	}
	if diff := cmp.Diff([]string{"one", " two", " three"}, scriptllm.Words("one two three")); diff != "" {
		t.Error(diff)
	}
}

func TestSequence(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	m := scriptllm.New(scriptllm.Sequence(scriptllm.Reply{Err: boom}, scriptllm.Reply{Deltas: []string{"ok"}}))
	if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); !errors.Is(got.Err, boom) {
		t.Errorf("first: %+v", got)
	}
	for range 2 {
		if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Text != "ok" {
			t.Errorf("then: %+v", got)
		}
	}
	if m.Calls() != 3 || len(m.Requests()) != 3 {
		t.Errorf("calls %d, requests %d, want 3", m.Calls(), len(m.Requests()))
	}
}

func TestPauses(t *testing.T) {
	t.Parallel()
	m := scriptllm.New(func(llm.Request) scriptllm.Reply {
		return scriptllm.Reply{Deltas: []string{"a", "b", "c"}, First: 20 * time.Millisecond, Pause: 5 * time.Millisecond}
	})
	start := time.Now()
	llmtest.Read(t.Context(), t, m, llmtest.Question())
	if d := time.Since(start); d < 30*time.Millisecond {
		t.Errorf("took %s, want at least 30ms", d)
	}
}
