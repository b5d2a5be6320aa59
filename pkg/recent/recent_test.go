package recent

import (
	"strings"
	"sync"
	"testing"
)

func byLength(_ int, s string) int { return len(s) }

func TestWhatIsRememberedIsBoundedAndWhatIsAskedForStays(t *testing.T) {
	t.Parallel()
	const half = 1000
	c := New(half, byLength)
	value := strings.Repeat("x", 10)
	for i := range 10 * half {
		c.Put(i, value)
		if _, ok := c.Get(0); !ok && i < half/10 {
			t.Fatalf("the first was forgotten after %d", i)
		}
		c.Get(1)
		if c.weight > half || len(c.young) > half/10 || len(c.old) > half/10 {
			t.Fatalf("%d are remembered, then %d of weight %d", len(c.old), len(c.young), c.weight)
		}
		if i == 2*half {
			c.Put(2, value) // asked for no more
		}
	}
	for key, want := range map[int]bool{1: true, 2: false, 10*half - 1: true} {
		if _, ok := c.Get(key); ok != want {
			t.Errorf("%d is known: %v", key, ok)
		}
	}
}

func TestAValueIsReplaced(t *testing.T) {
	t.Parallel()
	c := New(100, byLength)
	c.Put(1, "old")
	c.Put(1, "newer")
	if v, ok := c.Get(1); !ok || v != "newer" || c.weight != len("newer") {
		t.Errorf("got %q, weight %d", v, c.weight)
	}
	c.Put(1, strings.Repeat("x", 101))
	if v, ok := c.Get(1); ok || c.weight != 0 {
		t.Errorf("a value that is too heavy left %q, weight %d", v, c.weight)
	}
}

func TestManyUseItAtOnce(t *testing.T) {
	t.Parallel()
	c := New(200, byLength)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				key := (g + i) % 50
				if v, ok := c.Get(key); ok && len(v) != key {
					t.Errorf("%d has %q", key, v)
					return
				}
				c.Put(key, strings.Repeat("x", key))
			}
		})
	}
	wg.Wait()
}
