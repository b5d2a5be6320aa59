package llmtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
)

// The failures of providers behind HTTP, for [RunWire].
const (
	// ThrottledByDate: 429, and the pause of [Pause] as an HTTP date.
	ThrottledByDate Failure = "throttled by date"
	// ThrottledPlain: 429 that does not say for how long.
	ThrottledPlain Failure = "throttled without a delay"
	// Internal: 500 in the provider's words.
	Internal Failure = "internal"
	// Overloaded: 503 in the provider's words, without a delay.
	Overloaded Failure = "overloaded"
	// BadGateway: 502 with a page of a proxy, a megabyte long.
	BadGateway Failure = "bad gateway"
	// Redirected: 307 to elsewhere.
	Redirected Failure = "redirected"
	// WrongKey: the refusal of a wrong key that repeats [Wire].Key.
	WrongKey Failure = "wrong key"
	// NoModel: the refusal of an unknown model.
	NoModel Failure = "no such model"
	// Overflow: the refusal of a prompt that does not fit.
	Overflow Failure = "overflow"
	// Malformed: after the deltas an event that is not JSON and holds [Confidential].
	Malformed Failure = "malformed"
	// Failing: after the deltas an event that says the provider is overloaded.
	Failing Failure = "failing"
	// EndsEarly: after the deltas a clean end that does not say why.
	EndsEarly Failure = "ends early"
	// Stalled: like Silent, with a model that gives up after [Short].
	Stalled Failure = "stalled"
	// Late: headers and then nothing, with a model that waits [Short] for the first token.
	Late Failure = "late"
	// Queued: not even headers, with a model that waits [Short] for the first token.
	Queued Failure = "queued"
	// Hasty: an ordinary answer, from a model that gives up after a silence of [Short].
	Hasty Failure = "hasty"
)

// Short is the bound of silence of the models that wait for little.
const Short = 300 * time.Millisecond

// Confidential is in events that cannot be read. No error may quote it.
const Confidential = "confidential-document-text"

// Wire is a model and what its provider sees.
type Wire struct {
	Model llm.Model
	// Closed yields once for each call that the provider saw abandoned.
	Closed <-chan struct{}
	// Calls counts the requests that came.
	Calls func() int
	// Key is what the model authenticates with.
	Key string
}

// StageWire makes a model whose provider plays the scenario over HTTP.
type StageWire func(t *testing.T, s Scenario) Wire

type verdict struct {
	Class string
	Code  string
	After time.Duration
	Text  string
}

// RunWire checks what adapters over HTTP make of a provider's failures: the
// class and code, the delay, one call and no retry, and no secret in an error.
func RunWire(t *testing.T, stage StageWire) {
	t.Helper()
	const away, one = "model_unavailable", "one "
	for failure, want := range map[Failure]verdict{
		Throttled:      {"throttled", "throttled", Pause, ""},
		ThrottledPlain: {"throttled", "throttled", 0, ""},
		Internal:       {"transient", away, 0, ""},
		Overloaded:     {"transient", away, 0, ""},
		BadGateway:     {"transient", away, 0, ""},
		Redirected:     {"transient", away, 0, ""},
		WrongKey:       {"permanent", "model_unauthorized", 0, ""},
		NoModel:        {"permanent", "model_not_found", 0, ""},
		Overflow:       {"permanent", "prompt_too_long", 0, ""},
		Unavailable:    {"transient", away, 0, one},
		Malformed:      {"transient", away, 0, one},
		Failing:        {"transient", away, 0, one},
		Stalled:        {"transient", away, 0, one},
		Late:           {"transient", away, 0, ""},
		Queued:         {"transient", away, 0, ""},
	} {
		t.Run(string(failure), func(t *testing.T) {
			t.Parallel()
			s := Scenario{Failure: failure}
			if want.Text != "" {
				s.Deltas = []string{want.Text}
			}
			w := stage(t, s)
			got := Read(limited(t), t, w.Model, Question())
			if got.Err == nil {
				t.Fatalf("got %+v, want an error", got)
			}
			code, _ := fault.Public(got.Err)
			if diff := cmp.Diff(want, verdict{fault.Of(got.Err).String(), code, fault.RetryAfter(got.Err), got.Text}); diff != "" {
				t.Errorf("%v (-want +got):\n%s", got.Err, diff)
			}
			quiet(t, got.Err, w.Key)
			if n := w.Calls(); n != 1 {
				t.Errorf("%d calls, want 1: the caller retries", n)
			}
			switch failure {
			case Stalled, Late, Queued:
				await(t, w.Closed)
			}
		})
	}
	for name, check := range map[string]func(*testing.T, StageWire){
		"a delay may be a date":                  byDate,
		"an end without a reason is truncated":   endsEarly,
		"a reader may take its time":             hasty,
		"a cancelled wait closes the request":    cancelledWait,
		"a deadline ends the wait as a deadline": deadline,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, stage)
		})
	}
}

