package ingestor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/lease"
	"github.com/ragbus/ragbus/pkg/reconcile"
)

// Bounds of one round.
const (
	// sweepLimit is how many documents it re-emits, emitLimit how many events
	// about: a document of a thousand batches is one document.
	sweepLimit = 200
	emitLimit  = 2000
	// claimAtOnce is how many documents are claimed before their events go out.
	claimAtOnce = 20
	// forgetAtOnce keys of uploads are forgotten in one step, so that the writes
	// of others get in between, and forgetSteps times that in a round: more than
	// the uploads that come meanwhile.
	forgetAtOnce = 500
	forgetSteps  = 20
	// sweepTime bounds a round, so that a part that hangs does not keep the
	// next one from another part.
	sweepTime = 5 * time.Minute
)

// patience is how many leases a sweep waits for a queue that is not empty: a
// document that stands in a long queue does not move either, and giving its
// work out again would only make the queue longer.
const patience = 10

// halfWritten is how old a file has to be to count as left behind by a
// process that died while it wrote; no upload takes that long.
const halfWritten = 2 * time.Hour

// sweepJob is the lease's key.
const sweepJob = "sweep"

// newSweep returns the lease under which one replica sweeps.
func (s *Service) newSweep() (*lease.Lease, error) {
	return lease.New(s.deps.JetStream, lease.Config{ //nolint:wrapcheck // says what
		Bucket: broker.BucketLeases, Job: sweepJob, Log: s.log,
		Number: func(ctx context.Context) (int64, error) {
			fence, err := s.deps.Record.TakeFence(ctx)
			return int64(fence), err
		},
	})
}

// sweep puts right what was interrupted: an event that was never published, or
// that the broker lost, a process that was killed between two steps, a store
// that was restored, cost time and nothing else. Of all replicas one sweeps.
func (s *Service) sweep(ctx context.Context) error {
	return s.lease.Run(ctx, func(ctx context.Context, number int64) { //nolint:wrapcheck // nil
		s.log.InfoContext(ctx, "this replica sweeps", "fence", number)
		s.sweepUnder(ctx, catalog.Fence(number))
	})
}

// sweepUnder sweeps until the lease ends or its fence is refused.
func (s *Service) sweepUnder(ctx context.Context, fence catalog.Fence) {
	w := s.newWalks(fence)
	var tidied time.Time
	for {
		pause := time.NewTimer(s.cfg.SweepInterval/2 + rand.N(s.cfg.SweepInterval)) //nolint:gosec // jitter is no secret
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		err := s.round(ctx, fence, w)
		if errors.Is(err, catalog.ErrFenced) {
			s.log.WarnContext(ctx, "another replica has taken over the sweep", "fence", int64(fence))
			return
		}
		if err != nil && ctx.Err() == nil {
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

// round does a bounded part of all that a sweep does.
func (s *Service) round(ctx context.Context, fence catalog.Fence, w *walks) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	return errors.Join(s.emitStalled(ctx, fence), s.emitChanges(ctx, fence), s.forgetUploads(ctx, fence), w.step(ctx), s.freeStranded(ctx))
}

// freeStranded frees what the queues of all services hold and nobody would get.
func (s *Service) freeStranded(ctx context.Context) error {
	var problems []error
	for _, queue := range s.stranded {
		_, err := queue.Look(ctx, s.now())
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// emitStalled gives the work of documents out again that do not move.
func (s *Service) emitStalled(ctx context.Context, fence catalog.Fence) error {
	now := s.now()
	before := now.Add(-s.cfg.Lease)
	waiting, err := s.backlog(ctx)
	if err != nil {
		return err
	}
	if waiting > 0 {
		before = now.Add(-patience * s.cfg.Lease)
	}
	// Each round has ids of its own: the broker must not take them for duplicates.
	salt := strconv.FormatInt(now.UnixMicro(), 36)
	emitted := 0
	for claimed := 0; claimed < sweepLimit && emitted < emitLimit; claimed += claimAtOnce {
		docs, err := s.deps.Record.Claim(ctx, fence, before, claimAtOnce)
		if err != nil {
			return fmt.Errorf("claim documents that do not move: %w", err)
		}
		for _, doc := range docs {
			events, err := s.checker.Outstanding(ctx, doc)
			if err != nil {
				return fmt.Errorf("look what a document waits for: %w", err)
			}
			for _, e := range events {
				if err := s.deps.Publisher.Publish(ctx, e.Resent(salt)); err != nil {
					return fmt.Errorf("give work out again: %w", err)
				}
			}
			emitted += len(events)
			s.log.InfoContext(ctx, "work re-emitted for a document that did not move", "document", doc.ID, "status", string(doc.Status), "events", len(events))
		}
		if len(docs) < claimAtOnce {
			return nil
		}
	}
	return nil
}

// emitChanges tells the index again of changes that it has not confirmed.
func (s *Service) emitChanges(ctx context.Context, fence catalog.Fence) error {
	now := s.now()
	changes, err := s.deps.Record.Unconfirmed(ctx, fence, now.Add(-s.cfg.Lease), sweepLimit)
	if err != nil {
		return fmt.Errorf("list unconfirmed changes: %w", err)
	}
	salt := strconv.FormatInt(now.UnixMicro(), 36)
	for _, c := range changes {
		e := event.New(c.Tenant, now, event.DocumentChanged{ID: c.ID, Revision: c.Revision})
		if err := s.deps.Publisher.Publish(ctx, e.Resent(salt)); err != nil {
			return fmt.Errorf("tell of a change again: %w", err)
		}
		s.log.InfoContext(ctx, "a change that the index has not confirmed was re-emitted", "document", c.ID)
	}
	return nil
}

// forgetUploads forgets the keys of uploads that nobody repeats any more.
func (s *Service) forgetUploads(ctx context.Context, fence catalog.Fence) error {
	before := s.now().Add(-catalog.RepeatableFor)
	for range forgetSteps {
		n, err := s.deps.Record.ForgetUploads(ctx, fence, before, forgetAtOnce)
		if err != nil {
			return fmt.Errorf("forget old uploads: %w", err)
		}
		if n < forgetAtOnce {
			break
		}
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

// newChecker returns what compares the record with the stores and mends at once.
func (s *Service) newChecker() *reconcile.Checker {
	return reconcile.New(reconcile.Config{
		Repair: true, Settling: s.cfg.Lease,
		// What does not move is claimed, behind the fence.
		Stuck: never, Grace: min(s.cfg.OrphanGrace, halfWritten), Now: func() time.Time { return s.now() },
	}, reconcile.Parts{Record: s.deps.Record, Blobs: s.deps.Blobs, Index: s.deps.Index, Publish: s.deps.Publisher.Publish, Log: s.log})
}

const never = 1<<63 - 1
