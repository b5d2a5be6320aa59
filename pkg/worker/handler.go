package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Handler does the work of one event and returns the events that follow from
// it. Its context ends at the delivery's deadline or, with the cause
// [ErrStopping], when the worker must stop. The class of its error decides
// what happens: see the package comment. It may run again for the same event,
// also at the same time elsewhere, and must then come to the same result.
type Handler[T event.Payload] func(context.Context, Delivery[T]) ([]event.Event, error)

// Delivery is an event as a handler gets it.
type Delivery[T event.Payload] struct {
	Event event.Event
	// Data is the event's payload.
	Data T
	// Attempt counts deliveries from 1, those that were handed back or throttled included.
	Attempt int
	// StoredAt is when the broker took the event.
	StoredAt time.Time
	// Deadline is when the handler's context ends.
	Deadline time.Time
}

// Follow returns the event of data as the next step of the same work: it
// inherits tenant, deadline and reply subject. Facts for observers have
// neither of the last two; make them with [event.New].
func (d Delivery[T]) Follow(data event.Payload) event.Event {
	e := event.New(d.Event.Tenant, time.Now(), data)
	e.Deadline, e.ReplyTo = d.Event.Deadline, d.Event.ReplyTo
	return e
}

// Burial says why a delivery was given up.
type Burial struct {
	// Class, Code and Message are those of the error; Code and Message are fit for a stranger.
	Class   fault.Class
	Code    string
	Message string
	// Attempts is how many deliveries there were.
	Attempts int
	// Err is the error itself, for logs.
	Err error
}

// Route binds one kind of event to its handler. [Handle] makes one.
type Route interface {
	// Kind returns the kind of event that the route takes.
	Kind() event.Kind
	erase() route
}

// Typed is a [Route] whose options know the payload's type. Its methods
// return changed copies.
type Typed[T event.Payload] struct {
	run    Handler[T]
	buried func(context.Context, Delivery[T], Burial) ([]event.Event, error)
	urgent func(T) bool
	limits Limits
}

// Limits bound the deliveries of a route; zero fields take the worker's.
type Limits struct {
	// Timeout is how long one attempt may take.
	Timeout time.Duration
	// MaxAttempts is after how many deliveries the work is given up.
	MaxAttempts int
	// MaxAge is how long after it was stored work is still worth beginning; 0: for ever.
	MaxAge time.Duration
}

// Handle returns the route of the payload's kind to a handler.
func Handle[T event.Payload](run Handler[T]) Typed[T] { return Typed[T]{run: run} }

// Buried sets the hook that is called when a delivery is given up, after its
// dead letter is stored, so that the user can be told. The events that it
// returns are published. Its context outlives the delivery's. A hook that
// fails is called again later, so it must be idempotent too. It is not called
// for what cannot be decoded.
func (t Typed[T]) Buried(hook func(context.Context, Delivery[T], Burial) ([]event.Event, error)) Typed[T] {
	t.buried = hook
	return t
}

// Urgent sets what tells work that somebody waits for from work that has
// time. Both wait for a part that is away ([fault.IsAway]), urgent work only
// for the first ten seconds of its life: then it is told.
func (t Typed[T]) Urgent(urgent func(T) bool) Typed[T] {
	t.urgent = urgent
	return t
}

// Within sets limits that differ from the worker's.
func (t Typed[T]) Within(limits Limits) Typed[T] {
	t.limits = limits
	return t
}

// Kind implements [Route].
func (t Typed[T]) Kind() event.Kind {
	var zero T
	return zero.Kind()
}

// delivery is a [Delivery] of any type.
type delivery struct {
	event    event.Event
	attempt  int
	storedAt time.Time
	deadline time.Time
}

// route is a [Typed] of any type. This is the only place where types are erased.
type route struct {
	kind   event.Kind
	limits Limits
	run    func(context.Context, delivery) ([]event.Event, error)
	buried func(context.Context, delivery, Burial) ([]event.Event, error)
	urgent func(event.Payload) bool
}

func (t Typed[T]) erase() route {
	r := route{kind: t.Kind(), limits: t.limits}
	r.run = func(ctx context.Context, d delivery) ([]event.Event, error) {
		typed, err := restore[T](d)
		if err != nil {
			return nil, err
		}
		return t.run(ctx, typed)
	}
	if t.urgent != nil {
		r.urgent = func(p event.Payload) bool {
			data, ok := p.(T)
			return ok && t.urgent(data)
		}
	}
	if t.buried != nil {
		r.buried = func(ctx context.Context, d delivery, b Burial) ([]event.Event, error) {
			typed, err := restore[T](d)
			if err != nil {
				return nil, err
			}
			return t.buried(ctx, typed, b)
		}
	}
	return r
}

func restore[T event.Payload](d delivery) (Delivery[T], error) {
	data, ok := d.event.Data.(T)
	if !ok {
		return Delivery[T]{}, fault.As(fault.Permanent, fmt.Errorf("the payload is a %T", d.event.Data))
	}
	return Delivery[T]{Event: d.event, Data: data, Attempt: d.attempt, StoredAt: d.storedAt, Deadline: d.deadline}, nil
}
