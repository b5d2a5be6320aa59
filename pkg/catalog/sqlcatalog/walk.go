package sqlcatalog

import (
	"context"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

const (
	selectChanged = "select " + documentColumns + ` from documents
		where updated_at >= $1 and (tenant, id) > ($2, $3) order by tenant, id limit $4`
	selectVersion = "select " + chunkColumns + ` from chunks
		where tenant = $1 and document = $2 and version = $3 and ordinal > $4 order by ordinal limit $5`
)

// Changed implements [catalog.Walker].
func (s *Store) Changed(ctx context.Context, since time.Time, afterTenant, afterID string, limit int) ([]corpus.Document, error) {
	var docs []corpus.Document
	micros := since.UnixMicro()
	if since.IsZero() {
		micros = 0
	}
	err := s.db.AllTenants().Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		docs = nil
		return tx.Each(ctx, selectChanged, []any{micros, afterTenant, afterID, clampLimit(limit)}, func(scan func(...any) error) error {
			r, err := scanRow(scan)
			if err != nil {
				return err
			}
			docs = append(docs, r.Document)
			return nil
		})
	})
	return docs, wrap("list changed documents", err)
}

// VersionChunks implements [catalog.Walker].
func (s *Store) VersionChunks(ctx context.Context, tenant, id, version string, after, limit int) ([]corpus.Chunk, error) {
	var chunks []corpus.Chunk
	err := s.db.Tenant(tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		chunks, err = readChunks(ctx, tx, tenant, selectVersion, tenant, id, version, after, clampLimit(limit))
		return err
	})
	return chunks, wrap("read the chunks of a version", err)
}

var _ catalog.Walker = (*Store)(nil)
