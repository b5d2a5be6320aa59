package coalesced_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/coalesced"
	"github.com/ragbus/ragbus/pkg/embed/embedtest"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func scripted(t testing.TB, cfg scriptembed.Config) *scriptembed.Embedder {
	t.Helper()
	e, err := scriptembed.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestContract(t *testing.T) {
	t.Parallel()
	embedtest.Run(t, func(t *testing.T) embed.Embedder { return coalesced.New(scripted(t, scriptembed.Config{}), 2) }, embedtest.Caps{Instant: true})
}

// slow takes a second for each call and remembers what it was called for.
type slow struct {
	embed.Embedder

	mu    sync.Mutex
	calls []string
}

func (s *slow) Embed(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	s.mu.Lock()
	s.calls = append(s.calls, fmt.Sprint(purpose, texts))
	s.mu.Unlock()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, fault.As(fault.Transient, ctx.Err())
	}
	return s.Embedder.Embed(ctx, purpose, texts)
}

func TestQuestionsOfTheSameTimeAreOneRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		script := scripted(t, scriptembed.Config{Fail: func(_ int, _ embed.Purpose, texts []string) error {
			if slices.Contains(texts, "a question that is refused") {
				return fault.Permanentf("refused", "not this one")
			}
			return nil
		}})
		behind := &slow{Embedder: script}
		e := coalesced.New(behind, 1)
		var wait sync.WaitGroup
		ask := func(purpose embed.Purpose, texts ...string) {
			wait.Go(func() {
				got, err := e.Embed(t.Context(), purpose, texts)
				if strings.Contains(texts[0], "refused") {
					if !fault.Is(err, fault.Permanent) {
						t.Errorf("%v: %v", texts, err)
					}
					return
				}
				want, wrong := script.Embed(t.Context(), purpose, texts)
				if err != nil || wrong != nil || !cmp.Equal(want, got) {
					t.Errorf("%v: %v, %v, %v", texts, err, wrong, cmp.Diff(want, got))
				}
			})
			synctest.Wait()
		}
		ask(embed.Query, "first")
		ask(embed.Query, "second")
		ask(embed.Passage, "a passage")
		ask(embed.Query, "several", "together")
		ask(embed.Query, "third")
		wait.Wait()
		ask(embed.Query, "first")
		ask(embed.Query, "a question that is refused")
		ask(embed.Query, "second")
		wait.Wait()
		passage, query := embed.Passage, embed.Query
		want := []string{
			fmt.Sprint(query, []string{"first"}), fmt.Sprint(passage, []string{"a passage"}), fmt.Sprint(query, []string{"several", "together"}),
			fmt.Sprint(query, []string{"second", "third"}),
			fmt.Sprint(query, []string{"first"}), fmt.Sprint(query, []string{"a question that is refused", "second"}),
			// Each alone, at the same time.
			fmt.Sprint(query, []string{"a question that is refused"}), fmt.Sprint(query, []string{"second"}),
		}
		slices.Sort(want[6:])
		slices.Sort(behind.calls[6:])
		if diff := cmp.Diff(want, behind.calls); diff != "" {
			t.Error(diff)
		}
	})
}
