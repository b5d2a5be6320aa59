// Package upstream is what all adapters of llm.Model have in common on the
// wire: one streaming HTTP call, watched. A request passes through Transport;
// the Call it belongs to learns what the vendors' SDKs lose or garble (the
// status and body of a refusal, how long to wait, that a body broke off) and
// ends the call when nothing has come for too long.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Limits bound the silences of a call. Both count only while the provider has
// the floor, not while the reader of the answer takes its time.
type Limits struct {
	// FirstToken bounds the time from the call to the first piece of the
	// answer. Servers queue requests without sending as much as a header.
	FirstToken time.Duration
	// Silence bounds the time between bytes after that; keep-alive comments count.
	Silence time.Duration
}

// The silences a call does not survive.
var (
	errNoFirstToken = errors.New("nothing of the answer came in time")
	errSilence      = errors.New("the stream went silent")
)

// Call is one call. Make one with [Begin]; its methods are for one goroutine,
// except those that Transport uses.
type Call struct {
	ctx    context.Context //nolint:containedctx // a Call is the life of one call
	cancel context.CancelCauseFunc
	limits Limits
	rest   func()
	alarm  *time.Timer
	heard  bool

	mu      sync.Mutex
	refusal *Refusal
	broken  error
	// answer says that the answer has begun, whole that all of it has come.
	answer, whole bool
}

type callKey struct{}

// Begin starts the clock. The context belongs on the request; End must be
// called. Rest is that of the [llm.Request], which may be nil.
func Begin(ctx context.Context, limits Limits, rest func()) (context.Context, *Call) {
	c := &Call{limits: limits, rest: rest}
	ctx, c.cancel = context.WithCancelCause(ctx)
	c.ctx = context.WithValue(ctx, callKey{}, c)
	c.alarm = time.AfterFunc(limits.FirstToken, c.ring)
	return c.ctx, c
}

// End closes the connection if it is still open.
func (c *Call) End() {
	c.alarm.Stop()
	c.cancel(nil)
}

func (c *Call) ring() {
	c.mu.Lock()
	why := errNoFirstToken
	if c.answer {
		why = errSilence
	}
	c.mu.Unlock()
	c.cancel(why)
}

// Deliver hands a piece of the answer to its reader with the clock stopped.
func (c *Call) Deliver(yield func() bool) bool {
	c.alarm.Stop()
	if !c.heard {
		c.heard = true
		c.mu.Lock()
		c.answer = true
		c.mu.Unlock()
	}
	more := yield()
	if more {
		c.alarm.Reset(c.limits.Silence)
	}
	return more
}

// beforeBytes is called by the body before a read when nothing is known to be
// there. The clock stands while the reader of the answer rests.
func (c *Call) beforeBytes() {
	c.mu.Lock()
	rests := c.rest != nil && c.answer && !c.whole
	c.mu.Unlock()
	if !rests {
		return
	}
	c.alarm.Stop()
	c.rest()
	c.alarm.Reset(c.limits.Silence)
}

// Whole says that all of the answer has come: nobody rests before the end of the stream.
func (c *Call) Whole() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole = true
}

// bytesCame is called by the body on every read that brought something.
func (c *Call) bytesCame() {
	c.mu.Lock()
	answer := c.answer
	c.mu.Unlock()
	// Before the first token only that counts: a server that pings for ever has no answer.
	if answer {
		c.alarm.Reset(c.limits.Silence)
	}
}

func (c *Call) refuse(r *Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusal = r
}

func (c *Call) breakOff(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.broken = err
	}
}

// Refusal returns the answer with which the provider refused the call, or nil.
func (c *Call) Refusal() *Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusal
}

// Broken returns how the body of the answer broke off, or nil.
func (c *Call) Broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// Interrupted returns the classified error of a call that ended because its
// context did or because of a silence, or nil. It says more than what an SDK
// makes of it.
func (c *Call) Interrupted() error {
	why := context.Cause(c.ctx)
	switch {
	case why == nil:
		return nil
	case errors.Is(why, errNoFirstToken):
		return Unavailable("the language model did not begin to answer", why)
	case errors.Is(why, errSilence):
		return Unavailable("the language model stopped answering", why)
	}
	return fault.As(fault.Transient, fmt.Errorf("model stream: %w", why))
}

// Unavailable is the fault of a provider that may be there again later.
func Unavailable(message string, cause error) error {
	return fault.Transientf("model_unavailable", "%s", message).WithCause(cause)
}
