package sqldb

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

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
	if state := sqlState(err); state != "" {
		return classifyPostgres(state, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.As(fault.Transient, err)
	}
	if lite, ok := sqliteCode(err); ok {
		return classifySQLite(lite, err)
	}
	if isLost(err) {
		return unreachable(err)
	}
	return fault.As(fault.Transient, err)
}

func busy(err error) error {
	return fault.Transientf("database_busy", "the database is busy; try again").WithCause(err)
}

func full(err error) error {
	return fault.Transientf("storage_full", "the server has no space left").WithCause(err)
}

// sqlState returns Postgres's code, "" for an error that is not Postgres's.
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// classifyPostgres maps codes, else their classes, which are the first two
// characters (postgresql.org/docs/current/errcodes-appendix.html).
func classifyPostgres(state string, err error) error {
	switch state {
	case "23505": // unique_violation
		return fault.As(fault.Permanent, errors.Join(ErrUnique, err))
	case "22021": // character_not_in_repertoire
		return fault.Invalidf("invalid_text", "a text holds NUL or is not UTF-8, and cannot be stored").WithCause(err)
	case "26000", "42P05": // invalid_sql_statement_name, duplicate_prepared_statement
		return fault.Transientf("database_pooler",
			"the database's pooler does not keep prepared statements; add default_query_exec_mode=exec to the parameters of RAGBUS_DATABASE_URL").WithCause(err)
	case "40001", "40P01", "55P03", "53300": // serialization_failure, deadlock_detected, lock_not_available, too_many_connections
		return busy(err)
	case "42501": // insufficient_privilege
		return fault.Permanentf("database_forbidden", "the role of RAGBUS_DATABASE_URL may not do this in the database").WithCause(err)
	case "53100": // disk_full
		return full(err)
	case "57P01", "57P02", "57P03", "57P05", // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout
		"25P03", "25P04": // idle_in_transaction_session_timeout, transaction_timeout
		return unreachable(err)
	}
	switch state[:min(2, len(state))] {
	case "08", "28", "3D": // connection exception, invalid authorization, invalid catalog name
		return classifyConnect(err)
	case "0A", "21", "22", "23", "25", "2B", "2F", "34", "3F", "42", "44", "54", "F0", "P0":
		return fault.As(fault.Permanent, err)
	}
	return fault.As(fault.Transient, err)
}

func unreachable(err error) error {
	return fault.Transientf("database_unreachable", "the database cannot be reached; try again").Away().WithCause(err)
}

// classifyConnect is for an error of making a connection while running: what
// was refused may be let in again, so that no work is given up for it.
func classifyConnect(err error) error {
	if _, known := errors.AsType[*fault.Error](err); known {
		return err
	}
	switch state := sqlState(err); {
	case state == "53300":
		return busy(err)
	case strings.HasPrefix(state, "28"), state == "3D000", state == "42501":
		return fault.Transientf("database_refused", "the database refuses the connection").Away().WithCause(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !isConnect(err):
		return fault.As(fault.Transient, err)
	}
	return unreachable(err)
}

func isConnect(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// refused tells the operator, at start, which setting is wrong.
func refused(err error) error {
	const check = "; check RAGBUS_DATABASE_URL"
	switch state := sqlState(err); {
	case strings.HasPrefix(state, "28"):
		return fault.Invalidf("database_refused", "the database refuses the user or the password"+check).WithCause(err)
	case state == "3D000":
		return fault.Invalidf("database_unknown", "there is no such database on the server"+check).WithCause(err)
	case state == "42501":
		return fault.Invalidf("database_refused", "the user may not connect to the database"+check).WithCause(err)
	case isConnect(err) && state == "", state == "57P03":
		return fault.Transientf("database_unreachable", "the database cannot be reached"+check+", and whether the server runs").WithCause(cmp.Or(errors.Unwrap(err), err))
	}
	return err
}

// isLost reports whether the connection is gone.
func isLost(err error) bool {
	switch sqlState(err) {
	case "57P01", "57P02", "57P05", "08006", "08003", "25P03", "25P04":
		return true
	case "":
	default:
		return false
	}
	if isConnect(err) {
		return false
	}
	var netErr net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.As(err, &netErr) && !netErr.Timeout()
}

// isCollision reports whether a transaction failed only because of another
// one beside it, so that running it again can succeed.
func isCollision(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01":
		return true
	case "0A000": // feature_not_supported
		// A migration changed a table under a prepared statement; pgx has forgotten it by now.
		pg, _ := errors.AsType[*pgconn.PgError](err)
		return pg.Message == "cached plan must not change result type"
	}
	return false
}
