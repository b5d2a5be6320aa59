// Package sqlcatalog keeps the catalog and the vector cache in SQL tables.
package sqlcatalog

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store implements [catalog.Store] and [catalog.VectorCache].
type Store struct {
	db  *sqldb.DB
	now func() time.Time
	// lookups by how many keys they take.
	lookups map[int]lookup
	// What Find has read last.
	rows   *recentRows
	chunks *recentChunks
	marks  *sqldb.Marks
}

// part names what this package writes to the database, see [sqldb.DB.Marks].
const part = "catalog"

var (
	_ catalog.Store       = (*Store)(nil)
	_ catalog.VectorCache = (*Store)(nil)
)

// Open migrates the catalog's tables in db and returns a Store on it. The
// caller keeps db, closes it, and may share it with other stores.
func Open(ctx context.Context, db *sqldb.DB) (*Store, error) {
	if err := db.Migrate(ctx, part, migrations, "migrations"); err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	if err := db.Migrate(ctx, "sweep", sweepMigrations, "sweep"); err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	if err := db.Migrate(ctx, "line", lineMigrations, "line"); err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	return &Store{db: db, now: time.Now, lookups: newLookups(), rows: newRecentRows(), chunks: newRecentChunks(), marks: db.Marks(part)}, nil
}

// Ready implements [catalog.Store].
func (s *Store) Ready(ctx context.Context) error { return s.db.Ready(ctx) }

// alone is the scope of a change of one document: what the change reads of it
// holds until it is done, and what is remembered of it does not from then on.
func (s *Store) alone(tenant, id string) sqldb.Scope {
	return s.db.Tenant(tenant).Alone("document", id).Marking(s.marks, id)
}

// vectorsOf is the kind of the lock that keeps a cached vector from being
// dropped while another document begins to use it. It is taken after the
// document's.
const vectorsOf = "vectors of tenant"

func notFound() error {
	return fault.NotFoundf("document_not_found", "there is no such document")
}
