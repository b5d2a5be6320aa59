// Package lease lets one of many replicas do a job that must not be done by
// two at once, as long as it lives and the broker says so.
//
// A lease is a key in a bucket of NATS whose entries end by themselves: the
// server's clock decides when a holder that is gone has gone. It is a promise
// between processes that run, and no more: one that was paused may believe in
// a lease that has passed. So every holder also takes a number, which
// whatever keeps the job's effects compares: the greatest number writes.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// ErrLost is why the context of a job ends whose lease could not be renewed.
var ErrLost = errors.New("lease: lost")

// errTaken says that somebody else has the lease.
var errTaken = errors.New("lease: held by another")

// Config says which lease. All fields but Log are required.
type Config struct {
	// Bucket is the KV bucket's name. Its TTL is how long a lease lasts that is
	// not renewed; it exists already.
	Bucket string
	// Job is the key: 1 to 128 characters of A-Z, a-z, 0-9, _ and -.
	Job string
	// Number returns a number greater than all before. It is asked once for
	// each time that the lease is taken, while it is held.
	Number func(ctx context.Context) (int64, error)
	// Log is told once when the broker or Number goes away, and once when it is back.
	Log *slog.Logger
}

// A lease is renewed renewals times before it would end, and given up a
// margin before: the margin is what the holder's next step may take.
const (
	renewals = 3
	margin   = 10 // a tenth of the TTL
	// away is the pause when the bucket cannot be asked how long a lease lasts.
	away = 5 * time.Second
)

// Lease is one replica's part in a lease. Make one with [New] and call Run once.
type Lease struct {
	cfg Config
	js  jetstream.JetStream
	// holder tells this replica from others, for whoever looks into the bucket.
	holder string
	now    func() time.Time
	// silent is set while the log was told that the lease cannot be had.
	silent bool
}

// New returns a lease that does nothing until Run.
func New(js jetstream.JetStream, cfg Config) (*Lease, error) {
	if js == nil || cfg.Bucket == "" || cfg.Number == nil {
		return nil, errors.New("lease: JetStream, a bucket and a source of numbers are needed")
	}
	if err := corpus.CheckToken("job", cfg.Job); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Lease{cfg: cfg, js: js, holder: corpus.NewID(), now: time.Now}, nil
}

// Run takes the lease whenever it can be had and runs the job under it, until
// ctx ends. The job's context ends with the lease (cause [ErrLost]); the job
// has to return then. A job that returns gives the lease back, so that
// another replica need not wait, and is run again when the lease can be had
// again. While the bucket is away there is no job. Run returns nil.
func (l *Lease) Run(ctx context.Context, job func(ctx context.Context, number int64)) error {
	for {
		ttl, err := l.once(ctx, job)
		l.tell(ctx, err)
		// At random, so that replicas do not ask all at once.
		pause := time.NewTimer(ttl/renewals + rand.N(max(ttl/renewals, 1))) //nolint:gosec // jitter is no secret
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

// tell logs that the lease cannot be had, or can again, each once.
func (l *Lease) tell(ctx context.Context, err error) {
	lost := err != nil && !errors.Is(err, errTaken)
	if ctx.Err() != nil {
		return
	}
	switch {
	case lost && !l.silent:
		l.cfg.Log.WarnContext(ctx, "the job waits: its lease cannot be had", "job", l.cfg.Job, "error", err)
	case !lost && l.silent:
		l.cfg.Log.InfoContext(ctx, "the job's lease can be had again", "job", l.cfg.Job)
	}
	l.silent = lost
}

// once takes the lease, runs the job and gives the lease back. It returns how
// long a lease lasts.
func (l *Lease) once(ctx context.Context, job func(ctx context.Context, number int64)) (ttl time.Duration, err error) {
	h, err := l.take(ctx)
	if err != nil {
		if h == nil {
			return away, err
		}
		return h.ttl, err
	}
	number, err := l.number(ctx, h)
	if err != nil {
		return h.ttl, errors.Join(err, h.giveBack(ctx))
	}
	l.tell(ctx, nil)
	working, stop := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		h.keep(working, stop)
	}()
	job(working, number)
	stop(nil)
	<-renewed
	if err := h.giveBack(ctx); err != nil && ctx.Err() == nil {
		l.cfg.Log.DebugContext(ctx, "the lease was not given back; it ends by itself", "job", l.cfg.Job, "error", err)
	}
	return h.ttl, nil
}

// take returns what is held, or an error and, when the bucket answered, how
// long a lease lasts.
func (l *Lease) take(ctx context.Context) (*held, error) {
	bucket, err := l.js.KeyValue(ctx, l.cfg.Bucket)
	if err != nil {
		return nil, fmt.Errorf("open the bucket %s: %w", l.cfg.Bucket, err)
	}
	status, err := bucket.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the bucket %s: %w", l.cfg.Bucket, err)
	}
	if status.TTL() <= 0 {
		return nil, fmt.Errorf("the bucket %s keeps its entries for ever: a lease would never end", l.cfg.Bucket)
	}
	h := &held{lease: l, bucket: bucket, ttl: status.TTL(), asked: l.now()}
	h.revision, err = bucket.Create(ctx, l.cfg.Job, []byte(l.holder))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return h, errTaken
	}
	if err != nil {
		return h, fmt.Errorf("take the lease: %w", err)
	}
	return h, nil
}

// number takes a number and makes sure that the lease is held still: whoever
// took it over has, or will have, a greater one.
func (l *Lease) number(ctx context.Context, h *held) (int64, error) {
	number, err := l.cfg.Number(ctx)
	if err != nil {
		return 0, fmt.Errorf("take a number: %w", err)
	}
	if err := h.renew(ctx); err != nil {
		return 0, err
	}
	return number, nil
}
