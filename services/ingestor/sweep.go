package ingestor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
)

// sweepLimit bounds how many documents one round re-emits.
const sweepLimit = 200

// patience is how many leases a sweep waits for a queue that is not empty: a
// document that stands in a long queue does not move either, and giving its
// work out again would only make the queue longer.
const patience = 10

// halfWritten is how old a file has to be to count as left behind by a
// process that died while it wrote; no upload takes that long.
const halfWritten = 2 * time.Hour

// sweep re-emits the work of documents that do not move: an event that was
// never published, or that the broker lost, costs time and nothing else. All
// replicas sweep; the catalog gives each stalled document to one of them.
func (s *Service) sweep(ctx context.Context) error {
	var tidied time.Time
	for {
		pause := s.cfg.SweepInterval/2 + rand.N(s.cfg.SweepInterval) //nolint:gosec // jitter is no secret
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := s.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "the sweep will be tried again", "error", err)
		}
		if now := s.now(); now.Sub(tidied) > halfWritten/2 {
			tidied = now
			if _, err := s.deps.Blobs.Tidy(ctx, now.Add(-halfWritten)); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "half-written files were not removed", "error", err)
			}
		}
	}
}

func (s *Service) sweepOnce(ctx context.Context) error {
	now := s.now()
	before := now.Add(-s.cfg.Lease)
	waiting, err := s.backlog(ctx)
	if err != nil {
		return err
	}
	if waiting > 0 {
		before = now.Add(-patience * s.cfg.Lease)
	}
	docs, err := s.deps.Catalog.Stalled(ctx, before, sweepLimit)
	if err != nil {
		return err
	}
	// Each round has ids of its own: the broker must not take them for duplicates.
	salt := strconv.FormatInt(now.UnixMicro(), 36)
	for _, doc := range docs {
		for _, e := range s.outstanding(ctx, doc) {
			if err := s.deps.Publisher.Publish(ctx, e.Resent(salt)); err != nil {
				return err
			}
		}
		s.log.InfoContext(ctx, "work re-emitted for a document that did not move", "document", doc.ID, "status", string(doc.Status))
	}
	return nil
}

// backlog returns how many deliveries wait for a free slot.
func (s *Service) backlog(ctx context.Context) (uint64, error) {
	var waiting uint64
	for _, name := range []string{broker.ConsumerIngestorExtract, broker.ConsumerIngestorEmbed} {
		c, err := s.deps.JetStream.Consumer(ctx, broker.StreamIngest, name)
		if err != nil {
			return 0, fmt.Errorf("look at the queue of %s: %w", name, err)
		}
		waiting += c.CachedInfo().NumPending
	}
	return waiting, nil
}

// outstanding returns the events that a document waits for.
func (s *Service) outstanding(ctx context.Context, doc corpus.Document) []event.Event {
	ref := catalog.Ref{Tenant: doc.Tenant, ID: doc.ID, Generation: doc.Generation}
	switch doc.Status {
	case corpus.Accepted, corpus.Extracting:
		return []event.Event{event.New(doc.Tenant, s.now(), event.DocumentUploaded{ID: doc.ID, Generation: doc.Generation})}
	case corpus.Deleting:
		return []event.Event{event.New(doc.Tenant, s.now(), event.DocumentDeleted{ID: doc.ID, Generation: doc.Generation})}
	case corpus.Embedding:
		open, err := s.deps.Catalog.OpenBatches(ctx, ref)
		if err != nil {
			s.log.WarnContext(ctx, "a stalled document's batches could not be read", "document", doc.ID, "error", err)
			return nil
		}
		if len(open) == 0 { // all are done, but the last one did not go live: any batch does it again
			open = []catalog.Batch{{From: 0, To: min(doc.Chunks, catalog.BatchSize)}}
		}
		return s.batches(ref, doc.SHA256, open)
	case corpus.Indexed, corpus.Failed, corpus.Deleted:
	}
	return nil
}
