package sqldb

import (
	"context"
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ragbus/ragbus/pkg/fault"
)

// ErrUnique is in the chain of an error that a unique or primary key raised.
var ErrUnique = errors.New("sqldb: the key exists")

// classify gives a driver's error its class. It is the only place that knows
// the drivers' codes. Errors that are classified, and nil, stay as they are.
func classify(err error) error {
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*fault.Error](err); known {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.As(fault.Transient, err)
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return classifySQLite(lite.Code(), err)
	}
	return fault.As(fault.Transient, err)
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
		return fault.Transientf("database_busy", "the database is busy; try again").WithCause(err)
	case sqlite3.SQLITE_FULL:
		return fault.Transientf("storage_full", "the server has no space left").WithCause(err)
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
	lite, ok := errors.AsType[*sqlite.Error](err)
	return ok && lite.Code() == sqlite3.SQLITE_ERROR
}
