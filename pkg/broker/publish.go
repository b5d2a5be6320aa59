package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// publishTimeout bounds one publication, its retries while a leader is elected included.
const publishTimeout = 5 * time.Second

// queueFullPause is what a publisher is told to wait before it tries a full queue again.
const queueFullPause = time.Second

// ErrSubjectFull is in the chain of a "queue_full" fault when it is the bound of
// one subject that was reached: one tenant's work of one kind. Others may have room.
var ErrSubjectFull = errors.New("broker: the queue of this subject is full")

// subjectFull is how the server tells the bound of a subject from that of the
// stream: both have the code of a failed store.
const subjectFull = "maximum messages per subject exceeded"

// Error codes of the JetStream API that mean: no room now.
const (
	codeInsufficientResources = 10023
	codeMemoryExceeded        = 10028
	codeStorageExceeded       = 10047
	codeStoreFailed           = 10077
)

// Receipt is what the broker says about a message that it stored.
type Receipt struct {
	Stream   string
	Sequence uint64
	// Duplicate says that the same event had been stored before; nothing was added.
	Duplicate bool
}

// Publisher publishes events and waits until they are stored. It is safe for concurrent use.
type Publisher struct {
	js jetstream.JetStream
}

// NewPublisher returns a publisher on a JetStream context.
func NewPublisher(js jetstream.JetStream) *Publisher { return &Publisher{js: js} }

// Publish is [Publisher.Send] without the receipt.
func (p *Publisher) Publish(ctx context.Context, e event.Event) error {
	_, err := p.Send(ctx, e)
	return err
}

// Send stores an event: encoded, with its id as the message id, with the
// trace context of ctx unless it carries one, and, for work with a deadline,
// with what is left of it as the time after which the broker drops it. It
// returns when the broker has it, after at most 5 s.
//
// The same event twice is a success. A full queue is a Throttled fault
// "queue_full", around [ErrSubjectFull] when it is the tenant's; a broker that cannot be reached or has no stream for the
// subject is Transient "broker_unavailable"; an event that is too large or
// past its deadline is Permanent.
func (p *Publisher) Send(ctx context.Context, e event.Event) (Receipt, error) {
	if e.Traceparent == "" {
		injectTrace(ctx, &e)
	}
	m, err := event.Encode(e)
	if err != nil {
		return Receipt{}, err //nolint:wrapcheck // says what and which
	}
	header := nats.Header(m.Header)
	if ttl, expires, err := timeToLive(e, time.Now()); err != nil {
		return Receipt{}, err
	} else if expires {
		header[event.HeaderTTL] = []string{strconv.Itoa(int(ttl/time.Second)) + "s"}
	}
	receipt, err := p.Store(ctx, &nats.Msg{Subject: m.Subject, Header: header, Data: m.Data})
	if err != nil {
		return Receipt{}, fmt.Errorf("publish %s: %w", e.Kind(), err)
	}
	return receipt, nil
}

// Store publishes a message as it is, for what is no event of the contract.
// Waiting and faults are as [Publisher.Send] has them.
func (p *Publisher) Store(ctx context.Context, m *nats.Msg) (Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	ack, err := p.js.PublishMsg(ctx, m)
	if err != nil {
		return Receipt{}, classify(err)
	}
	return Receipt{Stream: ack.Stream, Sequence: ack.Sequence, Duplicate: ack.Duplicate}, nil
}

// timeToLive returns what is left of the deadline of work, in whole seconds
// and at least one, the broker's smallest. Facts are kept whatever the
// deadline of the work was that led to them.
func timeToLive(e event.Event, now time.Time) (ttl time.Duration, expires bool, err error) {
	if e.Deadline.IsZero() {
		return 0, false, nil
	}
	switch e.Kind() {
	case event.KindDocumentIndexed, event.KindDocumentFailed, event.KindDocumentRemoved, event.KindChatAnswered:
		return 0, false, nil
	case event.KindChatAsked, event.KindChatRetrieved, event.KindChunksReady,
		event.KindDocumentUploaded, event.KindDocumentDeleted, event.KindDocumentChanged:
	}
	left := e.Deadline.Sub(now)
	if left <= 0 {
		return 0, false, fault.Permanentf("deadline_exceeded", "the work was not begun before its deadline")
	}
	return (left + time.Second - 1).Truncate(time.Second), true, nil
}

// classify turns what the client or the server said into a fault.
func classify(err error) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		full := []jetstream.ErrorCode{codeStoreFailed, codeInsufficientResources, codeMemoryExceeded, codeStorageExceeded}
		if slices.Contains(full, api.ErrorCode) {
			if strings.Contains(api.Description, subjectFull) {
				err = fmt.Errorf("%w: %w", ErrSubjectFull, err)
			}
			return fault.Throttledf(queueFullPause, "queue_full", "the queue is full; try again later").WithCause(err)
		}
		if api.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum {
			return tooLarge(err)
		}
		if api.Code >= 400 && api.Code < 500 {
			return fault.As(fault.Permanent, err)
		}
		return unavailable(err)
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return tooLarge(err)
	}
	return unavailable(err)
}

func tooLarge(cause error) error {
	return fault.Permanentf("event_too_large", "the event exceeds the broker's message limit").WithCause(cause)
}

// injectTrace writes the span context of ctx into the event.
func injectTrace(ctx context.Context, e *event.Event) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	e.Traceparent, e.Tracestate = carrier["traceparent"], carrier["tracestate"]
}

// TraceContext returns ctx with the span context that an event carries as the remote parent.
func TraceContext(ctx context.Context, e event.Event) context.Context {
	if e.Traceparent == "" {
		return ctx
	}
	carrier := propagation.MapCarrier{"traceparent": e.Traceparent, "tracestate": e.Tracestate}
	return propagation.TraceContext{}.Extract(ctx, carrier)
}

// Withdraw removes a stored message that has become pointless, such as a
// question whose asker left. One that is gone already is a success.
func (p *Publisher) Withdraw(ctx context.Context, r Receipt) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	s, err := p.js.Stream(ctx, r.Stream)
	if err != nil {
		return fmt.Errorf("withdraw from %s: %w", r.Stream, classify(err))
	}
	err = s.DeleteMsg(ctx, r.Sequence)
	if err != nil && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("withdraw from %s: %w", r.Stream, classify(err))
	}
	return nil
}
