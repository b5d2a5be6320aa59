//go:build !nosqlite

package sqldb

// Waiting returns how many writes wait for SQLite's writer.
func (db *DB) Waiting() int { return len(db.engine.(*sqliteEngine).writer.jobs) }
