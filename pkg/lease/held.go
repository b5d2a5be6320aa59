package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// held is a lease that was taken.
type held struct {
	lease  *Lease
	bucket jetstream.KeyValue
	ttl    time.Duration
	// revision is that of the entry; it changes with each renewal.
	revision uint64
	// asked is when the last renewal that succeeded was sent: the entry is not older.
	asked time.Time
}

// renew writes the entry again if it still is the one that was written last.
func (h *held) renew(ctx context.Context) error {
	asked := h.lease.now()
	revision, err := h.bucket.Update(ctx, h.lease.cfg.Job, []byte(h.lease.holder), h.revision)
	if err != nil {
		return fmt.Errorf("renew the lease: %w", err)
	}
	h.revision, h.asked = revision, asked
	return nil
}

// left returns how long the lease may be relied on.
func (h *held) left() time.Duration { return h.asked.Add(h.ttl - h.ttl/margin).Sub(h.lease.now()) }

// keep renews until ctx ends, and ends it when the lease cannot be relied on
// any more. A renewal that fails is tried again while there is time, unless
// the entry is somebody else's.
func (h *held) keep(ctx context.Context, stop context.CancelCauseFunc) {
	for {
		pause := time.NewTimer(min(h.ttl/renewals, max(h.left(), 0)))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		left := h.left()
		if left <= 0 {
			stop(ErrLost)
			return
		}
		bounded, cancel := context.WithTimeout(ctx, min(left, h.ttl/renewals))
		err := h.renew(bounded)
		cancel()
		if foreign(err) {
			stop(fmt.Errorf("%w: %w", ErrLost, err))
			return
		}
	}
}

// foreign reports whether an entry was changed, or ended, since it was written.
func foreign(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
	}
	return false
}

// giveBack removes the entry if it still is the one that was written last. It
// outlives ctx, so that a process that stops lets others go on at once.
func (h *held) giveBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.ttl/renewals)
	defer cancel()
	if err := h.bucket.Delete(ctx, h.lease.cfg.Job, jetstream.LastRevision(h.revision)); err != nil {
		return fmt.Errorf("give the lease back: %w", err)
	}
	return nil
}
