// Package llmtest is the contract suite of llm.Model. An adapter's test gives
// it a way to stage a scenario at the adapter's other end; the suite checks
// what a caller sees.
package llmtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
)

// Failure is a way in which the provider fails.
type Failure string

// The failures that every provider has.
const (
	// None: the provider answers.
	None Failure = ""
	// Throttled: it asks for a pause of [Pause] before anything is said.
	Throttled Failure = "throttled"
	// Unavailable: it fails for the moment, after the scenario's deltas.
	Unavailable Failure = "unavailable"
	// Refused: it will never take this request, e.g. for a wrong key.
	Refused Failure = "refused"
	// Silent: it says nothing more after the deltas and keeps the connection.
	Silent Failure = "silent"
)

// Pause is what a throttled provider asks for.
const Pause = 7 * time.Second

// Scenario is what the provider does with every request.
type Scenario struct {
	Deltas  []string
	Finish  llm.Finish
	Usage   llm.Usage
	Failure Failure
}

// Stage makes a model whose provider plays the scenario. The closed channel
// yields once for each stream that the provider saw abandoned.
type Stage func(t *testing.T, s Scenario) (m llm.Model, closed <-chan struct{})

// patience bounds every wait of the suite.
const patience = 10 * time.Second

// Run checks that an adapter keeps the contract of llm.Model.
func Run(t *testing.T, stage Stage) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, Stage){
		"info names the model":                             info,
		"the deltas joined are the text, usage comes once": whole,
		"a length limit is told":                           truncated,
		"a refusal is a finish and no error":               filtered,
		"a refusal before any text is a finish":            filteredAtOnce,
		"a throttled call carries its delay":               throttled,
		"a wrong key is permanent":                         refused,
		"a failure before the first delta is transient":    unavailable,
		"a failure in the middle ends the stream":          broken,
		"a cancelled context closes the connection":        cancelled,
		"the cause of a cancellation is kept":              cause,
		"a context that has ended calls nobody":            ended,
		"stopping the iteration closes the connection":     abandoned,
		"streams do not mix":                               concurrent,
		"a model answers again":                            twice,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, stage)
		})
	}
}

// Question is a small request.
func Question() llm.Request {
	temperature := 0.1
	return llm.Request{
		System:      "be brief",
		Messages:    []llm.Message{{Role: llm.User, Text: "q1"}, {Role: llm.Assistant, Text: "a1"}, {Role: llm.User, Text: "q2"}},
		MaxTokens:   64,
		Temperature: &temperature,
	}
}

// Outcome is a stream that was read to its end.
type Outcome struct {
	Text   string
	Finish llm.Finish
	Usage  llm.Usage
	Deltas int
	Err    error
}

