package outbound_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/embedtest"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
	"github.com/ragbus/ragbus/pkg/outbound"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func endpoint(t *testing.T, cfg outbound.Config, deps outbound.Deps) *outbound.Endpoint {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "test"
	}
	e, err := outbound.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// flaky is an embedder whose calls end in the errors, in turn, and then work.
func flaky(t *testing.T, errs ...error) *scriptembed.Embedder {
	t.Helper()
	e, err := scriptembed.New(scriptembed.Config{Fail: func(call int, _ embed.Purpose, _ []string) error {
		if call <= len(errs) {
			return errs[call-1]
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func repeat(err error, n int) []error {
	out := make([]error, n)
	for i := range out {
		out[i] = err
	}
	return out
}

var (
	errDown = fault.Transientf("embedder_unavailable", "the embedding model is not available at the moment")
	errKey  = fault.Permanentf("embedder_unauthorized", "the embedding model does not accept this server's credentials")
	errLong = fault.Permanentf("text_too_long", "the text does not fit into the embedding model")
)

func TestAGuardedEmbedderKeepsTheContract(t *testing.T) {
	t.Parallel()
	embedtest.Run(t, func(t *testing.T) embed.Embedder {
		t.Helper()
		return outbound.Embedder(flaky(t), endpoint(t, outbound.Config{}, outbound.Deps{}))
	}, embedtest.Caps{Instant: true})
}

func TestAGuardedModelAndAChainKeepTheContract(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(*testing.T, llm.Model) llm.Model{
		"endpoint": func(t *testing.T, m llm.Model) llm.Model {
			t.Helper()
			return outbound.Model(m, endpoint(t, outbound.Config{Attempts: 1}, outbound.Deps{}))
		},
		"chain": func(t *testing.T, m llm.Model) llm.Model {
			t.Helper()
			c, err := outbound.NewChain(outbound.ChainConfig{}, m)
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			llmtest.Run(t, func(t *testing.T, s llmtest.Scenario) (llm.Model, <-chan struct{}) {
				t.Helper()
				reply := scriptllm.Reply{Deltas: s.Deltas, Finish: s.Finish, Usage: &s.Usage, After: len(s.Deltas)}
				switch s.Failure {
				case llmtest.None:
				case llmtest.Throttled:
					reply.Err = fault.ThrottledFor(llmtest.Pause, errors.New("slow down"))
				case llmtest.Unavailable:
					reply.Err = fault.Transientf("model_unavailable", "away")
				case llmtest.Refused:
					reply.Err = fault.Permanentf("model_refused", "no")
				case llmtest.Silent:
					reply.Hang = true
				}
				closed := make(chan struct{}, 64)
				m := scriptllm.New(func(llm.Request) scriptllm.Reply { return reply })
				return wrap(t, watched{m, closed}), closed
			})
		})
	}
}

// watched tells when a stream ended before its script did.
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

func TestWhatMayHelpIsRepeatedWithinTheTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		errs    []error
		purpose embed.Purpose
		limit   time.Duration
		calls   int
		class   fault.Class
		ok      bool
	}{
		{"two failures", repeat(errDown, 2), embed.Passage, time.Minute, 3, 0, true},
		{"three failures", repeat(errDown, 3), embed.Passage, time.Minute, 3, fault.Transient, false},
		{"no time left", repeat(errDown, 2), embed.Passage, time.Nanosecond, 1, fault.Transient, false},
		{"permanent", repeat(errLong, 2), embed.Passage, time.Minute, 1, fault.Permanent, false},
		{"a short pause for a question", []error{fault.ThrottledFor(time.Second, nil)}, embed.Query, time.Minute, 2, 0, true},
		{"a long pause for a question", []error{fault.ThrottledFor(time.Minute, nil)}, embed.Query, time.Hour, 1, fault.Throttled, false},
		{"a pause for bulk work", []error{fault.ThrottledFor(time.Second, nil)}, embed.Passage, time.Minute, 1, fault.Throttled, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inner := flaky(t, c.errs...)
				e := outbound.Embedder(inner, endpoint(t, outbound.Config{}, outbound.Deps{}))
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				vectors, err := e.Embed(ctx, c.purpose, []string{"a"})
				if (err == nil) != c.ok || err != nil && fault.Of(err) != c.class || c.ok && len(vectors) != 1 {
					t.Errorf("%d vectors, error %v, want class %s", len(vectors), err, c.class)
				}
				if inner.Calls() != c.calls {
					t.Errorf("%d calls, want %d", inner.Calls(), c.calls)
				}
				if c.limit == time.Minute && ctx.Err() != nil {
					t.Error("the time ran out")
				}
			})
		})
	}
}

