//go:build nosqlite

package sqldb

import (
	"context"

	"github.com/ragbus/ragbus/pkg/fault"
)

// The services' images are built with the tag nosqlite: each shares a
// database with others, which no file can be, and SQLite is 4 MB.

func openSQLite(context.Context, string, Config) (engine, error) {
	return nil, fault.Invalidf("invalid_database_url", "this program was built without SQLite; set RAGBUS_DATABASE_URL to a Postgres URL")
}

func sqliteCode(error) (code int, ok bool) { return 0, false }

func classifySQLite(_ int, err error) error { return err }
