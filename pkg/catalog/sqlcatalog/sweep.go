package sqlcatalog

import (
	"context"
	"fmt"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

const (
	// Version $3 is kept; no version is "".
	dropChunks = `delete from chunks where (tenant, document, version, ordinal) in
		(select tenant, document, version, ordinal from chunks where tenant = $1 and document = $2 and version <> $3 limit $4)`
	// Generation $3 is kept; no generation is 0.
	dropBatches = "delete from batches where tenant = $1 and document = $2 and generation <> $3"
	usesOfOld   = "select tenant, document, profile, hash from vector_uses where tenant = $1 and document = $2 and generation <> $3 order by profile, hash limit $4"
	dropVectors = `delete from vectors where (tenant, profile, hash) in
		(select tenant, profile, hash from (` + usesOfOld + `) old)
		and not exists (select 1 from vector_uses o
			where o.tenant = vectors.tenant and o.profile = vectors.profile and o.hash = vectors.hash and o.document <> $2)`
	dropUses         = "delete from vector_uses where (tenant, document, profile, hash) in (" + usesOfOld + ")"
	dropAllOfChunks  = "delete from chunks where tenant = $1 and document = $2"
	dropAllOfBatches = "delete from batches where tenant = $1 and document = $2"
)

// dropContent removes every chunk and batch of a document at once.
func dropContent(ctx context.Context, tx *sqldb.Tx, r *row) error {
	for _, text := range []string{dropAllOfChunks, dropAllOfBatches} {
		if _, err := tx.Exec(ctx, text, r.Tenant, r.ID); err != nil {
			return fmt.Errorf("drop what is left of the document: %w", err)
		}
	}
	return nil
}

// SweepVersions implements [catalog.Store].
func (s *Store) SweepVersions(ctx context.Context, ref catalog.Ref) error {
	return s.sweep(ctx, ref, corpus.Indexed, func(r *row) (string, int64) { return r.LiveVersion, r.Generation })
}

// sweep drops what does not belong to the version and generation that keep
// returns, a slice at a time, and every slice behind the fence.
func (s *Store) sweep(ctx context.Context, ref catalog.Ref, state corpus.Status, keep func(*row) (string, int64)) error {
	states := []corpus.Status{state}
	turn := s.alone(ref.Tenant, ref.ID).Alone(vectorsOf, "")
	for more := true; more; {
		_, err := advanceIn(ctx, turn, ref, "sweep document", states, func(ctx context.Context, tx *sqldb.Tx, r *row) error {
			version, generation := keep(r)
			dropped, err := tx.Exec(ctx, dropChunks, r.Tenant, r.ID, version, sliceSize)
			if err != nil {
				return fmt.Errorf("drop chunks: %w", err)
			}
			if _, err := tx.Exec(ctx, dropBatches, r.Tenant, r.ID, generation); err != nil {
				return fmt.Errorf("drop batches: %w", err)
			}
			if _, err := tx.Exec(ctx, dropVectors, r.Tenant, r.ID, generation, sliceSize); err != nil {
				return fmt.Errorf("drop vectors: %w", err)
			}
			uses, err := tx.Exec(ctx, dropUses, r.Tenant, r.ID, generation, sliceSize)
			if err != nil {
				return fmt.Errorf("drop uses of vectors: %w", err)
			}
			more = dropped == sliceSize || uses == sliceSize
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Removed implements [catalog.Store].
func (s *Store) Removed(ctx context.Context, ref catalog.Ref) (corpus.Document, error) {
	r, err := s.advance(ctx, ref, "remove document", []corpus.Status{corpus.Deleting, corpus.Deleted},
		func(context.Context, *sqldb.Tx, *row) error { return nil })
	if err != nil {
		return corpus.Document{}, err
	}
	if r.Status == corpus.Deleted {
		return r.Document, nil
	}
	if err := s.sweep(ctx, ref, corpus.Deleting, func(*row) (string, int64) { return "", 0 }); err != nil {
		return corpus.Document{}, err
	}
	r, err = s.advance(ctx, ref, "remove document", []corpus.Status{corpus.Deleting},
		func(ctx context.Context, tx *sqldb.Tx, r *row) error {
			r.bury()
			return s.save(ctx, tx, r)
		})
	if err != nil {
		return corpus.Document{}, err
	}
	return r.Document, nil
}

// bury leaves a tombstone: that there was a document and who may know it,
// nothing of what it said.
func (r *row) bury() {
	r.Status = corpus.Deleted
	r.givenTitle, r.foundTitle, r.Filename, r.Source, r.blobKey = "", "", "", "", ""
	r.Metadata, r.Warnings, r.Failure = nil, nil, nil
	r.Chunks, r.Embedded, r.Pages = 0, 0, 0
	r.IndexedAt = time.Time{}
}

const (
	selectStalled = "select " + documentColumns + ` from documents
		where moved_at < $1 order by moved_at, tenant, id limit $2`
	touchStalled = "update documents set moved_at = $4 where tenant = $1 and id = $2 and moved_at = $3"
)

func (s *Store) stalled(ctx context.Context, tx *sqldb.Tx, before time.Time, limit int) ([]corpus.Document, error) {
	var stalled []*row
	err := tx.Each(ctx, selectStalled, []any{before.UnixMicro(), clampLimit(limit)}, func(scan func(...any) error) error {
		r, err := scanRow(scan)
		stalled = append(stalled, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	var docs []corpus.Document
	now := s.now().UnixMicro()
	for _, r := range stalled {
		// Whoever touches it first has it.
		n, err := tx.Exec(ctx, touchStalled, r.Tenant, r.ID, r.movedAt, max(now, r.movedAt+1))
		if err != nil {
			return nil, fmt.Errorf("touch stalled document: %w", err)
		}
		if n == 1 {
			docs = append(docs, r.Document)
		}
	}
	return docs, nil
}

const (
	selectStaleBlobs = "select blob_key from document_blobs where tenant = $1 and document = $2 and blob_key <> $3 order by blob_key"
	forgetBlob       = "delete from document_blobs where tenant = $1 and document = $2 and blob_key = $3"
)

// StaleBlobs implements [catalog.Store].
func (s *Store) StaleBlobs(ctx context.Context, ref catalog.Ref) ([]string, error) {
	var keys []string
	err := s.db.Tenant(ref.Tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := fenced(ctx, tx, ref, corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Indexed, corpus.Failed, corpus.Deleting, corpus.Deleted)
		if err != nil {
			return err
		}
		needed := r.blobKey
		switch r.Status {
		case corpus.Deleting, corpus.Deleted:
			needed = ""
		case corpus.Indexed:
		case corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Failed:
			return nil
		}
		return tx.Each(ctx, selectStaleBlobs, []any{r.Tenant, r.ID, needed}, func(scan func(...any) error) error {
			var key string
			if err := scan(&key); err != nil {
				return fmt.Errorf("read blob key: %w", err)
			}
			keys = append(keys, key)
			return nil
		})
	})
	return keys, wrap("list stale blobs", err)
}

// ForgetBlobs implements [catalog.Store].
func (s *Store) ForgetBlobs(ctx context.Context, ref catalog.Ref, keys []string) error {
	states := []corpus.Status{corpus.Indexed, corpus.Deleting, corpus.Deleted}
	_, err := s.advance(ctx, ref, "forget blobs", states, func(ctx context.Context, tx *sqldb.Tx, r *row) error {
		for _, key := range keys {
			if key == r.blobKey && !gone(r.Status) {
				continue
			}
			if _, err := tx.Exec(ctx, forgetBlob, r.Tenant, r.ID, key); err != nil {
				return fmt.Errorf("forget blob: %w", err)
			}
		}
		return nil
	})
	return err
}
