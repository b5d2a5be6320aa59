//go:build !nosqlite

package sqldb

// Waiting returns how many writes wait for SQLite's writer.
func (db *DB) Waiting() int { return len(db.engine.(*sqliteEngine).writer.jobs) }

// Gathered returns how many writes of steps to Postgres wait to be taken into a group.
func (db *DB) Gathered() int {
	g := &db.engine.(*postgresEngine).gathering
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// GroupsUnderWay returns how many groups there are at the moment.
func (db *DB) GroupsUnderWay() int {
	g := &db.engine.(*postgresEngine).gathering
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.underWay
}
