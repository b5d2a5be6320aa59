package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// publishParallel bounds how many results of one delivery are under way at once.
const publishParallel = 16

// job is one delivery from its arrival to its settlement.
type job struct {
	w       *Worker
	msg     *nats.Msg
	info    Info
	event   event.Event
	route   route
	limits  Limits
	stored  time.Time
	started time.Time
	// again counts the runs of the handler after the first one.
	again int

	mu      sync.Mutex
	settled bool
	stuck   bool
	pulse   *time.Timer
	giveUp  time.Time
}

// deliver takes one message through its life. It returns when the slot is free again.
func (w *Worker) deliver(ctx context.Context, m *nats.Msg) {
	meta, err := readDelivered(m)
	if err != nil {
		w.log.ErrorContext(ctx, "not a delivery of a stream", slog.String("subject", m.Subject), slog.Any("error", err))
		return
	}
	j := &job{w: w, msg: m, stored: meta.storedAt, started: time.Now()}
	j.info = Info{
		Stream: w.cfg.Stream, Consumer: w.cfg.Consumer, Subject: m.Subject, Sequence: meta.sequence,
		Attempt: meta.attempt, QueueWait: max(0, j.started.Sub(meta.storedAt)),
	}
	j.limits = w.cfg.limits(route{})
	err = j.open()
	w.observer.Started(j.info)
	if err != nil {
		j.settle(ctx, err)
		return
	}
	if stopping(ctx) {
		j.settle(ctx, ErrStopping)
		return
	}
	if err := refuse(j.event, j.info.Attempt, j.limits, j.stored, j.started); err != nil {
		j.settle(ctx, err)
		return
	}
	ctx, span := j.trace(ctx)
	err = j.run(ctx)
	for j.waits(ctx, err) {
		err = j.run(ctx)
	}
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, fault.Of(err).String())
	}
	j.settle(ctx, err)
	span.End()
}

// open decodes the message and finds its route.
func (j *job) open() error {
	e, err := event.Decode(event.Message{Subject: j.msg.Subject, Header: j.msg.Header, Data: j.msg.Data})
	if err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	j.event, j.info.Kind, j.info.EventID = e, e.Kind(), e.ID
	r, ok := j.w.routes[e.Kind()]
	if !ok {
		return fault.Permanentf("unknown_kind", "nothing here handles %s", e.Kind())
	}
	j.route, j.limits = r, j.w.cfg.limits(r)
	return nil
}

// refuse returns an error when the handler must not run at all: for work
// that has killed its workers, a run is the one thing that must not happen again.
func refuse(e event.Event, attempt int, l Limits, stored, now time.Time) error {
	if attempt > l.MaxAttempts {
		return fault.Permanentf("attempts_exhausted", "the work did not succeed in %d attempts", l.MaxAttempts)
	}
	if !e.Deadline.IsZero() && !now.Before(e.Deadline) {
		return fault.Permanentf("deadline_exceeded", "the work was not begun before its deadline")
	}
	if l.MaxAge > 0 && now.Sub(stored) > l.MaxAge {
		return fault.Permanentf("too_old", "the work was not begun within %s", l.MaxAge)
	}
	return nil
}

// deadline returns when a handler that starts now must be done: at the end
// of its attempt or of the event's own time, whichever is first.
func deadline(e event.Event, l Limits, now time.Time) time.Time {
	d := now.Add(l.Timeout)
	if !e.Deadline.IsZero() && e.Deadline.Before(d) {
		return e.Deadline
	}
	return d
}

// run runs the handler once and publishes what follows.
func (j *job) run(ctx context.Context) error {
	results, err := j.execute(ctx)
	if err != nil {
		return err
	}
	return j.w.publish(ctx, results)
}

const (
	// awayMax bounds the pause before work looks again for a part that is away.
	awayMax = 2 * time.Second
	// urgentWait is how long after it was stored urgent work waits for a part:
	// as long as a restart or a failover takes.
	urgentWait = 10 * time.Second
)

// waits reports whether the handler is to run again, after it has paused: a
// part is away, and the work keeps its slot until it is back. Given back, it
// would use up its attempts, and other work would be pulled only to fail too.
func (j *job) waits(ctx context.Context, err error) bool {
	if !fault.IsAway(err) || j.abandoned() {
		return false
	}
	j.again++
	pause := min(retryDelay(j.again, j.w.cfg, drawEvenly), awayMax)
	now := time.Now()
	if j.route.urgent != nil && j.route.urgent(j.event.Data) && now.Sub(j.stored) > urgentWait {
		return false
	}
	if !j.event.Deadline.IsZero() && now.Add(pause).After(j.event.Deadline) {
		return false
	}
	if j.limits.MaxAge > 0 && now.Add(pause).Sub(j.stored) > j.limits.MaxAge {
		return false
	}
	if j.again == 1 {
		j.log(ctx, slog.LevelWarn, "waits for a part that is away", err)
	}
	j.mu.Lock()
	j.giveUp = deadline(j.event, j.limits, now.Add(pause)).Add(j.w.cfg.StuckAfter)
	j.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// abandoned reports whether the delivery was taken from its handler.
func (j *job) abandoned() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.settled
}

