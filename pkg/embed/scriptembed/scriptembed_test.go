package scriptembed_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/embedtest"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/fault"
)

func open(t testing.TB, cfg scriptembed.Config) *scriptembed.Embedder {
	t.Helper()
	e, err := scriptembed.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestContract(t *testing.T) {
	t.Parallel()
	embedtest.Run(t, func(t *testing.T) embed.Embedder { return open(t, scriptembed.Config{}) }, embedtest.Caps{Instant: true})
}

func TestAnyNumberOfDimensionsIsKept(t *testing.T) {
	t.Parallel()
	for _, dimensions := range []int{1, 2, 3, 1536} {
		e := open(t, scriptembed.Config{Dimensions: dimensions})
		got, err := e.Embed(t.Context(), embed.Passage, []string{"one two three", ""})
		if err != nil || len(got[0]) != dimensions || len(got[1]) != dimensions || e.Profile().Dimensions != dimensions {
			t.Errorf("%d dimensions: got %d and %d, error %v", dimensions, len(got[0]), len(got[1]), err)
		}
	}
	if _, err := scriptembed.New(scriptembed.Config{Dimensions: -1}); !fault.Is(err, fault.Invalid) {
		t.Errorf("negative dimensions give %v, want an Invalid fault", err)
	}
}

func TestFailuresAreScripted(t *testing.T) {
	t.Parallel()
	e := open(t, scriptembed.Config{Fail: func(call int, purpose embed.Purpose, texts []string) error {
		if call == 2 && purpose == embed.Query && texts[0] == "b" {
			return fault.ThrottledFor(time.Second, errors.New("quota"))
		}
		return nil
	}})
	for i, text := range []string{"a", "b", "c"} {
		_, err := e.Embed(t.Context(), embed.Query, []string{text})
		if failed := err != nil; failed != (i == 1) {
			t.Errorf("call %d: error %v", i+1, err)
		}
		if i == 1 && fault.RetryAfter(err) != time.Second {
			t.Errorf("the scripted error arrived as %v", err)
		}
	}
	if e.Calls() != 3 || e.Texts() != 3 {
		t.Errorf("%d calls and %d texts counted, want 3 and 3", e.Calls(), e.Texts())
	}
}

func TestLatencyIsKeptAndCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := open(t, scriptembed.Config{Latency: time.Minute})
		start := time.Now()
		if _, err := e.Embed(t.Context(), embed.Query, []string{"a"}); err != nil || time.Since(start) != time.Minute {
			t.Errorf("took %s with error %v, want a minute", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := e.Embed(ctx, embed.Query, []string{"a"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("took %s with error %v, want a second and its deadline", time.Since(start), err)
		}
	})
}

func BenchmarkEmbed(b *testing.B) {
	e := open(b, scriptembed.Config{})
	for b.Loop() {
		if _, err := e.Embed(b.Context(), embed.Query, []string{"What was the name of the ship that sank near the harbour?"}); err != nil {
			b.Fatal(err)
		}
	}
}
