package ingestor

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/deadletter"
	"github.com/ragbus/ragbus/pkg/reconcile"
)

const (
	// settling is how long after its last change a document is left alone:
	// longer than an ingestor's steps between the record and the index take.
	settling = time.Minute
	// stuckLeases is after how many leases a document counts as stuck: the
	// sweeper has then given its work out again, and in vain.
	stuckLeases = 3
)

// Comparison is how everything is compared.
type Comparison struct {
	// Repair mends what differs.
	Repair bool
	// Settling is how long after its last change a document is left alone; 0 means a minute.
	Settling time.Duration
}

// Compare compares the record with the bytes, the index, the queue and the
// dead letters, now and once, beside ingestors that go on or without any. It
// is what `ragbus verify` does; of deps it needs Log, JetStream, Record, Index
// and, to compare bytes too, Blobs.
func Compare(ctx context.Context, cfg Config, deps Deps, how Comparison) (reconcile.Report, error) {
	cfg = cfg.WithDefaults()
	queue, err := deps.JetStream.Stream(ctx, broker.StreamIngest)
	if err != nil {
		return reconcile.Report{}, fmt.Errorf("RAGBUS_NATS_URL: find the ingestion queue: %w", err)
	}
	checker := reconcile.New(reconcile.Config{
		Repair: how.Repair, Settling: cmp.Or(how.Settling, settling), Stuck: stuckLeases * cfg.Lease, Grace: cfg.OrphanGrace,
	}, reconcile.Parts{
		Record: deps.Record, Blobs: deps.Blobs, Index: deps.Index, Publish: broker.NewPublisher(deps.JetStream).Publish,
		Letters: deadletter.NewStore(deps.JetStream), Log: deps.Log,
	})
	return checker.All(ctx, queue)
}
