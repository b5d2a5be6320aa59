package worker

import (
	"context"
	"time"

	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Trial is what became of one delivery that no broker knows of.
type Trial struct {
	// Events are what would be published; those of the burial hook included.
	Events []event.Event
	Err    error
	// Verdict is what would be done with the delivery.
	Verdict Verdict
	// Burial is set when it would be buried; HookErr is what the hook returned.
	Burial  *Burial
	HookErr error
}

// Try runs a route's handler on one event exactly as a worker would, encoding
// and decoding included, and settles nothing. attempt counts from 1. It is
// for tests and tools; see package workertest.
func Try(ctx context.Context, r Route, e event.Event, cfg Config, attempt int) Trial {
	cfg = cfg.WithDefaults()
	erased := r.erase()
	limits := cfg.limits(erased)
	now := time.Now()
	d := delivery{event: e, attempt: attempt, storedAt: now}
	results, err := tryRun(ctx, erased, &d, limits)
	v := decide(outcome{
		err: err, attempt: attempt, maxAttempts: limits.MaxAttempts, stopping: err != nil && stopping(ctx),
		expired: !e.Deadline.IsZero() && time.Now().After(e.Deadline),
	}, cfg, drawEvenly)
	t := Trial{Err: err, Verdict: v}
	if err == nil {
		t.Events = results
	}
	if v.Action != Bury {
		return t
	}
	code, message := fault.Public(err)
	t.Burial = &Burial{Class: fault.Of(err), Code: code, Message: message, Attempts: attempt, Err: err}
	if erased.buried != nil && d.event.Data != nil {
		hook, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.SettleTimeout)
		defer cancel()
		t.Events, t.HookErr = protect(func() ([]event.Event, error) { return erased.buried(hook, d, *t.Burial) })
	}
	return t
}

func tryRun(ctx context.Context, r route, d *delivery, limits Limits) ([]event.Event, error) {
	m, err := event.Encode(d.event)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what is wrong
	}
	if d.event, err = event.Decode(m); err != nil {
		return nil, err //nolint:wrapcheck // says what is wrong
	}
	if d.event.Kind() != r.kind {
		return nil, fault.Permanentf("unknown_kind", "nothing here handles %s", d.event.Kind())
	}
	if err := refuse(d.event, d.attempt, limits, d.storedAt, d.storedAt); err != nil {
		return nil, err
	}
	d.deadline = deadline(d.event, limits, d.storedAt)
	ctx, cancel := context.WithDeadline(ctx, d.deadline)
	defer cancel()
	return protect(func() ([]event.Event, error) { return r.run(ctx, *d) })
}
