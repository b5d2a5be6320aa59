package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/coalesce"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	second   = time.Second
	patience = 10 * time.Millisecond
)

// server answers each call after a second with its numbers squared, and
// remembers what was called for, and when.
type server struct {
	mu    sync.Mutex
	calls []string
	began time.Time
	fail  func(in []int) error
}

func (s *server) call(ctx context.Context, in []int) ([]int, error) {
	s.mu.Lock()
	s.calls = append(s.calls, fmt.Sprint(time.Since(s.began).Milliseconds(), in))
	s.mu.Unlock()
	select {
	case <-time.After(second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.fail != nil {
		if err := s.fail(in); err != nil {
			return nil, err
		}
	}
	out := make([]int, len(in))
	for i, n := range in {
		out[i] = n * n
	}
	return out, nil
}

// asked is how one was served.
type asked struct {
	out int
	err error
	ms  int64
}

// serve has each number asked for at its time, in milliseconds, and returns
// how each was served and the calls that were made.
func serve(t *testing.T, limits coalesce.Limits, s *server, at map[int]int64, ctx func(n int) (context.Context, context.CancelFunc)) (map[int]asked, []string) {
	t.Helper()
	s.began = time.Now()
	calls := coalesce.New(limits, s.call)
	got := make(map[int]asked, len(at))
	var mu sync.Mutex
	var wait sync.WaitGroup
	for n, ms := range at {
		wait.Go(func() {
			<-time.After(time.Duration(ms)*time.Millisecond + time.Duration(n)*time.Microsecond) // in the order of numbers
			ctx, cancel := ctx(n)
			defer cancel()
			out, err := calls.Do(ctx, n)
			mu.Lock()
			defer mu.Unlock()
			got[n] = asked{out, err, time.Since(s.began).Milliseconds()}
		})
	}
	wait.Wait()
	synctest.Wait()
	return got, s.calls
}

func forever(t *testing.T) func(int) (context.Context, context.CancelFunc) {
	return func(int) (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) }
}

func TestWhoAsksMeanwhileGathersForTheNextCall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits coalesce.Limits
		at     map[int]int64
		calls  []string
	}{
		"one after the other":          {coalesce.Limits{Most: 9, Width: 9, Patience: patience}, map[int]int64{1: 0, 2: 1500, 3: 3000}, []string{"0 [1]", "1500 [2]", "3000 [3]"}},
		"while one is under way":       {coalesce.Limits{Most: 9, Width: 1, Patience: patience}, map[int]int64{1: 0, 2: 0, 3: 500, 4: 999}, []string{"0 [1]", "1000 [2 3 4]"}},
		"more than one call takes":     {coalesce.Limits{Most: 2, Width: 1, Patience: patience}, map[int]int64{1: 0, 2: 0, 3: 0, 4: 0}, []string{"0 [1]", "1000 [2 3]", "2000 [4]"}},
		"a slow call":                  {coalesce.Limits{Most: 9, Width: 2, Patience: patience}, map[int]int64{1: 0, 2: 100, 3: 105, 4: 150}, []string{"0 [1]", "110 [2 3]", "1000 [4]"}},
		"slow calls":                   {coalesce.Limits{Most: 9, Width: 3, Patience: patience}, map[int]int64{1: 0, 2: 100, 3: 150, 4: 200, 5: 300}, []string{"0 [1]", "110 [2]", "160 [3]", "1000 [4 5]"}},
		"slow calls for many":          {coalesce.Limits{Most: 2, Width: 3, Patience: patience}, map[int]int64{1: 0, 2: 100, 3: 100, 4: 100, 5: 100}, []string{"0 [1]", "110 [2 3]", "120 [4 5]"}},
		"patience ends with the call":  {coalesce.Limits{Most: 9, Width: 3, Patience: patience}, map[int]int64{1: 0, 2: 995, 3: 1001}, []string{"0 [1]", "1000 [2]", "1011 [3]"}},
		"a call ends and another does": {coalesce.Limits{Most: 1, Width: 2, Patience: patience}, map[int]int64{1: 0, 2: 0, 3: 0, 4: 0}, []string{"0 [1]", "10 [2]", "1000 [3]", "1010 [4]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got, calls := serve(t, c.limits, &server{}, c.at, forever(t))
				for n := range c.at {
					if got[n].err != nil || got[n].out != n*n {
						t.Errorf("%d: %+v", n, got[n])
					}
				}
				if diff := cmp.Diff(c.calls, calls); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestWhoLeavesIsFeltByNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// 2 leaves before the call that he would be in, 3 while it is made, and 5 and 6 both.
		leaves := map[int]time.Duration{2: 500 * time.Millisecond, 3: 1500 * time.Millisecond, 5: 2300 * time.Millisecond, 6: 2200 * time.Millisecond}
		s := &server{}
		got, calls := serve(t, coalesce.Limits{Most: 2, Width: 1, Patience: patience}, s, map[int]int64{1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0},
			func(n int) (context.Context, context.CancelFunc) {
				if after := leaves[n]; after > 0 {
					return context.WithTimeout(t.Context(), after)
				}
				return context.WithCancel(t.Context())
			})
		for n, left := range map[int]int64{2: 500, 3: 1500, 5: 2300, 6: 2200} {
			if g := got[n]; !errors.Is(g.err, context.DeadlineExceeded) || g.ms != left || !fault.Is(g.err, fault.Transient) {
				t.Errorf("%d: %+v, left after %d ms", n, g, left)
			}
		}
		for n, ms := range map[int]int64{1: 1000, 4: 2000, 7: 3300} { // nobody waited for the call of 5 and 6 any more
			if g := got[n]; g.err != nil || g.out != n*n || g.ms != ms {
				t.Errorf("%d: %+v, want it after %d ms", n, g, ms)
			}
		}
		if diff := cmp.Diff([]string{"0 [1]", "1000 [3 4]", "2000 [5 6]", "2300 [7]"}, calls); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACallHasTheLatestDeadline(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		deadlines map[int]time.Duration
		want      time.Duration
	}{
		"of all":                 {map[int]time.Duration{2: 5 * second, 3: 9 * second, 4: 7 * second}, 9 * second},
		"none when one has none": {map[int]time.Duration{2: 5 * second, 4: 7 * second}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, s := time.Now(), &server{}
				var got time.Duration
				calls := coalesce.New(coalesce.Limits{Most: 9, Width: 1, Patience: patience}, func(ctx context.Context, in []int) ([]int, error) {
					if deadline, ok := ctx.Deadline(); ok && len(in) == 3 {
						got = deadline.Sub(began)
					}
					return s.call(ctx, in)
				})
				var wait sync.WaitGroup
				for n := 1; n <= 4; n++ {
					wait.Go(func() {
						ctx, cancel := context.WithCancel(t.Context())
						if c.deadlines[n] > 0 {
							ctx, cancel = context.WithTimeout(t.Context(), c.deadlines[n])
						}
						defer cancel()
						if _, err := calls.Do(ctx, n); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
				}
				wait.Wait()
				if got != c.want {
					t.Errorf("the call had until %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	three := map[int]int64{1: 0, 2: 0, 3: 0, 4: 0}
	for name, c := range map[string]struct {
		fail  func(in []int) error
		wrong func(n int) bool
		class fault.Class
		calls int
	}{
		"one that cannot be served": {
			func(in []int) error {
				if slices.Contains(in, 3) {
					return fault.Permanentf("refused", "no 3")
				}
				return nil
			},
			func(n int) bool { return n == 3 }, fault.Permanent, 5,
		},
		"a pause": {
			func(in []int) error {
				if len(in) > 1 {
					return fault.Throttledf(second, "busy", "later")
				}
				return nil
			},
			func(n int) bool { return n > 1 }, fault.Throttled, 2,
		},
		"nobody there": {
			func([]int) error { return fault.Transientf("away", "nobody") },
			func(int) bool { return true }, fault.Transient, 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got, calls := serve(t, coalesce.Limits{Most: 9, Width: 1, Patience: patience}, &server{fail: c.fail}, three, forever(t))
				for n := range three {
					g := got[n]
					if (g.err != nil) != c.wrong(n) || g.err != nil && (!fault.Is(g.err, c.class) || g.out != 0) || g.err == nil && g.out != n*n {
						t.Errorf("%d: %+v", n, g)
					}
				}
				if len(calls) != c.calls {
					t.Errorf("calls: %v", calls)
				}
			})
		})
	}
}

func TestAPanicIsOfThoseWhoCauseIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{fail: func(in []int) error {
			if slices.Contains(in, 3) {
				panic("no 3")
			}
			return nil
		}}
		s.began = time.Now()
		calls := coalesce.New(coalesce.Limits{Most: 9, Width: 1, Patience: patience}, s.call)
		var wait sync.WaitGroup
		var panics atomic.Int32
		for n := range 5 {
			wait.Go(func() {
				defer func() {
					if p := recover(); p != nil && n == 3 {
						panics.Add(1)
					} else if p != nil || n == 3 {
						t.Errorf("%d: %v", n, p)
					}
				}()
				if out, err := calls.Do(t.Context(), n); err != nil || out != n*n {
					t.Errorf("%d: %d, %v", n, out, err)
				}
			})
		}
		wait.Wait()
		if panics.Load() != 1 {
			t.Errorf("%d panics", panics.Load())
		}
		if out, err := calls.Do(t.Context(), 7); err != nil || out != 49 {
			t.Errorf("afterwards: %d, %v", out, err)
		}
	})
}

func TestAnAnswerOfAnotherLengthIsNobodys(t *testing.T) {
	t.Parallel()
	calls := coalesce.New(coalesce.Limits{Most: 9, Width: 1, Patience: patience}, func(context.Context, []int) ([]int, error) { return []int{1, 2}, nil })
	if out, err := calls.Do(t.Context(), 1); !fault.Is(err, fault.Transient) || out != 0 || !strings.Contains(err.Error(), "a call for 1 returned 2") {
		t.Errorf("%d, %v", out, err)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	limits := coalesce.Limits{Most: 7, Width: 3, Patience: 50 * time.Microsecond}
	var underWay, most, served atomic.Int32
	calls := coalesce.New(limits, func(ctx context.Context, in []int) ([]int, error) {
		if n := underWay.Add(1); n > int32(limits.Width) {
			t.Errorf("%d calls under way", n)
		}
		defer underWay.Add(-1)
		if len(in) > limits.Most {
			t.Errorf("a call for %d", len(in))
		}
		if len(in) > 1 {
			most.Add(1)
		}
		out := make([]int, len(in))
		for i, n := range in {
			out[i] = -n
		}
		select {
		case <-time.After(time.Duration(in[0]%5) * 20 * time.Microsecond):
			return out, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	var wait sync.WaitGroup
	for g := range 16 {
		wait.Go(func() {
			for i := range 300 {
				n := g*1000 + i
				ctx, cancel := context.WithCancel(t.Context())
				if n%7 == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(n%100)*time.Microsecond)
				}
				out, err := calls.Do(ctx, n)
				cancel()
				switch {
				case err == nil && out == -n:
					served.Add(1)
				case err == nil || n%7 != 0:
					t.Errorf("%d: %d, %v", n, out, err)
				}
			}
		})
	}
	wait.Wait()
	if most.Load() == 0 || served.Load() < 16*300*6/7-16 {
		t.Errorf("%d calls for several, %d served", most.Load(), served.Load())
	}
}
