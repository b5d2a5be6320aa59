// Package recent remembers what was used last, within a bound of bytes.
package recent

import "sync"

// Cache remembers values by key. It keeps two halves: when the young one is
// full it becomes the old one, which is dropped with the next, and what is
// still asked for moves back. So what is used often stays, at the cost of a
// map look-up and no list. All methods are safe for concurrent use.
type Cache[K comparable, V any] struct {
	weigh func(K, V) int
	// half is the bound of each half's weight.
	half int

	mu         sync.Mutex
	young, old map[K]V
	// weight is that of what is young.
	weight int
}

// New returns a Cache that holds values of a total weight between half and
// twice half. Weigh returns what a value and its key weigh, usually in bytes;
// it always returns the same for the same, and does not use the Cache.
func New[K comparable, V any](half int, weigh func(K, V) int) *Cache[K, V] {
	return &Cache[K, V]{weigh: weigh, half: half, young: make(map[K]V)}
}

// Get returns the value of key, and whether it is remembered.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.young[key]
	if !ok {
		if v, ok = c.old[key]; ok {
			c.put(key, v)
		}
	}
	return v, ok
}

// Put remembers the value of key. One that weighs more than half is not remembered.
func (c *Cache[K, V]) Put(key K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(key, v)
}

func (c *Cache[K, V]) put(key K, v V) {
	if before, ok := c.young[key]; ok {
		c.weight -= c.weigh(key, before)
		delete(c.young, key)
	}
	weight := c.weigh(key, v)
	if weight > c.half {
		delete(c.old, key)
		return
	}
	if c.weight+weight > c.half {
		c.old, c.young, c.weight = c.young, make(map[K]V), 0
	}
	c.young[key] = v
	c.weight += weight
}
