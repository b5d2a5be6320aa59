package ingestor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/services/ingestor/internal/chunk"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract"
)

// chunksAtOnce is how many chunks one catalog write stores.
const chunksAtOnce = 256

// uploaded turns a document's bytes into chunks and fans them out into embed
// jobs. A document that cannot be read is not a failure of this work but its
// result: the document becomes failed, with the reason.
func (s *Service) uploaded(ctx context.Context, d worker.Delivery[event.DocumentUploaded]) ([]event.Event, error) {
	ref := catalog.Ref{Tenant: d.Event.Tenant, ID: d.Data.ID, Generation: d.Data.Generation}
	if ref.Generation == 0 {
		adopted, follow, err := s.adopt(ctx, d.Event, d.Data)
		if err != nil || adopted.Generation == 0 {
			return follow, err
		}
		ref = adopted
		// What pipelines send is in the queue whatever the window is.
		turn := catalog.Turn{Tenant: ref.Tenant, ID: ref.ID, Step: catalog.Extract, Number: ref.Generation}
		if yields, err := s.window.Yields(ctx, turn); err != nil || yields {
			return follow, err //nolint:wrapcheck // says what
		}
	}
	doc, blobKey, err := s.deps.Catalog.Begin(ctx, ref)
	if errors.Is(err, catalog.ErrStale) {
		return s.resume(ctx, ref)
	}
	if err != nil {
		return nil, fmt.Errorf("begin a document: %w", err)
	}
	x, err := s.extract(ctx, ref, doc, blobKey)
	if err != nil {
		return s.failedOr(ctx, ref, err)
	}
	_, open, err := s.deps.Catalog.Extracted(ctx, ref, x)
	if err != nil {
		return dropStale(err, "store an extraction")
	}
	return s.batches(ref, doc.SHA256, open), nil
}

// resume answers a repeated upload event: when the first delivery got as far
// as the embed jobs but not to publishing them, they follow now.
func (s *Service) resume(ctx context.Context, ref catalog.Ref) ([]event.Event, error) {
	doc, err := s.deps.Catalog.Document(ctx, ref.Tenant, ref.ID)
	if err != nil || doc.Generation != ref.Generation || doc.Status != corpus.Embedding {
		return nil, ignoreMissing(err)
	}
	open, err := s.deps.Catalog.OpenBatches(ctx, ref)
	if err != nil {
		return dropStale(err, "list open batches")
	}
	return s.batches(ref, doc.SHA256, open), nil
}

// batches returns a window of a document's open batches, and the first of the
// others: it stands in line for all that follow.
func (s *Service) batches(ref catalog.Ref, version string, open []catalog.Batch) []event.Event {
	open = open[:min(len(open), s.window.Size(catalog.Embed)+1)]
	events := make([]event.Event, 0, len(open))
	for _, b := range open {
		events = append(events, event.New(ref.Tenant, s.now(), event.ChunksReady{
			ID: ref.ID, Generation: ref.Generation, Version: version, Batch: b.Number, From: b.From, To: b.To,
		}))
	}
	return events
}

