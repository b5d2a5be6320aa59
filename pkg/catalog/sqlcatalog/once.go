package sqlcatalog

import (
	"context"
	"fmt"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

const (
	insertUploadKey = `insert into upload_keys (tenant, upload_key, digest, document, created_at) values ($1, $2, $3, $4, $5)
		on conflict (tenant, upload_key) do nothing`
	selectUploadKey  = "select digest, document from upload_keys where tenant = $1 and upload_key = $2"
	forgetUploadKeys = `delete from upload_keys where (tenant, upload_key) in
		(select tenant, upload_key from upload_keys where created_at < $1 order by created_at limit $2)`
)

// enterOnce enters an upload under its key. When the same one was entered
// before it returns the document of then, else nil. It is the transaction's
// first statement: on Postgres it waits for whoever enters the same key, and
// what is read after it is what they left.
func (s *Store) enterOnce(ctx context.Context, tx *sqldb.Tx, u catalog.Upload) (before *row, err error) {
	if u.Once.Key == "" {
		return before, nil
	}
	n, err := tx.Exec(ctx, insertUploadKey, u.Tenant, u.Once.Key, u.Once.Digest, u.ID, s.now().UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("enter the key of an upload: %w", err)
	}
	if n == 1 {
		return before, nil
	}
	var digest, document string
	known, err := tx.One(ctx, selectUploadKey, []any{u.Tenant, u.Once.Key}, &digest, &document)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the key of an upload: %w", err)
	case !known:
		return nil, fault.Transientf("document_busy", "the Idempotency-Key is being forgotten; try again")
	case digest != u.Once.Digest:
		return nil, fault.Invalidf("idempotency_key_reused", "this Idempotency-Key came before with another upload; take a new one")
	}
	before, err = load(ctx, tx, u.Tenant, document)
	if err == nil && before == nil {
		err = notFound()
	}
	return before, err
}

// ForgetUploads implements [catalog.Sweeper].
func (s *Store) ForgetUploads(ctx context.Context, fence catalog.Fence, before time.Time, limit int) (int, error) {
	var forgotten int64
	err := s.sweeping(ctx, fence, "forget uploads", func(ctx context.Context, tx *sqldb.Tx) (err error) {
		forgotten, err = tx.Exec(ctx, forgetUploadKeys, before.UnixMicro(), clampLimit(limit))
		return err
	})
	return int(forgotten), err
}
