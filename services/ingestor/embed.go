package ingestor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/reconcile"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/worker"
)

// chunksReady embeds and indexes one batch. Whoever finishes the last one
// makes the version live.
func (s *Service) chunksReady(ctx context.Context, d worker.Delivery[event.ChunksReady]) ([]event.Event, error) {
	ref := catalog.Ref{Tenant: d.Event.Tenant, ID: d.Data.ID, Generation: d.Data.Generation}
	batch := catalog.Batch{Number: d.Data.Batch, From: d.Data.From, To: d.Data.To}
	doc, chunks, err := s.deps.Catalog.Chunks(ctx, ref, batch)
	if errors.Is(err, catalog.ErrStale) {
		return s.announce(ctx, ref)
	}
	if err != nil {
		return nil, ignoreMissing(fmt.Errorf("read a batch of chunks: %w", err))
	}
	points, err := s.points(ctx, ref, doc, chunks)
	if err != nil {
		return s.failedOr(ctx, ref, fmt.Errorf("embed: %w", err))
	}
	if err := s.deps.Index.Upsert(ctx, indexed(doc), points); err != nil {
		return s.failedOr(ctx, ref, late(fmt.Errorf("index a batch: %w", err)))
	}
	open, err := s.deps.Catalog.FinishBatch(ctx, ref, batch.Number)
	if err != nil || open > 0 {
		return dropStale(err, "finish a batch")
	}
	return s.goLive(ctx, ref, doc)
}

// points embeds what the cache does not know.
func (s *Service) points(ctx context.Context, ref catalog.Ref, doc corpus.Document, chunks []corpus.Chunk) ([]vector.Point, error) {
	profile := s.deps.Embedder.Profile().Key()
	texts := make([]string, len(chunks))
	hashes := make([]string, len(chunks))
	for i, c := range chunks {
		texts[i] = c.EmbeddingText(doc.Title)
		hashes[i] = catalog.TextHash(texts[i])
	}
	known, err := s.deps.Vectors.Vectors(ctx, ref.Tenant, profile, hashes)
	if err != nil {
		return nil, fmt.Errorf("look for known vectors: %w", err)
	}
	missing := make([]string, 0, len(texts))
	at := make([]string, 0, len(texts))
	seen := make(map[string]bool, len(texts))
	for i, h := range hashes {
		if known[h] == nil && !seen[h] {
			seen[h] = true
			missing, at = append(missing, texts[i]), append(at, h)
		}
	}
	vectors, err := s.deps.Embedder.Embed(ctx, embed.Passage, missing)
	if err != nil {
		return nil, fmt.Errorf("embed %d texts: %w", len(missing), err)
	}
	if known == nil {
		known = make(map[string][]float32, len(vectors))
	}
	for i, v := range vectors {
		known[at[i]] = v
	}
	if err := s.deps.Vectors.PutVectors(ctx, ref, profile, known); err != nil {
		return nil, fmt.Errorf("remember vectors: %w", err)
	}
	points := make([]vector.Point, len(chunks))
	for i, c := range chunks {
		points[i] = vector.Point{Ordinal: c.Ordinal, Text: texts[i], Dense: known[hashes[i]]}
	}
	return points, nil
}

// goLive shows the new version to searches in one step, then sweeps what it
// replaces. The index leads and the catalog follows: a search that meets the
// moment between sees the new version, whole.
func (s *Service) goLive(ctx context.Context, ref catalog.Ref, doc corpus.Document) ([]event.Event, error) {
	count, err := s.deps.Index.Count(ctx, ref.Tenant, ref.ID, doc.SHA256)
	if err != nil {
		return nil, fmt.Errorf("count the points of a version: %w", err)
	}
	if count < doc.Chunks {
		return nil, fault.Transientf("index_incomplete", "the index holds %d of %d chunks", count, doc.Chunks)
	}
	if err := s.deps.Index.Activate(ctx, indexed(doc)); err != nil {
		return s.failedOr(ctx, ref, late(fmt.Errorf("make a version live: %w", err)))
	}
	if err := s.refresh(ctx, doc); err != nil {
		return nil, err
	}
	if _, err := s.deps.Catalog.GoLive(ctx, ref); err != nil && !errors.Is(err, catalog.ErrStale) {
		return nil, fmt.Errorf("record that a version is live: %w", err)
	}
	return s.announce(ctx, ref)
}

// announce sweeps what the live version replaced and tells that it is
// searchable. It is also what a repeated delivery does that comes after the
// version went live, since the first one may have died in between.
func (s *Service) announce(ctx context.Context, ref catalog.Ref) ([]event.Event, error) {
	doc, err := s.deps.Catalog.Document(ctx, ref.Tenant, ref.ID)
	if err != nil || doc.Generation != ref.Generation || doc.Status != corpus.Indexed {
		return nil, ignoreMissing(err)
	}
	if err := s.deps.Index.Sweep(ctx, indexed(doc)); err != nil {
		return s.failedOr(ctx, ref, late(fmt.Errorf("sweep old versions from the index: %w", err)))
	}
	if err := s.deps.Catalog.SweepVersions(ctx, ref); err != nil {
		return dropStale(err, "sweep old versions from the catalog")
	}
	if err := s.dropBlobs(ctx, ref); err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "indexed", "document", ref.ID, "generation", ref.Generation, "chunks", doc.Chunks)
	return []event.Event{event.New(ref.Tenant, s.now(), event.DocumentIndexed{
		ID: doc.ID, Generation: doc.Generation, Collection: doc.Collection, Version: doc.SHA256, Chunks: doc.Chunks, Pages: doc.Pages,
	})}, nil
}

// dropBlobs deletes the bytes that the document no longer needs. The record
// goes last, so that a crash in between only deletes them again.
func (s *Service) dropBlobs(ctx context.Context, ref catalog.Ref) error {
	keys, err := s.deps.Catalog.StaleBlobs(ctx, ref)
	if err != nil || len(keys) == 0 {
		_, err = dropStale(err, "list superseded bytes")
		return err
	}
	for _, key := range keys {
		if err := s.deps.Blobs.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete superseded bytes: %w", err)
		}
	}
	_, err = dropStale(s.deps.Catalog.ForgetBlobs(ctx, ref, keys), "forget superseded bytes")
	return err
}

// refresh sets acl and metadata again where they changed after doc was read:
// whoever changed them may have told the index before this version was live.
func (s *Service) refresh(ctx context.Context, doc corpus.Document) error {
	for range maxRounds {
		now, err := s.deps.Catalog.Document(ctx, doc.Tenant, doc.ID)
		if err != nil {
			return ignoreMissing(fmt.Errorf("read a document again: %w", err))
		}
		if sameAttributes(now, doc) {
			return nil
		}
		if err := s.deps.Index.SetAttributes(ctx, indexed(now)); err != nil {
			return fmt.Errorf("set a document's attributes: %w", err)
		}
		doc = now
	}
	return fault.Transientf("changing", "the document keeps changing")
}

func sameAttributes(a, b corpus.Document) bool {
	return (a.ACL == nil) == (b.ACL == nil) && slices.Equal(a.ACL, b.ACL) && maps.Equal(a.Metadata, b.Metadata)
}

// indexed is a document as the index knows it.
func indexed(doc corpus.Document) vector.Document { return reconcile.Indexed(doc) }

// late translates the index's word for late work into the catalog's.
func late(err error) error {
	if errors.Is(err, vector.ErrStale) {
		return fmt.Errorf("%w: %w", catalog.ErrStale, err)
	}
	return err
}
