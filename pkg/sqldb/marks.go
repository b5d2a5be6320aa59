package sqldb

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Marks tell whether what a process remembers of a database may have changed
// since it was read, without asking the database. They do so only where the
// process is the only one that writes, see [Config.Sole]; anywhere else
// nothing that is remembered ever holds by them.
//
// Whoever reads takes the mark of the thing before, and keeps it with what was
// read, which holds as long as the mark does. Whoever writes says so after
// the write has ended, well or not, and before telling anybody, which
// [Scope.Marking] does. So a change
// whose write has returned holds for everything that begins after it: what
// was read before it has an older mark, and whoever takes the newer mark sees it.
//
// All methods are safe for concurrent use. A mark takes a few nanoseconds.
type Marks struct {
	sole bool
	seed maphash.Seed
	// Things share counters: a change of one makes what is remembered of
	// another be read again, seldom, and never the other way round.
	counters [markCounters]atomic.Uint64
}

// markCounters makes 32 KiB. With 64 things under way at once, one in 64 shares its counter.
const markCounters = 4096

// Mark is the state of a thing at a moment. The zero Mark never holds.
type Mark uint64

// Marks returns the marks of a part of the database. All who ask for the same
// part of the same DB share them.
func (db *DB) Marks(part string) *Marks {
	db.marks.mu.Lock()
	defer db.marks.mu.Unlock()
	if m := db.marks.byPart[part]; m != nil {
		return m
	}
	m := &Marks{sole: db.marks.sole, seed: maphash.MakeSeed()}
	if db.marks.byPart == nil {
		db.marks.byPart = map[string]*Marks{}
	}
	db.marks.byPart[part] = m
	return m
}

// marksOfParts are the marks of a DB.
type marksOfParts struct {
	sole   bool
	mu     sync.Mutex
	byPart map[string]*Marks
}

// Of returns the mark of a thing of a tenant, which is zero when marks tell nothing.
func (m *Marks) Of(tenant, id string) Mark {
	if !m.sole {
		return 0
	}
	return Mark(m.counter(tenant, id).Load() + 1)
}

// Hold reports whether nothing was changed in the thing since mark was taken.
func (m *Marks) Hold(mark Mark, tenant, id string) bool { return mark != 0 && mark == m.Of(tenant, id) }

// Changed says that a write of the thing has ended.
func (m *Marks) Changed(tenant, id string) {
	if m.sole {
		m.counter(tenant, id).Add(1)
	}
}

// AllChanged says that a write has ended that may have changed anything.
func (m *Marks) AllChanged() {
	if !m.sole {
		return
	}
	for i := range m.counters {
		m.counters[i].Add(1)
	}
}

func (m *Marks) counter(tenant, id string) *atomic.Uint64 {
	return &m.counters[maphash.Comparable(m.seed, [2]string{tenant, id})%markCounters]
}
