package extract

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func TestPlacesAreGivenOutFairly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(2)
		var (
			mu    sync.Mutex
			order []string
		)
		leave := map[string]func(){}
		take := func(ctx context.Context, name string) {
			go func() {
				done, err := p.take(ctx, name[:1])
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					order = append(order, "no "+name)
					return
				}
				order = append(order, name)
				leave[name] = done
			}()
			synctest.Wait()
		}
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(order, want) {
				t.Fatalf("%v were read, want %v", order, want)
			}
			order = nil
		}
		for _, name := range []string{"a1", "a2", "a3", "a4"} {
			take(t.Context(), name)
		}
		expect("a1", "a2")
		take(t.Context(), "b1") // the one place more
		take(t.Context(), "b2")
		take(t.Context(), "c1")
		expect("b1")
		leave["a1"]()
		expect("c1") // again one more than two, for who has none
		leave["a2"]()
		expect("a3") // now a has none
		leave["c1"]()
		expect() // two are read, and both who wait have one
		given, cancel := context.WithCancelCause(t.Context())
		take(given, "b3")
		cancel(errors.New("stopped"))
		expect("no b3")
		leave["b1"]()
		expect("b2") // who has none, though a4 came first
		leave["a3"]()
		expect("a4")
		leave["b2"]()
		leave["a4"]()
		if p.taken != 0 || len(p.of) != 0 || len(p.waiting) != 0 {
			t.Errorf("left: %d taken, %v, %d waiting", p.taken, p.of, len(p.waiting))
		}
	})
}

// TestAPlaceGivenToWhoLeftIsGivenOn: the turn and the end of the context come together.
func TestAPlaceGivenToWhoLeftIsGivenOn(t *testing.T) {
	t.Parallel()
	p := newPlaces(1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 1000 {
		leave, err := p.take(ended, "a")
		if err == nil {
			leave()
		}
	}
	if p.taken != 0 || len(p.waiting) != 0 {
		t.Errorf("%d taken, %d waiting", p.taken, len(p.waiting))
	}
}
