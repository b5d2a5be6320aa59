package embeddedvector

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// tenant is what memory holds for one tenant. Readers load the view and work
// on it, whatever happens meanwhile; writers build everything outside the lock and
// hold it only to put a new view in place.
type tenant struct {
	view atomic.Pointer[view]

	mu sync.Mutex
	// located is the live version of each document.
	located map[string]*document
}

// view is an immutable state of a tenant: its collections by name.
type view map[string]*collection

// collection is an immutable state of a collection.
type collection struct {
	parts []part
	// chunks, words and english are totals over live documents.
	chunks, words, english int
}

// part is a segment and which of its documents are no longer live.
type part struct {
	*segment
	// dead is a bitmap over documents, nil while all are live. It is copied to be changed.
	dead       []uint64
	deadChunks int
}

func (p part) isDead(document uint32) bool {
	return p.dead != nil && p.dead[document/64]&(1<<(document%64)) != 0
}

func (p part) live() int { return p.size() - p.deadChunks }

func newTenant() *tenant {
	t := &tenant{located: make(map[string]*document)}
	t.view.Store(&view{})
	return t
}

// change applies edits to copies of the named collections and shows the
// result in one step. Callers hold mu.
func (t *tenant) change(edit func(get func(name string) *collection)) {
	next := maps.Clone(*t.view.Load())
	copied := make(map[string]bool, 2)
	edit(func(name string) *collection {
		if c := next[name]; c != nil && copied[name] {
			return c
		}
		c := &collection{}
		if old := next[name]; old != nil {
			*c = *old
			c.parts = slices.Clone(old.parts)
		}
		copied[name] = true
		next[name] = c
		return c
	})
	for name := range copied {
		c := next[name]
		c.parts = slices.DeleteFunc(c.parts, func(p part) bool { return p.live() == 0 })
		if len(c.parts) == 0 {
			delete(next, name)
		}
	}
	t.view.Store(&next)
}

// show makes the documents of the segment live in their collection, in place
// of the versions of them that were. A document of seg that has no chunks is taken out.
func (t *tenant) show(name string, seg *segment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(func(get func(string) *collection) {
		for _, d := range seg.documents {
			if old := t.located[d.id]; old != nil {
				get(old.collection).kill(old)
			}
			t.located[d.id] = d
		}
		c := get(name)
		c.parts = append(c.parts, part{segment: seg})
		c.chunks += seg.size()
		for _, d := range seg.documents {
			c.words += d.words
			c.english += d.english
		}
	})
}

// hide takes a document out of the searches and returns the collection it was in.
func (t *tenant) hide(id string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.located[id]
	if d == nil {
		return "", false
	}
	delete(t.located, id)
	t.change(func(get func(string) *collection) { get(d.collection).kill(d) })
	return d.collection, true
}

// describe replaces the attributes of a live document.
func (t *tenant) describe(id string, a *attributes) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.located[id]; d != nil {
		d.attributes.Store(a)
	}
}

// kill marks a document dead in a copied collection.
func (c *collection) kill(d *document) {
	for i := range c.parts {
		p := &c.parts[i]
		if p.segment != d.where || p.isDead(d.index) {
			continue
		}
		if p.dead == nil {
			p.dead = make([]uint64, (len(p.documents)+63)/64)
		} else {
			p.dead = slices.Clone(p.dead)
		}
		p.dead[d.index/64] |= 1 << (d.index % 64)
		size := int(p.first[d.index+1] - p.first[d.index])
		p.deadChunks += size
		c.chunks -= size
		c.words -= d.words
		c.english -= d.english
	}
}
