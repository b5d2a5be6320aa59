package outbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// together decides with the other replicas and reports whether it could. It
// may be that it could and others were faster: then nothing is granted.
func (p *Pacer) together(ctx context.Context, now time.Time, asks []*ask, repairs []correction) bool {
	if p.deps.Bucket == nil {
		p.decide(&p.shared, false, now, asks, repairs)
		return true
	}
	if now.Before(p.awayUntil) {
		return false
	}
	if p.apart {
		p.carefulUntil = now.Add((minute + 1) * time.Second)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*opTimeout)
	defer cancel()
	err := p.exchange(ctx, now, asks, repairs)
	switch {
	case err == nil:
		if p.apart {
			p.deps.Log.InfoContext(ctx, "the pacer's bucket is back")
		}
		p.apart = false
		p.alone.Set(0)
	case errors.Is(err, errContended):
		p.mu.Lock()
		p.repair = append(repairs, p.repair...)
		p.mu.Unlock()
		for _, a := range asks {
			a.granted, a.wait = false, contended
		}
	default:
		if !p.apart {
			p.deps.Log.WarnContext(ctx, "the pacer's bucket is away; keeping to a part of the limit", slog.Any("error", err))
		}
		p.alone.Set(1)
		p.bucket, p.known, p.apart, p.awayUntil = nil, false, true, now.Add(awayFor)
		return false
	}
	return true
}

// errContended says that other replicas changed the value before us each time.
var errContended = errors.New("the pacer's value changed each time")

// exchange reads, decides and writes until a write meets what was read.
func (p *Pacer) exchange(ctx context.Context, now time.Time, asks []*ask, repairs []correction) error {
	if p.bucket == nil {
		bucket, err := p.deps.Bucket(ctx)
		if err != nil {
			return fmt.Errorf("open the bucket: %w", err)
		}
		p.bucket = bucket
	}
	for range casAttempts {
		fresh := false
		if !p.known {
			if err := p.read(ctx); err != nil {
				return err
			}
			fresh = true
		}
		next := p.shared.clone()
		all, changed := p.decide(&next, now.Before(p.carefulUntil), now, asks, repairs)
		if !all && !fresh {
			// What we remember may be too full: others have given back meanwhile.
			p.known = false
			continue
		}
		if !changed {
			return nil
		}
		p.note(&next, next.advance(now.Unix()))
		conflict, err := p.write(ctx, next)
		if err != nil {
			return err
		}
		if !conflict {
			p.shared, p.known = next, true
			return nil
		}
		p.known = false
	}
	return errContended
}

func (p *Pacer) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	p.shared, p.rev = state{}, 0
	entry, err := p.bucket.Get(ctx, p.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the pacer's value: %w", err)
	}
	p.rev = entry.Revision()
	if err := json.Unmarshal(entry.Value(), &p.shared); err != nil || !p.shared.sound() {
		// Nothing good comes of stopping all work for a value that nobody can read.
		p.deps.Log.WarnContext(ctx, "the pacer's value cannot be read; starting over", slog.Any("error", err))
		p.shared = state{}
	}
	return nil
}

// write stores the value and reports whether somebody else was faster.
func (p *Pacer) write(ctx context.Context, next state) (conflict bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	value, err := json.Marshal(next)
	if err != nil {
		return false, fmt.Errorf("encode the pacer's value: %w", err)
	}
	var rev uint64
	if p.rev == 0 {
		rev, err = p.bucket.Create(ctx, p.key, value)
	} else {
		rev, err = p.bucket.Update(ctx, p.key, value, p.rev)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || wrongRevision(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("write the pacer's value: %w", err)
	}
	p.rev = rev
	return false, nil
}

func wrongRevision(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
