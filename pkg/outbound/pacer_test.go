package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
	"github.com/ragbus/ragbus/pkg/outbound"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func pacer(t *testing.T, cfg outbound.PacerConfig, deps outbound.PacerDeps) *outbound.Pacer {
	t.Helper()
	p, err := outbound.NewPacer(outbound.PacerKey("gemini", "gemini-embedding-2", "secret"), cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ledger is what was granted, for checking the limit in every window.
type ledger struct {
	mu      sync.Mutex
	entries []entry
}

type entry struct {
	at   time.Time
	lane outbound.Lane
	cost outbound.Cost
}

func (l *ledger) add(at time.Time, lane outbound.Lane, cost outbound.Cost) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry{at, lane, cost})
}

// worst returns the most that was granted in any minute.
func (l *ledger) worst(lanes ...outbound.Lane) outbound.Cost {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := func(lane outbound.Lane) bool { return len(lanes) == 0 || slices.Contains(lanes, lane) }
	var worst outbound.Cost
	for _, from := range l.entries {
		var sum outbound.Cost
		for _, e := range l.entries {
			if counts(e.lane) && !e.at.Before(from.at) && e.at.Sub(from.at) <= time.Minute {
				sum.Requests, sum.Tokens = sum.Requests+e.cost.Requests, sum.Tokens+e.cost.Tokens
			}
		}
		worst.Requests, worst.Tokens = max(worst.Requests, sum.Requests), max(worst.Tokens, sum.Tokens)
	}
	return worst
}

// Several replicas ask at random, side by side, over random pauses: in no
// minute is more granted than the limit, and it is nearly used up.
func TestReplicasTogetherNeverExceedTheLimit(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			cfg := outbound.PacerConfig{RequestsPerMinute: 20 + random.IntN(60), TokensPerMinute: 2000 + random.IntN(8000)}
			key := outbound.PacerKey("p", t.Name(), "secret")
			ticks := newClock()
			replicas := make([]*outbound.Pacer, 3)
			for i := range replicas {
				p, err := outbound.NewPacer(key, cfg, outbound.PacerDeps{
					Bucket: outbound.OpenBucket(b.Connect().JetStream(), 1, true), Replica: fmt.Sprint(i), Now: ticks.Now,
				})
				if err != nil {
					t.Fatal(err)
				}
				replicas[i] = p
			}
			var granted ledger
			for range 150 {
				now := ticks.Now()
				var group sync.WaitGroup
				for range 1 + random.IntN(8) {
					p := replicas[random.IntN(len(replicas))]
					lane := outbound.Lane(random.IntN(2))
					cost := outbound.Cost{Requests: 1 + random.IntN(3), Tokens: random.IntN(900)}
					group.Go(func() {
						_, err := p.Reserve(t.Context(), lane, cost)
						switch {
						case err == nil:
							granted.add(now, lane, cost)
						case !fault.Is(err, fault.Throttled) || fault.RetryAfter(err) <= 0:
							t.Errorf("refused with %v, back after %s", err, fault.RetryAfter(err))
						}
					})
				}
				group.Wait()
				ticks.Advance(time.Duration(random.IntN(4000)) * time.Millisecond)
			}
			all, bulk := granted.worst(), granted.worst(outbound.Bulk)
			if all.Requests > cfg.RequestsPerMinute || all.Tokens > cfg.TokensPerMinute {
				t.Errorf("%+v were granted in a minute of %+v", all, cfg)
			}
			if bulk.Requests*4 > cfg.RequestsPerMinute*3 || bulk.Tokens*4 > cfg.TokensPerMinute*3 {
				t.Errorf("bulk work was granted %+v of %+v, want three quarters at most", bulk, cfg)
			}
			if all.Requests*2 < cfg.RequestsPerMinute && all.Tokens*2 < cfg.TokensPerMinute {
				t.Errorf("only %+v were granted in a minute of %+v", all, cfg)
			}
		})
	}
}

func TestBulkWorkLeavesTheInteractiveShare(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ticks := newClock()
	cfg := outbound.PacerConfig{RequestsPerMinute: 400, InteractiveShare: 0.25}
	bulk := pacer(t, cfg, outbound.PacerDeps{Bucket: outbound.OpenBucket(b.Connect().JetStream(), 1, true), Now: ticks.Now})
	queries := pacer(t, cfg, outbound.PacerDeps{Bucket: outbound.OpenBucket(b.Connect().JetStream(), 1, true), Now: ticks.Now})
	one := outbound.Cost{Requests: 1}
	took := 0
	for second := range 180 {
		for range 20 {
			if _, err := bulk.Reserve(t.Context(), outbound.Bulk, one); err != nil {
				break
			}
			took++
		}
		// A quarter of 400 a minute is 1.67 a second.
		for range 1 + second%2 {
			if _, err := queries.Reserve(t.Context(), outbound.Interactive, one); err != nil {
				t.Fatalf("second %d: a query was refused: %v", second, err)
			}
		}
		ticks.Advance(time.Second)
	}
	if took < 3*250 || took > 3*300+75 {
		t.Errorf("bulk work was granted %d requests in three minutes, want nearly 300 a minute", took)
	}
}

