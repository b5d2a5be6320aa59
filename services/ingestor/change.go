package ingestor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/worker"
)

// deleted removes all of a document but its tombstone. Searches lose it first.
func (s *Service) deleted(ctx context.Context, d worker.Delivery[event.DocumentDeleted]) ([]event.Event, error) {
	ref := catalog.Ref{Tenant: d.Event.Tenant, ID: d.Data.ID, Generation: d.Data.Generation}
	if ref.Generation == 0 {
		scope, err := corpus.SystemScope(ref.Tenant)
		if err != nil {
			return nil, err
		}
		doc, err := s.deps.Catalog.Delete(ctx, scope, ref.ID)
		if err != nil {
			return nil, ignoreMissing(fmt.Errorf("begin a deletion: %w", err))
		}
		ref.Generation = doc.Generation
	}
	doc, err := s.deps.Catalog.Document(ctx, ref.Tenant, ref.ID)
	if err != nil || doc.Generation != ref.Generation || doc.Status != corpus.Deleting && doc.Status != corpus.Deleted {
		return nil, ignoreMissing(err)
	}
	if err := s.deps.Index.Delete(ctx, ref.Tenant, ref.ID, ref.Generation); err != nil {
		return s.failedOr(ctx, ref, late(fmt.Errorf("delete from the index: %w", err)))
	}
	// A deletion that comes late for the index removes nothing, and does not say so.
	if again, err := s.overtaken(ctx, ref); err != nil || len(again) > 0 {
		return again, err
	}
	if doc.Status == corpus.Deleting {
		if err := s.dropBlobs(ctx, ref); err != nil {
			return nil, err
		}
		if doc, err = s.deps.Catalog.Removed(ctx, ref); err != nil {
			return dropStale(err, "complete a deletion")
		}
		s.log.InfoContext(ctx, "deleted", "document", ref.ID)
	}
	return []event.Event{event.New(ref.Tenant, s.now(), event.DocumentRemoved{
		ID: ref.ID, Generation: ref.Generation, Collection: doc.Collection,
	})}, nil
}

// maxRounds bounds how often changed follows a row that changes meanwhile.
const maxRounds = 5

// changed carries acl and metadata from the catalog to the index. It reads
// the row again afterwards: of two changes at once the later one must stay.
func (s *Service) changed(ctx context.Context, d worker.Delivery[event.DocumentChanged]) ([]event.Event, error) {
	tenant, id := d.Event.Tenant, d.Data.ID
	if d.Data.Revision == 0 {
		scope, err := corpus.SystemScope(tenant)
		if err != nil {
			return nil, err
		}
		if _, err := s.deps.Catalog.Patch(ctx, scope, id, catalog.Patch{ACL: &d.Data.ACL}); err != nil {
			return nil, ignoreMissing(fmt.Errorf("change an acl: %w", err))
		}
	}
	var written time.Time
	for range maxRounds {
		doc, err := s.deps.Catalog.Document(ctx, tenant, id)
		if err != nil {
			return nil, ignoreMissing(err)
		}
		if doc.UpdatedAt.Equal(written) {
			return nil, s.confirm(ctx, doc)
		}
		if err := s.deps.Index.SetAttributes(ctx, indexed(doc)); err != nil {
			return dropStale(late(err), "change a document's attributes")
		}
		written = doc.UpdatedAt
	}
	return nil, fault.Transientf("changing", "the document keeps changing")
}

// confirm says that the index has a document's acl and metadata.
func (s *Service) confirm(ctx context.Context, doc corpus.Document) error {
	if err := s.deps.Record.Confirm(ctx, doc.Tenant, doc.ID, doc.UpdatedAt.UnixMicro()); err != nil {
		return fmt.Errorf("confirm a change: %w", err)
	}
	return nil
}

// adopt takes in a document that an event points to: its bytes are copied to
// the blob store and its row is made. It returns the generation to work on,
// or none when there is nothing to extract.
func (s *Service) adopt(ctx context.Context, e event.Event, d event.DocumentUploaded) (catalog.Ref, []event.Event, error) {
	file, name, err := s.datarefs.Open(ctx, d.DataRef)
	if err != nil {
		return catalog.Ref{}, nil, err
	}
	defer func() { _ = file.Close() }()
	collection := d.Collection
	if collection == "" {
		collection = corpus.DefaultCollection
	}
	if d.Filename == "" {
		d.Filename = corpus.CleanFilename(name)
	}
	// Every copy has a key of its own: what a sweep finds orphaned, nobody will
	// ever accept. A repeated delivery may leave one behind for it.
	key, err := blob.Key(e.Tenant, "adopted", corpus.NewID())
	if err != nil {
		return catalog.Ref{}, nil, fmt.Errorf("name the document's bytes: %w", err)
	}
	info, err := s.deps.Blobs.Put(ctx, key, io.Reader(file), blob.PutOptions{MaxBytes: int64(s.cfg.MaxDocumentBytes)})
	if err != nil {
		return catalog.Ref{}, nil, fmt.Errorf("copy the document's bytes: %w", err)
	}
	u := catalog.Upload{
		Tenant: e.Tenant, ID: d.ID, Collection: collection, Title: d.Title, Filename: d.Filename, Source: d.Source,
		Bytes: info.Bytes, SHA256: info.SHA256, BlobKey: key, Metadata: d.Metadata, ACL: d.ACL,
	}
	if u.ID == "" {
		u.ID = catalog.DocumentID(u)
	}
	if info.Bytes == 0 {
		return catalog.Ref{}, nil, errors.Join(s.deps.Blobs.Delete(ctx, key), fault.Invalidf("empty_document", "the document is empty"))
	}
	doc, outcome, err := s.deps.Catalog.Accept(ctx, u)
	if err != nil {
		return catalog.Ref{}, nil, fmt.Errorf("accept a document: %w", err)
	}
	ref := catalog.Ref{Tenant: doc.Tenant, ID: doc.ID, Generation: doc.Generation}
	if outcome == catalog.Created || outcome == catalog.Replaced {
		return ref, nil, nil
	}
	if err := s.dropCopy(ctx, doc, key); err != nil {
		return catalog.Ref{}, nil, err
	}
	if outcome == catalog.Changed {
		return catalog.Ref{}, []event.Event{event.New(doc.Tenant, s.now(), event.DocumentChanged{ID: doc.ID, Revision: doc.UpdatedAt.UnixMicro()})}, nil
	}
	if doc.Status.Settled() {
		return catalog.Ref{}, nil, nil
	}
	// A repeated delivery of this very event: its own first run made the row.
	return ref, nil, nil
}

// dropCopy removes the bytes at key unless they are the document's: it had
// the same ones before.
func (s *Service) dropCopy(ctx context.Context, doc corpus.Document, key string) error {
	scope, err := corpus.SystemScope(doc.Tenant)
	if err != nil {
		return err
	}
	used, err := s.deps.Catalog.BlobKey(ctx, scope, doc.ID)
	if err != nil || used == key {
		return ignoreMissing(err)
	}
	if err := s.deps.Blobs.Delete(ctx, key); err != nil {
		return ignoreMissing(fmt.Errorf("delete a superfluous copy: %w", err))
	}
	return nil
}