// attempt is the number of this run, over all deliveries as far as they are known.
func (j *job) attempt() int { return j.info.Attempt + j.again }

// execute runs the handler under its deadline, with a heartbeat.
func (j *job) execute(ctx context.Context) ([]event.Event, error) {
	until := deadline(j.event, j.limits, time.Now())
	j.startPulse(ctx, until.Add(j.w.cfg.StuckAfter))
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	d := delivery{event: j.event, attempt: j.attempt(), storedAt: j.stored, deadline: until}
	return protect(func() ([]event.Event, error) { return j.route.run(ctx, d) })
}

// publish stores the events that follow, before the delivery is acknowledged.
func (w *Worker) publish(ctx context.Context, events []event.Event) error {
	switch len(events) {
	case 0:
		return nil
	case 1:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.SettleTimeout)
		defer cancel()
		return w.publisher.Publish(ctx, events[0]) //nolint:wrapcheck // names the event
	}
	group, ctx := errgroup.WithContext(context.WithoutCancel(ctx))
	group.SetLimit(publishParallel)
	for _, e := range events {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, w.cfg.SettleTimeout)
			defer cancel()
			return w.publisher.Publish(ctx, e)
		})
	}
	return group.Wait() //nolint:wrapcheck // names the event
}

// trace continues the trace of the event: the wait in the queue as one span, the processing as another.
func (j *job) trace(ctx context.Context) (context.Context, trace.Span) {
	ctx = broker.TraceContext(ctx, j.event)
	if j.w.tracer == nil {
		return ctx, noop.Span{}
	}
	template := event.SubjectFilter(j.info.Kind)
	attributes := trace.WithAttributes(
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.destination.template", template),
		attribute.String("messaging.consumer.group.name", j.info.Consumer),
		attribute.String("messaging.message.id", j.info.EventID),
		attribute.Int("ragbus.attempt", j.info.Attempt),
	)
	_, wait := j.w.tracer.Start(ctx, "queue "+template, attributes,
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(j.stored))
	wait.End(trace.WithTimestamp(j.started))
	return j.w.tracer.Start(ctx, "process "+template, attributes, trace.WithSpanKind(trace.SpanKindConsumer), //nolint:spancheck // deliver ends it
		trace.WithTimestamp(j.started))
}

// settle reaches the verdict on err and carries it out.
func (j *job) settle(ctx context.Context, err error) {
	if !j.claim() {
		j.w.freed() // it was abandoned as stuck, and another delivery of it is under way
		return
	}
	j.finish(ctx, j.verdict(ctx, err), err)
}

func (j *job) verdict(ctx context.Context, err error) Verdict {
	return decide(outcome{
		err: err, attempt: j.info.Attempt, maxAttempts: j.limits.MaxAttempts,
		expired:  !j.event.Deadline.IsZero() && time.Now().After(j.event.Deadline),
		stopping: stopping(ctx) || errors.Is(err, ErrStopping),
	}, j.w.cfg, drawEvenly)
}

// finish carries a verdict out and reports it.
func (j *job) finish(ctx context.Context, v Verdict, err error) {
	ctx = context.WithoutCancel(ctx)
	settleErr := j.apply(ctx, v, err)
	j.report(ctx, v, err)
	if settleErr != nil {
		j.log(ctx, slog.LevelError, "the broker did not take the verdict; the message comes again", settleErr)
	}
	j.w.observer.Settled(j.info, Outcome{
		Verdict: v, Took: time.Since(j.started), Err: err, SettleErr: settleErr, Stuck: j.stuck,
	})
}

func (j *job) apply(ctx context.Context, v Verdict, err error) error {
	switch v.Action {
	case Done:
		ctx, cancel := context.WithTimeout(ctx, j.w.cfg.SettleTimeout)
		defer cancel()
		return confirm(ctx, j.w.nc, j.msg, wireAck)
	case Bury:
		return j.bury(ctx, err)
	case Retry, Later, HandBack:
		return nak(j.w.nc, j.msg, v.Delay)
	}
	return nil
}

func (j *job) report(ctx context.Context, v Verdict, err error) {
	switch v.Action {
	case Done:
	case HandBack:
		j.log(ctx, slog.LevelInfo, "handed back, the worker stops", nil)
	case Retry, Later:
		j.log(ctx, slog.LevelWarn, "will be tried again", err, slog.Duration("delay", v.Delay))
	case Bury:
		j.log(ctx, slog.LevelError, "given up", err)
	}
}

func (j *job) log(ctx context.Context, level slog.Level, message string, err error, more ...slog.Attr) {
	attrs := []slog.Attr{
		slog.String("event_id", j.info.EventID), slog.String("kind", string(j.info.Kind)),
		slog.String("consumer", j.info.Consumer), slog.Int("attempt", j.info.Attempt),
	}
	if err != nil {
		code, _ := fault.Public(err)
		attrs = append(attrs, slog.String("class", fault.Of(err).String()), slog.String("code", code), slog.Any("error", err))
		if p, ok := errors.AsType[*panicked](err); ok {
			attrs = append(attrs, slog.String("stack", p.stack))
		}
	}
	j.w.log.LogAttrs(ctx, level, message, append(attrs, more...)...) //nolint:sloglint // the callers' messages are constant
}