func TestTheBreakerOpensAndLetsOneCallTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		inner := flaky(t, repeat(errDown, 4)...)
		guard := endpoint(t, outbound.Config{Name: "embedder", Attempts: 1, OpenAfter: 3, OpenFor: 10 * time.Second}, outbound.Deps{Metrics: outbound.NewMetrics(reg)})
		e := outbound.Embedder(inner, guard)
		call := func(purpose embed.Purpose) error {
			_, err := e.Embed(t.Context(), purpose, []string{"a"})
			return err
		}
		for range 3 {
			if guard.State() != outbound.Closed || guard.Probe(t.Context()) != nil {
				t.Errorf("state %s and health %v before the third failure", guard.State(), guard.Probe(t.Context()))
			}
			if err := call(embed.Query); !errors.Is(err, errDown) {
				t.Errorf("error %v, want the embedder's", err)
			}
		}
		err := call(embed.Query)
		if code, _ := fault.Public(err); code != "embedder_unavailable" || !fault.Is(err, fault.Transient) || inner.Calls() != 3 {
			t.Errorf("while open: error %v after %d calls", err, inner.Calls())
		}
		if err := call(embed.Passage); !fault.Is(err, fault.Throttled) || fault.RetryAfter(err) <= 0 || fault.RetryAfter(err) > 10*time.Second {
			t.Errorf("while open: bulk work gets %v, back after %s", err, fault.RetryAfter(err))
		}
		if _, message := fault.Public(guard.Probe(t.Context())); guard.State() != outbound.Open || !strings.Contains(message, "not available") {
			t.Errorf("state %s, health %q", guard.State(), message)
		}
		if guard.Note() != "" {
			t.Errorf("open, and noted: %q", guard.Note())
		}
		time.Sleep(11 * time.Second)
		if guard.Probe(t.Context()) == nil || guard.Note() != lifecycle.NextCallTries {
			t.Errorf("before the call that tries: health %v, note %q", guard.Probe(t.Context()), guard.Note())
		}
		if err := call(embed.Query); !errors.Is(err, errDown) || guard.State() != outbound.Open {
			t.Errorf("the call that tries: %v, state %s", err, guard.State())
		}
		time.Sleep(11 * time.Second)
		if err := call(embed.Query); err != nil || guard.State() != outbound.Closed || guard.Probe(t.Context()) != nil {
			t.Errorf("the call that works: %v, state %s, health %v", err, guard.State(), guard.Probe(t.Context()))
		}
		want := `
# HELP ragbus_outbound_calls_total Calls to an external endpoint, by outcome: ok, ended (by the caller), open (refused by the breaker) or the class of the error.
# TYPE ragbus_outbound_calls_total counter
ragbus_outbound_calls_total{endpoint="embedder",outcome="ok"} 1
ragbus_outbound_calls_total{endpoint="embedder",outcome="open"} 2
ragbus_outbound_calls_total{endpoint="embedder",outcome="transient"} 4
# HELP ragbus_outbound_breaker_state State of the endpoint's circuit breaker: 0 closed, 1 half open, 2 open.
# TYPE ragbus_outbound_breaker_state gauge
ragbus_outbound_breaker_state{endpoint="embedder"} 0
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "ragbus_outbound_calls_total", "ragbus_outbound_breaker_state"); err != nil {
			t.Error(err)
		}
	})
}

func TestARefusedKeyIsShownAndTheWorkWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		guard := endpoint(t, outbound.Config{}, outbound.Deps{})
		e := outbound.Embedder(flaky(t, errKey, errKey), guard)
		_, err := e.Embed(t.Context(), embed.Passage, []string{"a"})
		if code, _ := fault.Public(err); !fault.Is(err, fault.Throttled) || fault.RetryAfter(err) <= 0 || code != "embedder_unauthorized" {
			t.Errorf("bulk work: %v", err)
		}
		_, err = e.Embed(t.Context(), embed.Query, []string{"a"})
		if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "embedder_unauthorized" {
			t.Errorf("a question: %v", err)
		}
		if code, _ := fault.Public(guard.Probe(t.Context())); code != "embedder_unauthorized" {
			t.Errorf("health tells %q", code)
		}
		if _, err := e.Embed(t.Context(), embed.Passage, []string{"a"}); err != nil || guard.Probe(t.Context()) != nil {
			t.Errorf("with a good key: %v, health %v", err, guard.Probe(t.Context()))
		}
	})
}

func TestWhatIsNotTheEndpointsFailureDoesNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"throttled": fault.ThrottledFor(time.Hour, nil), "refused": errLong} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := flaky(t, repeat(err, 20)...)
			guard := endpoint(t, outbound.Config{OpenAfter: 2}, outbound.Deps{})
			for range 20 {
				_, _ = outbound.Embedder(inner, guard).Embed(t.Context(), embed.Passage, []string{"a"})
			}
			if guard.State() != outbound.Closed || inner.Calls() != 20 {
				t.Errorf("state %s after %d calls", guard.State(), inner.Calls())
			}
		})
	}
	t.Run("callers that leave", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			inner, err := scriptembed.New(scriptembed.Config{Latency: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			guard := endpoint(t, outbound.Config{OpenAfter: 2}, outbound.Deps{})
			for range 5 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, _ = outbound.Embedder(inner, guard).Embed(ctx, embed.Query, []string{"a"})
				cancel()
			}
			if guard.State() != outbound.Closed || guard.Probe(t.Context()) != nil {
				t.Errorf("state %s", guard.State())
			}
			// Who waited long has seen that the endpoint hangs.
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				_, _ = outbound.Embedder(inner, guard).Embed(ctx, embed.Query, []string{"a"})
				cancel()
			}
			if guard.State() != outbound.Open {
				t.Errorf("state %s, though the endpoint hangs", guard.State())
			}
		})
	})
}

func TestCallsUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		inner := counting{enter: func() func() {
			mu.Lock()
			defer mu.Unlock()
			now++
			most = max(most, now)
			return func() { mu.Lock(); now--; mu.Unlock() }
		}}
		e := outbound.Embedder(inner, endpoint(t, outbound.Config{Concurrency: 3}, outbound.Deps{}))
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if _, err := e.Embed(t.Context(), embed.Query, []string{"a"}); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if most != 3 {
			t.Errorf("%d calls at once, want 3", most)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.Embed(ctx, embed.Query, []string{"a"}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
}

func TestBulkWorkLeavesSlotsToQuestions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := outbound.Embedder(counting{enter: func() func() { return func() {} }}, endpoint(t, outbound.Config{Concurrency: 4}, outbound.Deps{}))
		var group sync.WaitGroup
		start := time.Now()
		for range 30 {
			group.Go(func() {
				if _, err := e.Embed(t.Context(), embed.Passage, []string{"a"}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if _, err := e.Embed(t.Context(), embed.Query, []string{"a"}); err != nil || time.Since(start) > time.Second {
			t.Errorf("a question: %v after %s, want one second", err, time.Since(start))
		}
		group.Wait()
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("30 calls of a second took %s, want 10 s with three at once", took)
		}
	})
}

// counting is an embedder that takes a second and tells when it is entered.
type counting struct{ enter func() func() }

func (counting) Profile() embed.Profile { return embed.Profile{} }

func (c counting) Embed(ctx context.Context, _ embed.Purpose, texts []string) ([][]float32, error) {
	defer c.enter()()
	select {
	case <-time.After(time.Second):
		return make([][]float32, len(texts)), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestWrongConfigurationsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := outbound.New(outbound.Config{Concurrency: -1, OpenFor: -1}, outbound.Deps{})
	for _, want := range []string{"name", "concurrent", "pauses"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to tell of %q", err, want)
		}
	}
	_, err = outbound.NewPacer("k", outbound.PacerConfig{RequestsPerMinute: -1, InteractiveShare: 1, Replicas: -1}, outbound.PacerDeps{})
	for _, want := range []string{"requests", "share", "replicas"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to tell of %q", err, want)
		}
	}
	if _, err := outbound.NewChain(outbound.ChainConfig{}); err == nil {
		t.Error("an empty chain was made")
	}
}