// extract stores the chunks of a document while its pages come in.
func (s *Service) extract(ctx context.Context, ref catalog.Ref, doc corpus.Document, blobKey string) (catalog.Extraction, error) {
	started := time.Now()
	file, err := s.fetch(ctx, doc, blobKey)
	if err != nil {
		return catalog.Extraction{}, err
	}
	defer s.discard(ctx, file)

	chunker := chunk.New(corpus.ChunkRef{Tenant: ref.Tenant, Document: ref.ID, Version: doc.SHA256})
	pending := make([]corpus.Chunk, 0, chunksAtOnce)
	count := 0
	flush := func() error {
		if len(pending) == 0 {
			return nil
		}
		err := s.deps.Catalog.PutChunks(ctx, ref, pending)
		count += len(pending)
		pending = pending[:0]
		return err
	}
	source := extract.Source{File: file, MediaType: doc.MediaType, Filename: doc.Filename, Tenant: ref.Tenant}
	summary, err := s.extractor.Extract(ctx, source, func(p extract.Page) error {
		return chunker.Add(p, func(c corpus.Chunk) error {
			if pending = append(pending, c); len(pending) < chunksAtOnce {
				return nil
			}
			return flush()
		})
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return catalog.Extraction{}, fmt.Errorf("extract: %w", err)
	}
	if count == 0 {
		return catalog.Extraction{}, fault.Permanentf("no_text", "the document has no text that can be searched")
	}
	s.log.InfoContext(ctx, "extracted", "document", ref.ID, "media_type", summary.MediaType, "pages", summary.Pages,
		"chunks", count, "bytes", doc.Bytes, "seconds", time.Since(started).Seconds())
	title := summary.Title
	if title == "" {
		title = strings.TrimSuffix(doc.Filename, path.Ext(doc.Filename))
	}
	return catalog.Extraction{
		MediaType: summary.MediaType, Title: title, Chunks: count, Pages: summary.Pages, Warnings: summary.Warnings,
	}, nil
}

// fetch copies a document to a temporary file, since its readers need random
// access, and makes sure that it is what was accepted.
func (s *Service) fetch(ctx context.Context, doc corpus.Document, blobKey string) (*os.File, error) {
	r, _, err := s.deps.Blobs.Get(ctx, blobKey)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return nil, fault.Permanentf("bytes_missing", "the document's bytes are gone; upload it again").WithCause(err)
		}
		return nil, fmt.Errorf("open the document's bytes: %w", err)
	}
	defer func() { _ = r.Close() }()
	file, err := os.CreateTemp(s.cfg.TempDir, "ragbus-document-*")
	if err != nil {
		return nil, fmt.Errorf("make room for the document: %w", err)
	}
	// Without a name from the start, where the system allows it: a process
	// that is killed leaves no document behind.
	if err := os.Remove(file.Name()); err != nil {
		s.log.DebugContext(ctx, "a temporary file keeps its name while it is open")
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(file, sum), r); err != nil {
		s.discard(ctx, file)
		return nil, fmt.Errorf("copy the document's bytes: %w", err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != doc.SHA256 {
		s.discard(ctx, file)
		return nil, fault.Permanentf("bytes_changed", "the stored bytes are not those that were uploaded; upload the document again")
	}
	return file, nil
}

func (s *Service) discard(ctx context.Context, file *os.File) {
	err := file.Close()
	if gone := os.Remove(file.Name()); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	if err != nil {
		s.log.WarnContext(ctx, "a temporary file stays behind", "error", err)
	}
}

// failedOr settles a document whose content is at fault, and returns every
// other error to be tried again.
func (s *Service) failedOr(ctx context.Context, ref catalog.Ref, err error) ([]event.Event, error) {
	switch {
	case errors.Is(err, vector.ErrStale):
		return s.overtaken(ctx, ref)
	case errors.Is(err, catalog.ErrStale):
		return nil, nil
	case fault.Is(err, fault.Permanent), fault.Is(err, fault.Invalid):
		return s.fail(ctx, ref, err, false)
	}
	return nil, err
}

// overtaken ends work that the index refuses as late: in silence when it is,
// and in a later generation when it is the record that lags, having been
// restored from a backup.
func (s *Service) overtaken(ctx context.Context, ref catalog.Ref) ([]event.Event, error) {
	again, err := s.checker.Overtaken(ctx, ref)
	if err != nil {
		return nil, ignoreMissing(fmt.Errorf("compare the record with the index: %w", err))
	}
	return again, nil
}

// fail marks a document failed and returns the fact.
func (s *Service) fail(ctx context.Context, ref catalog.Ref, cause error, retryable bool) ([]event.Event, error) {
	code, message := fault.Public(cause)
	doc, err := s.deps.Catalog.Fail(ctx, ref, corpus.Failure{Code: code, Message: message, Retryable: retryable})
	if err != nil {
		return dropStale(err, "mark a document failed")
	}
	s.log.WarnContext(ctx, "a document failed", "document", ref.ID, "code", code, "retryable", retryable, "error", cause)
	return []event.Event{event.New(ref.Tenant, s.now(), event.DocumentFailed{
		ID: ref.ID, Generation: ref.Generation, Collection: doc.Collection, Error: *doc.Failure,
	})}, nil
}

// dropStale ends late work in silence: whoever made it late has taken over.
func dropStale(err error, doing string) ([]event.Event, error) {
	if err == nil || errors.Is(err, catalog.ErrStale) {
		return nil, nil
	}
	return nil, ignoreMissing(fmt.Errorf("%s: %w", doing, err))
}

// ignoreMissing forgives work on a document that is not in the catalog:
// nothing was accepted, so nothing can be lost.
func ignoreMissing(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
