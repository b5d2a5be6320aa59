package lease_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/lease"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// bound is how long a test waits for what must come.
const bound = 30 * time.Second

const bucketName = "TEST_LEASE"

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func makeBucket(t *testing.T, js jetstream.JetStream, ttl time.Duration) jetstream.KeyValue {
	t.Helper()
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: bucketName, TTL: ttl, Storage: jetstream.FileStorage})
	check(t, err)
	return kv
}

// numbers gives numbers as the record does, and says whether one is the greatest.
type numbers struct{ last atomic.Int64 }

func (n *numbers) take(context.Context) (int64, error) { return n.last.Add(1), nil }

// holder is a replica that waits for the lease.
type holder struct {
	began chan int64
	ended chan error
	stop  context.CancelFunc
	done  chan error
}

// hold runs a replica whose job lasts as long as its lease.
func hold(t *testing.T, js jetstream.JetStream, cfg lease.Config) *holder {
	t.Helper()
	cfg.Bucket, cfg.Job = bucketName, "sweep"
	l, err := lease.New(js, cfg)
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	h := &holder{began: make(chan int64, 100), ended: make(chan error, 100), stop: cancel, done: make(chan error, 1)}
	go func() {
		h.done <- l.Run(ctx, func(ctx context.Context, number int64) {
			h.began <- number
			<-ctx.Done()
			h.ended <- context.Cause(ctx)
		})
	}()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := await(t, h.done); err != nil {
				t.Error(err)
			}
		})
	}
	h.stop = stop
	t.Cleanup(stop)
	return h
}

func await[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(bound):
		t.Fatal("it did not come")
		panic("unreachable")
	}
}

func TestOneAtATimeAndTheNextAsSoonAsOneStops(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	makeBucket(t, b.JS, 3*time.Second)
	var n numbers
	first := hold(t, b.JS, lease.Config{Number: n.take})
	if got := await(t, first.began); got != 1 {
		t.Errorf("the first number is %d", got)
	}
	second := hold(t, b.Connect().JetStream(), lease.Config{Number: n.take})
	// Longer than a lease lasts: it is renewed.
	select {
	case <-second.began:
		t.Fatal("two hold it")
	case err := <-first.ended:
		t.Fatalf("the first lost it: %v", err)
	case <-time.After(5 * time.Second):
	}
	first.stop()
	if got := await(t, second.began); got != 2 {
		t.Errorf("the second number is %d", got)
	}
}

// paused lets a holder's renewals fail as if its process were paused.
type paused struct {
	jetstream.JetStream
	now atomic.Bool
}

type pausedBucket struct {
	jetstream.KeyValue
	p *paused
}

var errPaused = errors.New("paused")

func (p *paused) KeyValue(ctx context.Context, name string) (jetstream.KeyValue, error) {
	if p.now.Load() {
		return nil, errPaused
	}
	kv, err := p.JetStream.KeyValue(ctx, name)
	return pausedBucket{kv, p}, err
}

func (b pausedBucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if b.p.now.Load() {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return b.KeyValue.Update(ctx, key, value, revision)
}

func (b pausedBucket) Delete(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	if b.p.now.Load() {
		return errPaused
	}
	return b.KeyValue.Delete(ctx, key, opts...)
}

func TestAHolderThatCannotRenewStopsBeforeTheNextBegins(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	makeBucket(t, b.JS, 2*time.Second)
	var n numbers
	p := &paused{JetStream: b.JS}
	first := hold(t, p, lease.Config{Number: n.take})
	await(t, first.began)
	second := hold(t, b.Connect().JetStream(), lease.Config{Number: n.take})
	p.now.Store(true)
	var lost error
	select {
	case lost = <-first.ended:
	case number := <-second.began:
		t.Fatalf("the second began, with %d, while the first went on", number)
	case <-time.After(bound):
		t.Fatal("nothing happened")
	}
	if !errors.Is(lost, lease.ErrLost) {
		t.Errorf("the job ended by %v", lost)
	}
	if got := await(t, second.began); got != 2 {
		t.Errorf("the second number is %d", got)
	}
	p.now.Store(false)
	second.stop()
	if got := await(t, first.began); got != 3 {
		t.Errorf("back again with %d", got)
	}
}

func TestALeaseThatWasTakenAwayIsNotTakenForOnesOwn(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	kv := makeBucket(t, b.JS, 3*time.Second)
	var n numbers
	first := hold(t, b.JS, lease.Config{Number: n.take})
	await(t, first.began)
	// As after a pause: the entry ended and another replica wrote its own.
	_, err := kv.Put(t.Context(), "sweep", []byte("another"))
	check(t, err)
	if err := await(t, first.ended); !errors.Is(err, lease.ErrLost) {
		t.Errorf("the job ended by %v", err)
	}
	entry, err := kv.Get(t.Context(), "sweep")
	if err == nil && string(entry.Value()) != "another" && len(first.began) == 0 {
		t.Errorf("the other's entry is gone: %q", entry.Value())
	}
	if got := await(t, first.began); got != 2 {
		t.Errorf("back again with %d", got)
	}
}

func TestALeaseLostWhileTheNumberIsTakenIsNoLease(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	kv := makeBucket(t, b.JS, 2*time.Second)
	var n numbers
	h := hold(t, b.JS, lease.Config{Number: func(ctx context.Context) (int64, error) {
		number, err := n.take(ctx)
		if number == 1 {
			_, err = kv.Put(ctx, "sweep", []byte("another"))
		}
		return number, err
	}})
	if got := await(t, h.began); got != 2 {
		t.Errorf("the job began with the number %d", got)
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func TestWithoutNumbersThereIsNoJobAndItIsSaidOnce(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	makeBucket(t, b.JS, time.Second)
	var tries atomic.Int64
	log := &lines{}
	h := hold(t, b.JS, lease.Config{Log: slog.New(slog.NewTextHandler(log, nil)), Number: func(context.Context) (int64, error) {
		if n := tries.Add(1); n > 3 {
			return n, nil
		}
		return 0, errors.New("the record is away")
	}})
	if got := await(t, h.began); got != 4 {
		t.Errorf("it began with %d", got)
	}
	if waits, back := log.count("its lease cannot be had"), log.count("can be had again"); waits != 1 || back != 1 {
		t.Errorf("said %d times that it waits and %d times that it goes on", waits, back)
	}
}

func TestABucketThatKeepsEntriesForEverIsRefused(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	makeBucket(t, b.JS, 0)
	log := &lines{}
	refused := make(chan struct{})
	l, err := lease.New(b.JS, lease.Config{
		Bucket: bucketName, Job: "sweep", Number: (&numbers{}).take,
		Log: slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
			defer close(refused)
			return log.Write(p)
		}), nil)),
	})
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, func(context.Context, int64) { t.Error("the job ran") }) }()
	await(t, refused)
	cancel()
	check(t, await(t, done))
	if log.count("for ever") != 1 {
		t.Error("the log does not say why")
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestWhatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for name, cfg := range map[string]lease.Config{
		"no bucket": {Job: "sweep", Number: (&numbers{}).take}, "no numbers": {Bucket: "B", Job: "sweep"},
		"a job that is no key": {Bucket: "B", Job: "sweep.>", Number: (&numbers{}).take},
	} {
		if _, err := lease.New(b.JS, cfg); err == nil {
			t.Errorf("%s: it was made", name)
		}
	}
}