func TestARefusedCallFitsAfterItsDelayAndTheRefusedAreSpread(t *testing.T) {
	t.Parallel()
	ticks := newClock()
	p := pacer(t, outbound.PacerConfig{TokensPerMinute: 6000}, outbound.PacerDeps{Now: ticks.Now})
	cost := outbound.Cost{Requests: 1, Tokens: 1000}
	var delays []time.Duration
	for range 12 {
		if _, err := p.Reserve(t.Context(), outbound.Bulk, cost); err != nil {
			delays = append(delays, fault.RetryAfter(err))
		}
	}
	if len(delays) < 8 {
		t.Fatalf("%d of 12 were refused", len(delays))
	}
	if first, last := delays[0], delays[len(delays)-1]; last-first < time.Minute {
		t.Errorf("the first comes back after %s and the last after %s; at 4,500 tokens a minute they should be spread", first, last)
	}
	ticks.Advance(delays[0])
	if _, err := p.Reserve(t.Context(), outbound.Bulk, cost); err != nil {
		t.Errorf("after its delay of %s: %v", delays[0], err)
	}
}

func TestACostAboveTheLimitGoesAlone(t *testing.T) {
	t.Parallel()
	ticks := newClock()
	p := pacer(t, outbound.PacerConfig{TokensPerMinute: 1000}, outbound.PacerDeps{Now: ticks.Now})
	huge := outbound.Cost{Requests: 1, Tokens: 50_000}
	if _, err := p.Reserve(t.Context(), outbound.Interactive, huge); err != nil {
		t.Errorf("alone: %v", err)
	}
	if _, err := p.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Tokens: 1}); err == nil {
		t.Error("something was granted beside it")
	}
	ticks.Advance(62 * time.Second)
	if _, err := p.Reserve(t.Context(), outbound.Interactive, huge); err != nil {
		t.Errorf("alone again: %v", err)
	}
}

func TestWhatACallDidNotTakeIsGivenBackToAll(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ticks := newClock()
	cfg := outbound.PacerConfig{TokensPerMinute: 4000}
	open := func() *outbound.Pacer {
		return pacer(t, cfg, outbound.PacerDeps{Bucket: outbound.OpenBucket(b.Connect().JetStream(), 1, true), Now: ticks.Now})
	}
	one, other := open(), open()
	grant, err := one.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Requests: 1, Tokens: 4000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Tokens: 10}); err == nil {
		t.Fatal("the other replica was granted what was taken")
	}
	grant.Settle(500)
	ticks.Advance(11 * time.Second)
	// The correction travels with the next call.
	if _, err := one.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Tokens: 10}); err != nil {
		t.Errorf("after giving back: %v", err)
	}
	if _, err := other.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Tokens: 900}); err != nil {
		t.Errorf("at the other replica: %v", err)
	}
}

func TestAPauseOfTheProviderHoldsForAllReplicas(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ticks := newClock()
	cfg := outbound.PacerConfig{RequestsPerMinute: 1000}
	open := func() *outbound.Pacer {
		return pacer(t, cfg, outbound.PacerDeps{Bucket: outbound.OpenBucket(b.Connect().JetStream(), 1, true), Now: ticks.Now})
	}
	one, other := open(), open()
	reserve := func(p *outbound.Pacer, lane outbound.Lane) error {
		_, err := p.Reserve(t.Context(), lane, outbound.Cost{Requests: 1})
		return err
	}
	one.Pause(outbound.Bulk, 20*time.Second)
	if err := reserve(one, outbound.Bulk); fault.RetryAfter(err) < 20*time.Second {
		t.Errorf("bulk work after a pause of 20 s: %v, back after %s", err, fault.RetryAfter(err))
	}
	if err := reserve(other, outbound.Bulk); !fault.Is(err, fault.Throttled) {
		t.Errorf("bulk work at the other replica: %v", err)
	}
	if err := reserve(other, outbound.Interactive); err != nil {
		t.Errorf("a query while bulk work is paused: %v", err)
	}
	other.Pause(outbound.Interactive, 30*time.Second)
	if err := reserve(other, outbound.Interactive); !fault.Is(err, fault.Throttled) {
		t.Errorf("a query after a pause: %v", err)
	}
	ticks.Advance(31 * time.Second)
	for _, lane := range []outbound.Lane{outbound.Interactive, outbound.Bulk} {
		if err := reserve(one, lane); err != nil {
			t.Errorf("%s after the pauses: %v", lane, err)
		}
	}
}