// quiet checks that no error of the chain tells what it must not.
func quiet(t *testing.T, err error, key string) {
	t.Helper()
	if len(err.Error()) > 500 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if strings.Contains(err.Error(), key) {
			t.Errorf("the key is in %q", err)
		}
		if strings.Contains(err.Error(), Confidential) {
			t.Errorf("content is in %q", err)
		}
	}
}

func byDate(t *testing.T, stage StageWire) {
	w := stage(t, Scenario{Failure: ThrottledByDate})
	got := Read(limited(t), t, w.Model, Question())
	// Dates have whole seconds, and some time went by.
	if after := fault.RetryAfter(got.Err); !fault.Is(got.Err, fault.Throttled) || after <= Pause-3*time.Second || after > Pause {
		t.Errorf("got %v, after %s, want throttled for about %s", got.Err, after, Pause)
	}
}

func endsEarly(t *testing.T, stage StageWire) {
	for _, deltas := range [][]string{{"half "}, nil} {
		w := stage(t, Scenario{Deltas: deltas, Failure: EndsEarly})
		if got := Read(limited(t), t, w.Model, Question()); got.Err != nil || got.Finish != llm.Truncated || got.Text != strings.Join(deltas, "") {
			t.Errorf("%q: got %+v, want truncated", deltas, got)
		}
	}
}

func hasty(t *testing.T, stage StageWire) {
	s := Scenario{Deltas: []string{"one ", "two ", "three "}, Finish: llm.Stopped, Failure: Hasty}
	w := stage(t, s)
	var text strings.Builder
	for d, err := range w.Model.Stream(limited(t), Question()) {
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(d.Text)
		busy := time.NewTimer(2 * Short)
		<-busy.C
	}
	if text.String() != "one two three " {
		t.Errorf("got %q", text.String())
	}
}

func cancelledWait(t *testing.T, stage StageWire) {
	w := stage(t, Scenario{Failure: Silent})
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	go func() {
		arrived(ctx, w)
		cancel()
	}()
	if got := Read(ctx, t, w.Model, Question()); !errors.Is(got.Err, context.Canceled) || got.Text != "" {
		t.Errorf("got %+v, want context.Canceled", got)
	}
	await(t, w.Closed)
}

// arrived waits until the provider has a call.
func arrived(ctx context.Context, w Wire) {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for w.Calls() == 0 && ctx.Err() == nil {
		<-again.C
	}
}

func deadline(t *testing.T, stage StageWire) {
	w := stage(t, Scenario{Failure: Silent})
	for d := Short; w.Calls() == 0; d *= 2 { // a busy machine may not even have sent the request
		ctx, cancel := context.WithTimeout(t.Context(), d)
		got := Read(ctx, t, w.Model, Question())
		cancel()
		if !errors.Is(got.Err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want the deadline", got.Err)
		}
	}
	await(t, w.Closed)
}
