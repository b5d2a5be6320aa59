// Package sqlaccess keeps API keys and what was spent in SQL tables.
package sqlaccess

import (
	"context"
	"embed"
	"fmt"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store implements [access.Keys] and [access.Ledger].
type Store struct {
	db *sqldb.DB
}

var (
	_ access.Keys   = (*Store)(nil)
	_ access.Ledger = (*Store)(nil)
)

// Open migrates the tables of keys in db and returns a Store on it. The
// caller keeps db, closes it, and may share it with other stores.
func Open(ctx context.Context, db *sqldb.DB) (*Store, error) {
	if err := db.Migrate(ctx, "access", migrations, "migrations"); err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	return &Store{db: db}, nil
}

// Ready implements [access.Keys].
func (s *Store) Ready(ctx context.Context) error { return s.db.Ready(ctx) }
