package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunStopsInReverseOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var stopped []string
	var up sync.WaitGroup
	up.Add(3)
	part := func(name string) Part {
		return Part{Name: name, Run: func(ctx context.Context) error {
			up.Done()
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			stopped = append(stopped, name)
			return nil
		}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		up.Wait()
		cancel()
	}()
	if err := Run(ctx, slog.New(slog.DiscardHandler), part("broker"), part("worker"), part("gateway")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"gateway", "worker", "broker"}, stopped); diff != "" {
		t.Error(diff)
	}
}

// TestTogetherStopsAllAtOnce: each part waits, after it was told to stop, until
// every other was told too.
func TestTogetherStopsAllAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var up, told sync.WaitGroup
	up.Add(3)
	told.Add(3)
	boom := errors.New("boom")
	part := func(name string, err error) Part {
		return Part{Name: name, Run: func(ctx context.Context) error {
			up.Done()
			<-ctx.Done()
			told.Done()
			told.Wait()
			return err
		}}
	}
	go func() {
		up.Wait()
		cancel()
	}()
	err := Run(ctx, slog.New(slog.DiscardHandler), Together("workers", part("a", nil), part("b", boom), part("c", nil)))
	if !errors.Is(err, boom) || err.Error() != "workers: b: boom" {
		t.Errorf("got %v", err)
	}
}

func TestTogetherEndsWhenOnePartDoes(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	err := Run(t.Context(), slog.New(slog.DiscardHandler), Together("workers",
		Part{Name: "a", Run: func(ctx context.Context) error { <-ctx.Done(); return nil }},
		Part{Name: "b", Run: func(context.Context) error { return boom }}))
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

func TestRunStopsAllWhenOneFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	err := Run(t.Context(), slog.New(slog.DiscardHandler),
		Part{Name: "a", Run: func(ctx context.Context) error { <-ctx.Done(); return nil }},
		Part{Name: "b", Run: func(context.Context) error { return boom }})
	if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "b: ") {
		t.Errorf("got %v", err)
	}
}

func TestProbeIsParallelBoundedAndTellsNoSecrets(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	got := Probe(ctx, []Check{
		{Name: "ok", Probe: func(context.Context) error { return nil }},
		{Name: "slow", Probe: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		{Name: "public", Probe: func(context.Context) error { return fault.Transientf("index_loading", "the index is loading") }},
		{Name: "private", Probe: func(context.Context) error { return errors.New("dial tcp 10.0.0.1: password=hush") }},
	})
	want := map[string]string{
		"ok": Healthy, "slow": "unhealthy: no answer in time", "public": "unhealthy: the index is loading", "private": "unhealthy: unreachable",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
