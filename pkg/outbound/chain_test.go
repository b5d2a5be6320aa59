package outbound_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
	"github.com/ragbus/ragbus/pkg/outbound"
)

func TestAStreamIsRepeatedOnlyUntilItHasBegun(t *testing.T) {
	t.Parallel()
	away := fault.Transientf("model_unavailable", "away")
	for _, c := range []struct {
		name    string
		replies []scriptllm.Reply
		text    string
		calls   int
		ok      bool
	}{
		{"before", []scriptllm.Reply{{Err: away}, {Err: away}, {Deltas: []string{"a", "b"}}}, "ab", 3, true},
		{"after", []scriptllm.Reply{{Deltas: []string{"a", "b"}, After: 1, Err: away}, {Deltas: []string{"c"}}}, "a", 1, false},
		{"never", []scriptllm.Reply{{Err: away}}, "", 3, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inner := scriptllm.New(scriptllm.Sequence(c.replies...))
				got := llmtest.Read(t.Context(), t, outbound.Model(inner, endpoint(t, outbound.Config{}, outbound.Deps{})), llmtest.Question())
				if got.Text != c.text || (got.Err == nil) != c.ok || inner.Calls() != c.calls {
					t.Errorf("got %+v after %d calls, want %q after %d", got, inner.Calls(), c.text, c.calls)
				}
			})
		})
	}
}

func TestStreamsThatBreakOpenTheBreakerAndOneThatBeginsClosesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := scriptllm.Reply{Deltas: []string{"a", "b"}, After: 1, Err: fault.Transientf("model_unavailable", "away")}
		inner := scriptllm.New(scriptllm.Sequence(broken, broken, scriptllm.Reply{Deltas: []string{"a", "b"}, Pause: time.Minute}))
		guard := endpoint(t, outbound.Config{OpenAfter: 2}, outbound.Deps{})
		m := outbound.Model(inner, guard)
		for range 2 {
			llmtest.Read(t.Context(), t, m, llmtest.Question())
		}
		if guard.State() != outbound.Open {
			t.Errorf("state %s after two broken streams", guard.State())
		}
		time.Sleep(outbound.DefaultOpenFor + time.Second)
		for range m.Stream(t.Context(), llmtest.Question()) {
			if guard.State() != outbound.Closed {
				t.Errorf("state %s while an answer comes", guard.State())
			}
			break
		}
	})
}

func named(t *testing.T, name string, context int, script scriptllm.Script) llm.Model {
	t.Helper()
	return renamed{scriptllm.New(script), llm.Info{Provider: name, Name: name + "-1", ContextTokens: context}}
}

type renamed struct {
	*scriptllm.Model

	info llm.Info
}

func (r renamed) Info() llm.Info { return r.info }

func TestTheChainAsksTheNextAndSaysWhoWrote(t *testing.T) {
	t.Parallel()
	down := func(llm.Request) scriptllm.Reply {
		return scriptllm.Reply{Err: fault.Transientf("model_unavailable", "down")}
	}
	noKey := func(llm.Request) scriptllm.Reply {
		return scriptllm.Reply{Err: fault.Permanentf("model_unauthorized", "no key")}
	}
	breaks := func(llm.Request) scriptllm.Reply {
		return scriptllm.Reply{Deltas: []string{"half "}, After: 1, Err: fault.Transientf("model_unavailable", "cut")}
	}
	hangs := func(llm.Request) scriptllm.Reply { return scriptllm.Reply{Hang: true} }
	filtered := func(llm.Request) scriptllm.Reply { return scriptllm.Reply{Finish: llm.Filtered} }
	for _, c := range []struct {
		name          string
		first, second scriptllm.Script
		text, writer  string
		code          string
		finish        llm.Finish
	}{
		{"first works", scriptllm.Say("one"), scriptllm.Say("two"), "one", "", "", llm.Stopped},
		{"first is down", down, scriptllm.Say("two"), "two", "second-1", "", llm.Stopped},
		{"first has no key", noKey, scriptllm.Say("two"), "two", "second-1", "", llm.Stopped},
		{"first hangs", hangs, scriptllm.Say("two"), "two", "second-1", "", llm.Stopped},
		{"first breaks off", breaks, scriptllm.Say("two"), "half ", "", "model_unavailable", ""},
		{"a refusal is an answer", filtered, scriptllm.Say("two"), "", "", "", llm.Filtered},
		{"both fail", noKey, down, "", "", "model_unauthorized", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				chain, err := outbound.NewChain(outbound.ChainConfig{Spare: 1}, named(t, "first", 1000, c.first), named(t, "second", 500, c.second))
				if err != nil {
					t.Fatal(err)
				}
				if got, want := chain.Info(), (llm.Info{Provider: "first", Name: "first-1", ContextTokens: 500}); got != want {
					t.Errorf("Info() = %+v, want %+v", got, want)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				var text, writer string
				var finish llm.Finish
				var failed error
				for d, err := range chain.Stream(ctx, llmtest.Question()) {
					text, failed = text+d.Text, err
					if d.Finish != "" {
						finish, writer = d.Finish, d.Model
					}
				}
				code := ""
				if failed != nil {
					code, _ = fault.Public(failed)
				}
				if diff := cmp.Diff([]any{c.text, c.writer, c.code, c.finish}, []any{text, writer, code, finish}); diff != "" {
					t.Errorf("text, writer, code, finish (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAModelThatHangsCountsAgainstItInAChain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		guard := endpoint(t, outbound.Config{OpenAfter: 2}, outbound.Deps{})
		hangs := outbound.Model(scriptllm.New(func(llm.Request) scriptllm.Reply { return scriptllm.Reply{Hang: true} }), guard)
		chain, err := outbound.NewChain(outbound.ChainConfig{}, hangs, scriptllm.New(scriptllm.Say("two")))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if got := llmtest.Read(ctx, t, chain, llmtest.Question()); got.Text != "two" {
				t.Errorf("got %+v", got)
			}
			cancel()
		}
		if guard.State() != outbound.Open {
			t.Errorf("state %s, though the model hangs", guard.State())
		}
	})
}
