package outbound_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

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

// unsteady is a way to a bucket that can be cut.
type unsteady struct {
	open func(context.Context) (jetstream.KeyValue, error)
	mu   sync.Mutex
	away bool
}

func (u *unsteady) set(away bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.away = away
}

func (u *unsteady) gone() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.away {
		return errors.New("the broker is away")
	}
	return nil
}

func (u *unsteady) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	if err := u.gone(); err != nil {
		return nil, err
	}
	kv, err := u.open(ctx)
	if err != nil {
		return nil, err
	}
	return unsteadyKV{kv, u}, nil
}

type unsteadyKV struct {
	jetstream.KeyValue

	link *unsteady
}

func (k unsteadyKV) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	if err := k.link.gone(); err != nil {
		return nil, err
	}
	return k.KeyValue.Get(ctx, key)
}

func (k unsteadyKV) Update(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	if err := k.link.gone(); err != nil {
		return 0, err
	}
	return k.KeyValue.Update(ctx, key, value, last)
}

// Three replicas lose the bucket and share the limit by thirds; when it is
// back, what they took meanwhile counts for all.
func TestWithoutTheBucketEachKeepsToItsPart(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ticks := newClock()
	cfg := outbound.PacerConfig{RequestsPerMinute: 60, InteractiveShare: 0.1}
	link := &unsteady{open: outbound.OpenBucket(b.JS, 1, true)}
	replicas := make([]*outbound.Pacer, 3)
	var granted ledger
	ask := func(p *outbound.Pacer) bool {
		_, err := p.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Requests: 1})
		if err == nil {
			granted.add(ticks.Now(), outbound.Interactive, outbound.Cost{Requests: 1})
		}
		return err == nil
	}
	for i := range replicas {
		replicas[i] = pacer(t, cfg, outbound.PacerDeps{Bucket: link.bucket, Replica: fmt.Sprint(i), Now: ticks.Now})
	}
	// Each is seen twice, so that each has seen all.
	for range 2 {
		for _, p := range replicas {
			if !ask(p) {
				t.Fatal("refused at the start")
			}
		}
	}
	link.set(true)
	for range 120 {
		for _, p := range replicas {
			ask(p)
		}
		ticks.Advance(time.Second)
	}
	got := len(granted.entries)
	if worst := granted.worst(); worst.Requests > 60 {
		t.Errorf("%d requests were granted in a minute of 60 without the bucket", worst.Requests)
	}
	if got < 90 {
		t.Errorf("%d requests were granted in two minutes of 60", got)
	}
	link.set(false)
	ticks.Advance(time.Second)
	for range 120 {
		for _, p := range replicas {
			ask(p)
		}
		ticks.Advance(time.Second)
	}
	if worst := granted.worst(); worst.Requests > 60 {
		t.Errorf("%d requests were granted in a minute of 60 after the bucket came back", worst.Requests)
	}
	if len(granted.entries)-got < 90 {
		t.Errorf("%d requests were granted in two minutes after the bucket came back", len(granted.entries)-got)
	}
}

// The bucket is in memory, and a server that stands alone forgets it when it restarts.
func TestALostBucketIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ticks := newClock()
	p := pacer(t, outbound.PacerConfig{RequestsPerMinute: 60}, outbound.PacerDeps{Bucket: outbound.OpenBucket(b.JS, 1, true), Now: ticks.Now})
	for range 3 {
		if _, err := p.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Requests: 1}); err != nil {
			t.Fatal(err)
		}
		if err := b.JS.DeleteKeyValue(t.Context(), outbound.BucketName); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Requests: 1}); err != nil {
			t.Fatalf("while the bucket is gone: %v", err)
		}
		ticks.Advance(10 * time.Second)
	}
	if _, err := p.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Requests: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.KeyValue(t.Context(), outbound.BucketName); err != nil {
		t.Errorf("the bucket: %v", err)
	}
	verify := outbound.OpenBucket(b.JS, 1, false)
	if err := b.JS.DeleteKeyValue(t.Context(), outbound.BucketName); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(t.Context()); err == nil || !strings.Contains(err.Error(), outbound.BucketName) {
		t.Errorf("a bucket of another owner that is missing: %v", err)
	}
}

// A broker that is really away, and one that comes back without its memory.
func TestABrokerThatStopsAndStarts(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ticks := newClock()
	reg := prometheus.NewRegistry()
	p := pacer(t, outbound.PacerConfig{RequestsPerMinute: 40}, outbound.PacerDeps{
		Bucket: outbound.OpenBucket(b.JS, 1, true), Replica: "a", Now: ticks.Now, Metrics: outbound.NewMetrics(reg),
	})
	granted := func(n int) (count int) {
		for range n {
			if _, err := p.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Requests: 1}); err == nil {
				count++
			}
		}
		return count
	}
	alone := func() float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "ragbus_pacer_alone" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("no metric tells whether the pacer is alone")
		return 0
	}
	if n := granted(5); n != 5 || alone() != 0 {
		t.Errorf("%d of 5 were granted, alone %v", n, alone())
	}
	b.Stop()
	ticks.Advance(11 * time.Second)
	if n := granted(5); n != 5 || alone() != 1 {
		t.Errorf("%d of 5 were granted without the broker, alone %v", n, alone())
	}
	connected := b.NATS.StatusChanged(nats.CONNECTED)
	b.Restart()
	select {
	case <-connected:
	case <-t.Context().Done():
	}
	ticks.Advance(6 * time.Second)
	if n := granted(1); n != 1 || alone() != 0 {
		t.Errorf("%d of 1 were granted with the broker back, alone %v", n, alone())
	}
	// What was granted while it was alone is told to the others.
	entry, err := openKV(t, b).Get(t.Context(), outbound.PacerKey("gemini", "gemini-embedding-2", "secret"))
	if err != nil || !strings.Contains(string(entry.Value()), `"Requests":1`) {
		t.Errorf("the bucket holds %v, %v", entry, err)
	}
}

func openKV(t *testing.T, b *brokertest.Broker) jetstream.KeyValue {
	t.Helper()
	kv, err := b.JS.KeyValue(t.Context(), outbound.BucketName)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func TestAValueThatCannotBeReadIsReplaced(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	key := outbound.PacerKey("p", "m", "secret")
	for _, bad := range []string{"", "nonsense", `{"c":[{"s":9},{"s":5}]}`, `{"c":[{"s":9,"a":{"Requests":-4}}]}`} {
		kv, err := outbound.OpenBucket(b.JS, 1, true)(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Put(t.Context(), key, []byte(bad)); err != nil {
			t.Fatal(err)
		}
		p, err := outbound.NewPacer(key, outbound.PacerConfig{RequestsPerMinute: 60}, outbound.PacerDeps{Bucket: outbound.OpenBucket(b.JS, 1, true)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Reserve(t.Context(), outbound.Interactive, outbound.Cost{Requests: 1}); err != nil {
			t.Errorf("after %q: %v", bad, err)
		}
		entry, err := kv.Get(t.Context(), key)
		if err != nil || !json.Valid(entry.Value()) {
			t.Errorf("after %q the value is %v, %v", bad, entry, err)
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
