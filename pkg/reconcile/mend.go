package reconcile

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/vector"
)

// RefOf names the generation of a document that is at hand.
func RefOf(doc corpus.Document) catalog.Ref {
	return catalog.Ref{Tenant: doc.Tenant, ID: doc.ID, Generation: doc.Generation}
}

// Indexed is a document as the index knows it.
func Indexed(doc corpus.Document) vector.Document {
	return vector.Document{
		Tenant: doc.Tenant, Collection: doc.Collection, ID: doc.ID, Version: doc.SHA256, Generation: doc.Generation,
		ACL: doc.ACL, Metadata: doc.Metadata,
	}
}

// Outstanding returns the events that a document waits for, none for a
// settled one. When all batches of a document are done and points are missing
// nevertheless, the record opens them all again, in another generation.
func (c *Checker) Outstanding(ctx context.Context, doc corpus.Document) ([]event.Event, error) {
	switch doc.Status {
	case corpus.Accepted, corpus.Extracting:
		return []event.Event{event.New(doc.Tenant, c.now(), event.DocumentUploaded{ID: doc.ID, Generation: doc.Generation})}, nil
	case corpus.Deleting:
		return []event.Event{event.New(doc.Tenant, c.now(), event.DocumentDeleted{ID: doc.ID, Generation: doc.Generation})}, nil
	case corpus.Embedding:
	case corpus.Indexed, corpus.Failed, corpus.Deleted:
		return nil, nil
	}
	open, err := c.parts.Record.OpenBatches(ctx, RefOf(doc))
	if err != nil {
		return nil, ignoreStale(err)
	}
	if len(open) > 0 {
		return batches(doc, c.now(), open), nil
	}
	count, err := c.parts.Index.Count(ctx, doc.Tenant, doc.ID, doc.SHA256)
	if err != nil {
		return nil, fmt.Errorf("count the points of a version: %w", err)
	}
	if count >= doc.Chunks { // the last batch did not make it live: any does it again
		return batches(doc, c.now(), []catalog.Batch{{From: 0, To: min(doc.Chunks, catalog.BatchSize)}}), nil
	}
	again, err := c.parts.Record.Reopen(ctx, RefOf(doc), 0)
	if err != nil {
		return nil, ignoreStale(err)
	}
	c.parts.Log.WarnContext(ctx, "points of finished batches are missing; the document is indexed again",
		"document", doc.ID, "points", count, "chunks", doc.Chunks)
	return c.first(ctx, again)
}

// first returns the events of a generation that was just opened.
func (c *Checker) first(ctx context.Context, doc corpus.Document) ([]event.Event, error) {
	if doc.Status != corpus.Embedding {
		return c.Outstanding(ctx, doc)
	}
	open, err := c.parts.Record.OpenBatches(ctx, RefOf(doc))
	return batches(doc, c.now(), open), ignoreStale(err)
}

func batches(doc corpus.Document, now time.Time, open []catalog.Batch) []event.Event {
	events := make([]event.Event, 0, len(open))
	for _, b := range open {
		events = append(events, event.New(doc.Tenant, now, event.ChunksReady{
			ID: doc.ID, Generation: doc.Generation, Version: doc.SHA256, Batch: b.Number, From: b.From, To: b.To,
		}))
	}
	return events
}

// emit gives a document's outstanding work out again and returns how many events that were.
func (c *Checker) emit(ctx context.Context, doc corpus.Document) (int, error) {
	events, err := c.Outstanding(ctx, doc)
	if err != nil {
		return 0, err
	}
	return len(events), c.publish(ctx, events)
}

// publish emits events as new ones: the broker must not take them for duplicates.
func (c *Checker) publish(ctx context.Context, events []event.Event) error {
	if c.parts.Publish == nil {
		return nil
	}
	salt := strconv.FormatInt(c.now().UnixMicro(), 36)
	for _, e := range events {
		if err := c.parts.Publish(ctx, e.Resent(salt)); err != nil {
			return fmt.Errorf("give work out: %w", err)
		}
	}
	return nil
}

// began says what was begun; without a queue the sweeper goes on with it.
func (c *Checker) began(events int, what string) string {
	if c.parts.Publish == nil {
		return what + ", as soon as an ingestor sweeps"
	}
	return fmt.Sprintf("%s (%d events)", what, events)
}

// reopen has a document indexed, or deleted, again.
func (c *Checker) reopen(ctx context.Context, f *finding) (string, error) {
	again, err := c.parts.Record.Reopen(ctx, RefOf(f.doc), max(f.state.Generation, f.state.Deleted))
	if err != nil {
		return "", err //nolint:wrapcheck // reported as it is
	}
	events, err := c.first(ctx, again)
	if err != nil {
		return "", err
	}
	// Should it fail, the sweeper finds the document: it is not settled.
	if err := c.publish(ctx, events); err != nil {
		return "", err
	}
	what := map[corpus.Status]string{
		corpus.Embedding: "it is indexed again from its stored texts", corpus.Accepted: "it is extracted and indexed again", corpus.Deleting: "it is deleted again",
	}[again.Status]
	return c.began(len(events), what), nil
}

// Overtaken has a document's work done again in a generation that the index
// takes, when the index has seen a later one than the record has: after the
// record was restored from a backup. Pass the generation that the index
// refused, and return the events. It does nothing when the record has moved on.
func (c *Checker) Overtaken(ctx context.Context, ref catalog.Ref) ([]event.Event, error) {
	doc, err := c.parts.Record.Document(ctx, ref.Tenant, ref.ID)
	if err != nil || doc.Generation != ref.Generation || doc.Status == corpus.Failed {
		return nil, err //nolint:wrapcheck // the caller wraps
	}
	state, err := c.parts.Index.Inspect(ctx, ref.Tenant, ref.ID)
	if err != nil {
		return nil, fmt.Errorf("inspect the index: %w", err)
	}
	newest := max(state.Generation, state.Deleted)
	gone := doc.Status == corpus.Deleting || doc.Status == corpus.Deleted
	if newest < ref.Generation || newest == ref.Generation && (gone || state.Deleted < newest) {
		return nil, nil
	}
	again, err := c.parts.Record.Reopen(ctx, ref, newest)
	if err != nil {
		return nil, ignoreStale(err)
	}
	c.parts.Log.WarnContext(ctx, "the index has seen a later generation than the record: the work is done again",
		"document", ref.ID, "generation", ref.Generation, "index", newest)
	return c.first(ctx, again)
}

// attributeRounds bounds how often setAttributes follows a row that changes meanwhile.
const attributeRounds = 5

// setAttributes brings acl and metadata to the index. It reads the row again
// afterwards: of two changes at once the later one must stay.
func (c *Checker) setAttributes(ctx context.Context, doc corpus.Document) error {
	for range attributeRounds {
		if err := c.parts.Index.SetAttributes(ctx, Indexed(doc)); err != nil {
			return err //nolint:wrapcheck // reported as it is
		}
		now, err := c.parts.Record.Document(ctx, doc.Tenant, doc.ID)
		if err != nil {
			return err //nolint:wrapcheck // reported as it is
		}
		if now.UpdatedAt.Equal(doc.UpdatedAt) {
			return nil
		}
		doc = now
	}
	return nil // whoever changes it so often tells the index too
}
