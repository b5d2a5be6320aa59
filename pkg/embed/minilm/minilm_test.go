package minilm_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/embedtest"
	"github.com/ragbus/ragbus/pkg/embed/minilm"
	"github.com/ragbus/ragbus/pkg/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, workers int) *minilm.Embedder {
	t.Helper()
	e, err := minilm.New(minilm.Config{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestContract(t *testing.T) {
	t.Parallel()
	shared := open(t, 0)
	embedtest.Run(t, func(*testing.T) embed.Embedder { return shared }, embedtest.Caps{})
}

// TestAnUnusedEmbedderOwnsNothing leaves embedders unclosed, for TestMain to
// find their goroutines if there are any.
func TestAnUnusedEmbedderOwnsNothing(t *testing.T) {
	t.Parallel()
	for range 3 {
		e, err := minilm.New(minilm.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Embed(t.Context(), embed.Passage, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNegativeWorkersAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := minilm.New(minilm.Config{Workers: -1}); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v, want an Invalid fault", err)
	}
}

func TestAFailedLoadIsReportedAndTriedAgain(t *testing.T) {
	t.Parallel()
	e := open(t, 1)
	e.FailLoads(2)
	for i := range 2 {
		if _, err := e.Embed(t.Context(), embed.Query, []string{"a"}); !errors.Is(err, minilm.ErrTestLoad) || !fault.Retryable(err) {
			t.Errorf("call %d: got %v, want the failure of the load, retryable", i+1, err)
		}
	}
	if _, err := e.Embed(t.Context(), embed.Query, []string{"a"}); err != nil {
		t.Errorf("the third call fails with %v", err)
	}
}

// probe is a context whose Err runs a hook. Workers ask for Err in every
// pause, so the hook sees, and can hold, the work on a text.
type probe struct {
	context.Context //nolint:containedctx // a context that wraps another
	hook            func()
}

func (p probe) Err() error {
	p.hook()
	return p.Context.Err()
}

// held starts a passage on e and returns once a worker is stuck in it, with a
// function that lets it go on and one that waits for its result.
func held(t *testing.T, e *minilm.Embedder) (release func(), result func() error) {
	t.Helper()
	begun, gate := make(chan struct{}), make(chan struct{})
	var asked atomic.Int64
	ctx := probe{Context: t.Context(), hook: func() {
		// Embed itself asks first, the worker from then on.
		if asked.Add(1) == 2 {
			close(begun)
			<-gate
		}
	}}
	failed := make(chan error, 1)
	go func() {
		_, err := e.Embed(ctx, embed.Passage, []string{"a passage that is held"})
		failed <- err
	}()
	<-begun
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	return release, func() error { return <-failed }
}

func TestACallThatWaitsForAWorkerEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := open(t, 1)
		release, result := held(t, e)
		for _, purpose := range []embed.Purpose{embed.Query, embed.Passage} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			start := time.Now()
			if _, err := e.Embed(ctx, purpose, []string{"a", "b"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
				t.Errorf("purpose %d: got %v after %s, want the context's error when it ends", purpose, err, time.Since(start))
			}
			cancel()
		}
		release()
		if err := result(); err != nil {
			t.Errorf("the call that held the worker fails with %v", err)
		}
	})
}

// TestAQueryInterruptsAPassage has one worker, and takes as proof that the
// worker is seen inside the passage after it answered the query.
func TestAQueryInterruptsAPassage(t *testing.T) {
	t.Parallel()
	e := open(t, 1)
	passage := strings.Repeat("interrupted ", 300)
	attempt := func() bool {
		var asked atomic.Int64
		var answered, interrupted atomic.Bool
		begun := make(chan struct{})
		ctx := probe{Context: t.Context(), hook: func() {
			if asked.Add(1) == 2 {
				close(begun)
			}
			if answered.Load() {
				interrupted.Store(true)
			}
		}}
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := e.Embed(ctx, embed.Passage, []string{passage}); err != nil {
				t.Error(err)
			}
		})
		<-begun
		if _, err := e.Embed(t.Context(), embed.Query, []string{"a question"}); err != nil {
			t.Error(err)
		}
		answered.Store(true)
		group.Wait()
		return interrupted.Load()
	}
	// A passage takes some 60 ms: on a busy machine the query may come late.
	for range 50 {
		if attempt() {
			return
		}
	}
	t.Error("no query was answered before the passage that it found begun")
}

func TestWaitingQueriesGoBeforeWaitingPassages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := open(t, 1)
		release, result := held(t, e)
		var mu sync.Mutex
		var order []embed.Purpose
		var group sync.WaitGroup
		for _, purpose := range []embed.Purpose{embed.Passage, embed.Passage, embed.Passage, embed.Query, embed.Query} {
			var asked atomic.Int64
			ctx := probe{Context: t.Context(), hook: func() {
				if asked.Add(1) == 2 {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, purpose)
				}
			}}
			group.Go(func() {
				if _, err := e.Embed(ctx, purpose, []string{"waits"}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		release()
		group.Wait()
		if err := result(); err != nil {
			t.Error(err)
		}
		want := []embed.Purpose{embed.Query, embed.Query, embed.Passage, embed.Passage, embed.Passage}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("the order in which texts were taken (-want +got):\n%s", diff)
		}
	})
}

func TestCloseEndsWaitingAndRunningCalls(t *testing.T) {
	t.Parallel()
	e := open(t, 1)
	release, result := held(t, e)
	waiting := make(chan struct{})
	var once sync.Once
	failed := make(chan error, 1)
	go func() {
		ctx := probe{Context: t.Context(), hook: func() { once.Do(func() { close(waiting) }) }}
		_, err := e.Embed(ctx, embed.Query, []string{"waits"})
		failed <- err
	}()
	<-waiting
	closed := make(chan error, 1)
	go func() { closed <- e.Close() }()
	for name, err := range map[string]error{"waiting": <-failed, "running": result()} {
		if !errors.Is(err, minilm.ErrClosed) || !fault.Is(err, fault.Transient) {
			t.Errorf("the %s call ends with %v, want ErrClosed, transient", name, err)
		}
	}
	select {
	case <-closed:
		t.Error("Close returned while a worker was running")
	default:
	}
	release()
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := e.Embed(t.Context(), embed.Query, []string{"late"}); !errors.Is(err, minilm.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestClosingAnUnusedEmbedderKeepsItFromStarting(t *testing.T) {
	t.Parallel()
	e := open(t, 1)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Embed(t.Context(), embed.Query, []string{"late"}); !errors.Is(err, minilm.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestASteadyQueryAllocatesLittle(t *testing.T) {
	e := open(t, 1)
	texts := []string{"How often are buffers made anew?"}
	run := func() {
		if _, err := e.Embed(t.Context(), embed.Query, texts); err != nil {
			t.Error(err)
		}
	}
	run()
	const most = 10
	if got := testing.AllocsPerRun(20, run); got > most {
		t.Errorf("%v allocations a query, want at most %d", got, most)
	}
}
