package sqldb

import "context"

// Scope is a view of the database: the rows of one tenant, or those of all.
// Get one from [DB.Tenant] or [DB.AllTenants]; it is cheap, holds nothing and
// needs no closing.
//
// On Postgres the scope is the second wall behind the conditions of the
// statements: tables with a tenant have row-level security, the scope is set
// for each transaction, and a transaction without one, as [DB.Read] and
// [DB.Write] run, sees no row of theirs and writes none. SQLite has no such
// wall, and the scope costs nothing there.
type Scope struct {
	db     *DB
	bounds bounds
	// marks, when there are any, learn that a write of the thing has ended.
	marks *Marks
	thing string
}

// bounds are what a transaction may see, and what it waits for.
type bounds struct {
	tenant string
	all    bool
	// patient is for migrations, which take as long as they take.
	patient bool
	locks   [2]lock
}

// lock names something that transactions take turns at; the zero one is none.
type lock struct {
	kind, id string
	shared   bool
}

// Tenant returns the view of one tenant. The empty tenant has no rows.
func (db *DB) Tenant(tenant string) Scope {
	return Scope{db: db, bounds: bounds{tenant: tenant}}
}

// AllTenants returns the view of the whole system, for work that is nobody's:
// sweeping, purging, migrating. What a caller's request leads to never uses it.
func (db *DB) AllTenants() Scope { return Scope{db: db, bounds: bounds{all: true}} }

// Alone returns a scope whose writes take turns with all others of the same
// tenant that name the same thing, in every process, from before the first
// statement until they are committed: what such a write reads about the thing
// holds until its end. Two locks are possible, of Alone and Beside together;
// take them in the same order everywhere. SQLite's writes take turns anyway.
func (s Scope) Alone(kind, id string) Scope { return s.lock(lock{kind: kind, id: id}) }

// Beside returns a scope whose writes run together with each other, and take
// turns with those that are [Scope.Alone] at the same thing.
func (s Scope) Beside(kind, id string) Scope { return s.lock(lock{kind: kind, id: id, shared: true}) }

func (s Scope) lock(l lock) Scope {
	for i := range s.bounds.locks {
		if s.bounds.locks[i].kind == "" {
			s.bounds.locks[i] = l
			return s
		}
	}
	panic("sqldb: a write takes two locks at most")
}

// Marking returns a scope whose writes change the marks of a thing of its
// tenant when they have ended, and before they return.
func (s Scope) Marking(m *Marks, thing string) Scope {
	s.marks, s.thing = m, thing
	return s
}

// ended is what follows a write, well or not: its outcome may be unknown.
func (s Scope) ended() {
	if s.marks != nil {
		s.marks.Changed(s.bounds.tenant, s.thing)
	}
}

// Read is [DB.Read] within the scope. It takes no locks.
func (s Scope) Read(ctx context.Context, fn Func) error { return s.db.doRead(ctx, s.bounds, fn) }

// Write is [DB.Write] within the scope.
func (s Scope) Write(ctx context.Context, fn Func) error {
	defer s.ended()
	return s.db.doWrite(ctx, s.bounds, false, fn)
}

// WriteSynced is [DB.WriteSynced] within the scope.
func (s Scope) WriteSynced(ctx context.Context, fn Func) error {
	defer s.ended()
	return s.db.doWrite(ctx, s.bounds, true, fn)
}
