//go:build !nosqlite

package sqldb

import (
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ragbus/ragbus/pkg/fault"
)

// sqliteCode returns the extended result code of an error of SQLite's.
func sqliteCode(err error) (code int, ok bool) {
	lite, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return 0, false
	}
	return lite.Code(), true
}

// classifySQLite maps result codes (sqlite.org/rescode.html); the low byte is
// the primary code.
func classifySQLite(code int, err error) error {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return fault.As(fault.Permanent, errors.Join(ErrUnique, err))
	}
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return busy(err)
	case sqlite3.SQLITE_FULL:
		return full(err)
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG,
		sqlite3.SQLITE_RANGE, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE,
		sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_SCHEMA:
		return fault.As(fault.Permanent, err)
	}
	return fault.As(fault.Transient, err)
}

// noTransaction reports whether err says that there was nothing to roll back.
// SQLite has no code of its own for it.
func noTransaction(err error) bool {
	code, ok := sqliteCode(err)
	return ok && code == sqlite3.SQLITE_ERROR
}