func TestAnEndedContextDoesNotWait(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	entered := make(chan struct{})
	p := pacer(t, outbound.PacerConfig{RequestsPerMinute: 60}, outbound.PacerDeps{Bucket: func(context.Context) (jetstream.KeyValue, error) {
		close(entered)
		<-hold
		return nil, errors.New("away")
	}})
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := p.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Requests: 1}); err != nil {
			t.Errorf("while the bucket is away: %v", err)
		}
	})
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Reserve(ctx, outbound.Interactive, outbound.Cost{Requests: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	close(hold)
	group.Wait()
}

func TestTheKeyNamesTheBudgetAndHidesTheSecret(t *testing.T) {
	t.Parallel()
	key := outbound.PacerKey("openai", "nomic embed:latest/β", "sk-secret")
	if strings.Contains(key, "secret") || strings.ContainsAny(key, " :/β") || !strings.HasPrefix(key, "openai-nomic_embed_latest__.") {
		t.Errorf("the key is %q", key)
	}
	seen := map[string]bool{}
	for _, k := range []string{key, outbound.PacerKey("openai", "nomic embed:latest/β", "sk-other"), outbound.PacerKey("openai", "other", "sk-secret"), outbound.PacerKey("gemini", "other", "sk-secret")} {
		if seen[k] {
			t.Errorf("two budgets share the key %q", k)
		}
		seen[k] = true
	}
}

func TestANilPacerGrantsEverything(t *testing.T) {
	t.Parallel()
	var p *outbound.Pacer
	grant, err := p.Reserve(t.Context(), outbound.Bulk, outbound.Cost{Requests: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	grant.Settle(1)
	p.Pause(outbound.Bulk, time.Hour)
}

// Through the decorators: bulk work is handed back with a delay, questions
// wait out a short one, and what an answer took is settled.
func TestGuardedCallsArePaced(t *testing.T) {
	t.Parallel()
	ticks := newClock()
	p := pacer(t, outbound.PacerConfig{TokensPerMinute: 4000}, outbound.PacerDeps{Now: ticks.Now})
	inner, err := scriptembed.New(scriptembed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	e := outbound.Embedder(inner, endpoint(t, outbound.Config{}, outbound.Deps{Pacer: p}))
	big := strings.Repeat("word ", 600) // 1,001 tokens
	texts := []string{big, big, big}
	if _, err := e.Embed(t.Context(), embed.Passage, texts); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Embed(t.Context(), embed.Passage, texts); !fault.Is(err, fault.Throttled) || fault.RetryAfter(err) < time.Second || inner.Calls() != 1 {
		t.Errorf("bulk work beyond the limit: %v, back after %s, %d calls", err, fault.RetryAfter(err), inner.Calls())
	}
	if _, err := e.Embed(t.Context(), embed.Query, []string{"a question"}); err != nil {
		t.Errorf("a question: %v", err)
	}

	q := pacer(t, outbound.PacerConfig{TokensPerMinute: 3000}, outbound.PacerDeps{Now: ticks.Now})
	usage := llm.Usage{PromptTokens: 10, CompletionTokens: 5}
	m := outbound.Model(scriptllm.New(func(llm.Request) scriptllm.Reply {
		return scriptllm.Reply{Deltas: []string{"a"}, Usage: &usage}
	}), endpoint(t, outbound.Config{}, outbound.Deps{Pacer: q}))
	r := llmtest.Question()
	r.MaxTokens = 1000
	for i := range 20 {
		if got := llmtest.Read(t.Context(), t, m, r); got.Err != nil {
			t.Fatalf("answer %d of 15 tokens: %v", i, got.Err)
		}
		ticks.Advance(11 * time.Second / 10)
	}
}

func BenchmarkReserve(b *testing.B) {
	server := brokertest.Start(b)
	p, err := outbound.NewPacer("bench", outbound.PacerConfig{RequestsPerMinute: 1 << 30}, outbound.PacerDeps{
		Bucket: outbound.OpenBucket(server.JS, 1, true), Replica: "a",
	})
	if err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.Reserve(b.Context(), outbound.Interactive, outbound.Cost{Requests: 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