// Read reads a stream to its end, and fails the test when it breaks the rules of the sequence.
func Read(ctx context.Context, t *testing.T, m llm.Model, r llm.Request) Outcome {
	t.Helper()
	var (
		out  Outcome
		text strings.Builder
		over bool
	)
	for d, err := range m.Stream(ctx, r) {
		if over {
			t.Fatalf("after its end the stream yielded %+v, %v", d, err)
		}
		if err != nil {
			out.Err, over = err, true
			continue
		}
		text.WriteString(d.Text)
		if d.Text != "" {
			out.Deltas++
		}
		if d.Finish == "" && d.Usage != (llm.Usage{}) {
			t.Errorf("usage %+v came before the finish", d.Usage)
		}
		if d.Finish != "" {
			out.Finish, out.Usage, over = d.Finish, d.Usage, true
		}
	}
	if !over {
		t.Error("the stream ended with neither finish nor error")
	}
	out.Text = text.String()
	return out
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func info(t *testing.T, stage Stage) {
	m, _ := stage(t, Scenario{})
	if i := m.Info(); i.Provider == "" || i.Name == "" || i.ContextTokens <= 0 {
		t.Errorf("Info() = %+v; every field must be set", i)
	}
}

func whole(t *testing.T, stage Stage) {
	s := Scenario{Deltas: []string{"Der ", "Fluß\n\n", "heißt 🦆 ", "[1]."}, Finish: llm.Stopped, Usage: llm.Usage{PromptTokens: 12, CompletionTokens: 7}}
	m, _ := stage(t, s)
	got := Read(limited(t), t, m, Question())
	want := Outcome{Text: strings.Join(s.Deltas, ""), Finish: llm.Stopped, Usage: s.Usage, Deltas: len(s.Deltas)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
}

func truncated(t *testing.T, stage Stage) {
	m, _ := stage(t, Scenario{Deltas: []string{"half a"}, Finish: llm.Truncated})
	if got := Read(limited(t), t, m, Question()); got.Err != nil || got.Finish != llm.Truncated || got.Text != "half a" {
		t.Errorf("got %+v, want the text and %q", got, llm.Truncated)
	}
}

func filtered(t *testing.T, stage Stage) {
	m, _ := stage(t, Scenario{Deltas: []string{"well, "}, Finish: llm.Filtered})
	if got := Read(limited(t), t, m, Question()); got.Err != nil || got.Finish != llm.Filtered {
		t.Errorf("got %+v, want %q", got, llm.Filtered)
	}
}

func filteredAtOnce(t *testing.T, stage Stage) {
	m, _ := stage(t, Scenario{Finish: llm.Filtered})
	if got := Read(limited(t), t, m, Question()); got.Err != nil || got.Finish != llm.Filtered || got.Text != "" {
		t.Errorf("got %+v, want %q and no text", got, llm.Filtered)
	}
}

func throttled(t *testing.T, stage Stage) {
	m, _ := stage(t, Scenario{Failure: Throttled})
	got := Read(limited(t), t, m, Question())
	if !fault.Is(got.Err, fault.Throttled) || fault.RetryAfter(got.Err) != Pause {
		t.Errorf("got %v (%s, after %s), want throttled for %s", got.Err, fault.Of(got.Err), fault.RetryAfter(got.Err), Pause)
	}
}

func refused(t *testing.T, stage Stage) {
	m, _ := stage(t, Scenario{Failure: Refused})
	if got := Read(limited(t), t, m, Question()); !fault.Is(got.Err, fault.Permanent) {
		t.Errorf("got %v (%s), want a permanent fault", got.Err, fault.Of(got.Err))
	}
}

func unavailable(t *testing.T, stage Stage) {
	m, _ := stage(t, Scenario{Failure: Unavailable})
	if got := Read(limited(t), t, m, Question()); !fault.Is(got.Err, fault.Transient) || got.Text != "" {
		t.Errorf("got %v (%s), want a transient fault", got.Err, fault.Of(got.Err))
	}
}

func broken(t *testing.T, stage Stage) {
	m, _ := stage(t, Scenario{Deltas: []string{"one ", "two "}, Failure: Unavailable})
	if got := Read(limited(t), t, m, Question()); !fault.Is(got.Err, fault.Transient) || got.Text != "one two " {
		t.Errorf("got %q, %v (%s), want both deltas and a transient fault", got.Text, got.Err, fault.Of(got.Err))
	}
}

func cancelled(t *testing.T, stage Stage) {
	m, closed := stage(t, Scenario{Deltas: []string{"one "}, Failure: Silent})
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	var last error
	for d, err := range m.Stream(ctx, Question()) {
		last = err
		if d.Text != "" {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("the stream ended with %v, want context.Canceled", last)
	}
	await(t, closed)
}

func cause(t *testing.T, stage Stage) {
	m, closed := stage(t, Scenario{Deltas: []string{"one "}, Failure: Silent})
	why := errors.New("the reader left")
	ctx, cancel := context.WithCancelCause(limited(t))
	defer cancel(nil)
	var last error
	for d, err := range m.Stream(ctx, Question()) {
		last = err
		if d.Text != "" {
			cancel(why)
		}
	}
	if !errors.Is(last, why) {
		t.Errorf("the stream ended with %v, want the cause of the cancellation", last)
	}
	await(t, closed)
}

func ended(t *testing.T, stage Stage) {
	m, _ := stage(t, Scenario{Deltas: []string{"one "}, Finish: llm.Stopped})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Read(ctx, t, m, Question()); !errors.Is(got.Err, context.Canceled) || got.Text != "" {
		t.Errorf("got %q, %v; want nothing said and context.Canceled", got.Text, got.Err)
	}
}

func abandoned(t *testing.T, stage Stage) {
	m, closed := stage(t, Scenario{Deltas: []string{"one ", "two "}, Failure: Silent})
	for d, err := range m.Stream(limited(t), Question()) {
		if err != nil || d.Text == "" {
			t.Fatalf("got %+v, %v, want a delta", d, err)
		}
		break
	}
	await(t, closed)
}

func concurrent(t *testing.T, stage Stage) {
	s := Scenario{Deltas: []string{"a", "b", "c", "d"}, Finish: llm.Stopped, Usage: llm.Usage{PromptTokens: 1, CompletionTokens: 4}}
	m, _ := stage(t, s)
	ctx := limited(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if got := Read(ctx, t, m, Question()); got.Text != "abcd" || got.Usage != s.Usage {
				t.Errorf("got %+v, want abcd", got)
			}
		})
	}
	wg.Wait()
}

func twice(t *testing.T, stage Stage) {
	m, _ := stage(t, Scenario{Deltas: []string{"a"}, Finish: llm.Stopped})
	for range 2 {
		if got := Read(limited(t), t, m, Question()); got.Text != "a" || got.Err != nil {
			t.Errorf("got %+v, want a", got)
		}
	}
}

func await(t *testing.T, closed <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
		t.Error("the provider never saw the stream closed")
	}
}
