package sqlcatalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

const insertBlob = "insert into document_blobs (tenant, document, blob_key) values ($1, $2, $3) on conflict do nothing"

// Accept implements [catalog.Store].
func (s *Store) Accept(ctx context.Context, u catalog.Upload) (corpus.Document, catalog.Outcome, error) {
	if u.ID == "" {
		u.ID = catalog.DocumentID(u)
	}
	u.ACL = normalACL(u.ACL)
	if err := checkUpload(u); err != nil {
		return corpus.Document{}, 0, err
	}
	var (
		doc     corpus.Document
		outcome catalog.Outcome
	)
	err := s.alone(u.Tenant, u.ID).WriteSynced(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := s.enterOnce(ctx, tx, u)
		if err != nil {
			return err
		}
		if r != nil {
			doc, outcome = r.Document, catalog.Repeated
			return nil
		}
		if r, err = load(ctx, tx, u.Tenant, u.ID); err != nil {
			return err
		}
		if r == nil {
			r, outcome = newRow(u), catalog.Created
			err = s.insert(ctx, tx, r)
		} else {
			outcome, err = s.acceptAgain(ctx, tx, r, u)
		}
		if err != nil {
			return err
		}
		if outcome != catalog.Unchanged {
			if err := savePrincipals(ctx, tx, r); err != nil {
				return err
			}
		}
		if outcome == catalog.Changed {
			if err := note(ctx, tx, r); err != nil {
				return err
			}
		}
		doc = r.Document
		if r.blobKey != u.BlobKey {
			// Bytes that are there already: their second copy is the caller's to
			// remove, and without a record an orphan that the sweep finds.
			return nil
		}
		if _, err := tx.Exec(ctx, insertBlob, u.Tenant, u.ID, u.BlobKey); err != nil {
			return fmt.Errorf("record blob: %w", err)
		}
		return nil
	})
	if err != nil {
		return corpus.Document{}, 0, fmt.Errorf("accept document: %w", err)
	}
	return doc, outcome, nil
}

func checkUpload(u catalog.Upload) error {
	for field, token := range map[string]string{"tenant": u.Tenant, "id": u.ID, "collection": u.Collection} {
		if err := corpus.CheckToken(field, token); err != nil {
			return err
		}
	}
	for _, p := range u.ACL {
		if err := corpus.CheckPrincipal(p); err != nil {
			return err
		}
	}
	if u.SHA256 == "" || u.BlobKey == "" {
		return fault.Invalidf("invalid_upload", "an upload has a digest and a place where its bytes are")
	}
	if u.Once.Key != "" {
		if err := corpus.CheckToken("key", u.Once.Key); err != nil {
			return err
		}
		if u.Once.Digest == "" {
			return fault.Invalidf("invalid_upload", "an upload that is done once has a digest of all that was said")
		}
	}
	return corpus.CheckMetadata(u.Metadata)
}

// normalACL sorts principals and drops doubles; nil, everyone, stays nil.
func normalACL(acl []string) []string {
	if acl == nil {
		return nil
	}
	acl = slices.Sorted(slices.Values(acl))
	if acl == nil {
		return []string{}
	}
	return slices.Compact(acl)
}

func newRow(u catalog.Upload) *row {
	r := &row{Document: corpus.Document{Tenant: u.Tenant, ID: u.ID, Collection: u.Collection}}
	r.describe(u)
	r.restart(u)
	return r
}

// describe takes over what an upload says about the document.
func (r *row) describe(u catalog.Upload) {
	r.givenTitle, r.Filename, r.Source, r.ACL = u.Title, u.Filename, u.Source, u.ACL
	r.Metadata = maps.Clone(u.Metadata)
}

func (r *row) describedBy(u catalog.Upload) bool {
	return r.givenTitle == u.Title && r.Filename == u.Filename && r.Source == u.Source && maps.Equal(r.Metadata, u.Metadata) &&
		(r.ACL == nil) == (u.ACL == nil) && slices.Equal(r.ACL, u.ACL)
}

// restart begins a new generation with the bytes of an upload. A title that
// was found stays until the new bytes are read: the live version shows it.
func (r *row) restart(u catalog.Upload) {
	r.MediaType, r.Bytes, r.SHA256, r.blobKey = u.MediaType, u.Bytes, u.SHA256, u.BlobKey
	r.nextGeneration(corpus.Accepted)
}

// nextGeneration makes all work in flight stale.
func (r *row) nextGeneration(status corpus.Status) {
	r.Generation++
	r.Status = status
	r.Chunks, r.Embedded, r.Pages, r.Failure, r.Warnings = 0, 0, 0, nil, nil
}

// acceptAgain records an upload of a document that has a row.
func (s *Store) acceptAgain(ctx context.Context, tx *sqldb.Tx, r *row, u catalog.Upload) (catalog.Outcome, error) {
	if u.May != nil && !gone(r.Status) {
		if err := u.May(r.Document); err != nil {
			return 0, err
		}
	}
	if r.Collection != u.Collection && r.Status != corpus.Deleted {
		return 0, fault.Invalidf("collection_mismatch", "the document is in the collection %q; delete it first to move it", r.Collection).WithField("collection")
	}
	outcome := catalog.Unchanged
	if u.Filename == "" && u.SHA256 == r.SHA256 && !gone(r.Status) {
		u.Filename = r.Filename
	}
	switch {
	case r.Status == corpus.Deleting || r.Status == corpus.Deleted:
		outcome = catalog.Created
		r.Collection = u.Collection
		r.foundTitle, r.IndexedAt = "", time.Time{}
		r.describe(u)
		r.restart(u)
		r.CreatedAt = fromMicros(max(s.now().UnixMicro(), r.stored+1))
		// The deletion that this overtakes is stale from now on, and nothing
		// that it was to remove may be seen again.
		if err := dropContent(ctx, tx, r); err != nil {
			return 0, err
		}
	case r.SHA256 != u.SHA256, r.Status == corpus.Failed && r.Failure != nil && r.Failure.Retryable:
		outcome = catalog.Replaced
		r.describe(u)
		r.restart(u)
	case !r.describedBy(u):
		outcome = catalog.Changed
		r.describe(u)
	default:
		return outcome, nil
	}
	return outcome, s.save(ctx, tx, r)
}
