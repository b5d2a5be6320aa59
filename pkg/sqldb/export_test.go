//go:build !nosqlite

package sqldb

// Waiting returns how many writes wait for SQLite's writer.
func (db *DB) Waiting() int { return len(db.engine.(*sqliteEngine).writer.jobs) }

// Gathered returns how many callers wait with steps for Postgres to be taken into a group.
func (db *DB) Gathered() int {
	n := 0
	for _, g := range db.gatherings() {
		g.mu.Lock()
		n += len(g.waiting)
		g.mu.Unlock()
	}
	return n
}

// GroupsUnderWay returns how many groups there are at the moment.
func (db *DB) GroupsUnderWay() int {
	n := 0
	for _, g := range db.gatherings() {
		g.mu.Lock()
		n += g.underWay
		g.mu.Unlock()
	}
	return n
}

func (db *DB) gatherings() []*gathering {
	e := db.engine.(*postgresEngine)
	return []*gathering{&e.writing, &e.reading}
}
