package outbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lifecycle"
)

// errNotCalled is told to the breaker for calls that say nothing about the endpoint.
var errNotCalled = errors.New("the call tells nothing")

// broken reports whether an error is the endpoint's own failure, as opposed
// to a request that it did not like or a pause that it asked for.
func broken(err error) bool {
	if err == nil {
		return false
	}
	return fault.Is(err, fault.Transient) || operators(err)
}

// operators reports whether an error is one that the operator has to mend:
// nobody's request is at fault, and all others fail as well.
func operators(err error) bool {
	if !fault.Is(err, fault.Permanent) {
		return false
	}
	switch code, _ := fault.Public(err); code {
	case "model_unauthorized", "model_not_found", "model_no_credit", "model_protocol",
		"embedder_unauthorized", "embedder_not_found", "embedder_no_credit", "embedder_dimensions":
		return true
	}
	return false
}

func (e *Endpoint) changed(_ string, from, to gobreaker.State) {
	value := map[gobreaker.State]float64{gobreaker.StateClosed: 0, gobreaker.StateHalfOpen: 1, gobreaker.StateOpen: 2}[to]
	e.deps.Metrics.breaker.WithLabelValues(e.cfg.Name).Set(value)
	if to == gobreaker.StateOpen {
		e.mu.Lock()
		e.opened = time.Now()
		e.mu.Unlock()
	}
	e.deps.Log.Warn("circuit breaker changed", //nolint:sloglint // the breaker knows no context
		slog.String("endpoint", e.cfg.Name), slog.String("from", from.String()), slog.String("to", to.String()))
}

// State is the state of an endpoint's breaker.
type State string

// The states of a breaker.
const (
	Closed   State = "closed"
	HalfOpen State = "half_open"
	Open     State = "open"
)

// State returns the breaker's state.
func (e *Endpoint) State() State {
	switch e.breaker.State() {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	case gobreaker.StateClosed:
		return Closed
	}
	return Closed
}

// Name returns the endpoint's name.
func (e *Endpoint) Name() string { return e.cfg.Name }

// Probe returns nil as long as the endpoint is thought to work, else a fault
// whose public message says why not. It calls nobody, for a model is not paid
// for a health check, so it knows what the calls before it have shown.
func (e *Endpoint) Probe(context.Context) error {
	state := e.State()
	e.mu.Lock()
	last := e.last
	e.mu.Unlock()
	switch {
	case last == nil:
		return nil
	case operators(last), state != Closed:
		code, message := fault.Public(last)
		return fault.Transientf(code, "%s", message).WithCause(last)
	default:
		// One failure that was or will be mended by another try is no news.
		return nil
	}
}

// Note returns a note for people when the endpoint has failed and the next
// call is let through to try it again, else "".
func (e *Endpoint) Note() string {
	if e.State() == HalfOpen {
		return lifecycle.NextCallTries
	}
	return ""
}

// unavailable is the error of a call that the breaker did not let through.
func (e *Endpoint) unavailable(lane Lane) error {
	e.mu.Lock()
	last, left := e.last, e.cfg.OpenFor-time.Since(e.opened)
	e.mu.Unlock()
	code, message := "upstream_unavailable", "a service that is needed is not available at the moment"
	if last != nil {
		code, message = fault.Public(last)
	}
	return e.later(lane, max(left, e.cfg.OpenFor/10), code, message, fmt.Errorf("the circuit breaker of %s is open: %w", e.cfg.Name, errOpen))
}

// errOpen is the cause of what the breaker refused.
var errOpen = errors.New("too many failures in a row")

// later is the error of work that has to wait for the endpoint. Bulk work
// comes back by itself and is told when; other work is told that it is away.
func (e *Endpoint) later(lane Lane, after time.Duration, code, message string, cause error) error {
	if lane == Bulk {
		return fault.Throttledf(after, code, "%s", message).WithCause(cause)
	}
	return fault.Transientf(code, "%s", message).Away().WithCause(cause)
}
