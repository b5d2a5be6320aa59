package outbound_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/outbound"
)

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
