// Package coalesce makes one call of what many ask for at the same time. Each
// exchange with another process costs the same whatever it carries, so that
// under load most of an exchange is saved, and without load nothing changes.
package coalesce

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Limits bound calls.
type Limits struct {
	// Most is how many are asked for in one call.
	Most int
	// Width is how many calls are under way at most. What is asked for alone
	// after a call has failed is not counted.
	Width int
	// Patience is how long who asks waits for a call that is under way before
	// another one begins beside it: it bounds what gathering costs when calls are slow.
	Patience time.Duration
}

// Calls coalesces what is asked for. Make it with [New]. It is safe for
// concurrent use.
//
// The first who asks is served at once. Who asks while a call is under way
// gathers with others for the next, which begins when the call ends or
// patience does. So nobody waits for company, and everybody is served in
// the order of asking. It has no goroutine while nobody asks.
type Calls[In, Out any] struct {
	limits Limits
	call   func(context.Context, []In) ([]Out, error)

	mu       sync.Mutex
	underWay int
	waiting  []*ask[In, Out]
	// impatience runs while somebody waits and another call may begin.
	impatience *time.Timer
}

// New returns Calls that serve everybody with call, which returns one result
// for each that is asked for, in order. Every limit must be positive. Call is
// safe for concurrent use, returns soon when its context ends, and its errors
// are classified (package fault).
func New[In, Out any](limits Limits, call func(context.Context, []In) ([]Out, error)) *Calls[In, Out] {
	c := &Calls[In, Out]{limits: limits, call: call}
	c.impatience = time.AfterFunc(time.Hour, c.hurry)
	c.impatience.Stop()
	return c
}

// ask is one who waits.
type ask[In, Out any] struct {
	ctx    context.Context //nolint:containedctx // an ask is what its context is of
	in     In
	answer chan answer[Out]
	// batch is the call that the ask is in, nil while it waits for one.
	batch *batch[In, Out]
}

type answer[Out any] struct {
	out Out
	err error
	// alone tells to ask again, alone: the call has failed for one of several.
	alone bool
}

// batch is one call.
type batch[In, Out any] struct {
	asks   []*ask[In, Out]
	ctx    context.Context //nolint:containedctx // ends when nobody waits for the call any more
	cancel context.CancelFunc
	// left is how many still wait for it.
	left int
}

// Do returns what call returns for in. It returns as soon as ctx ends, which
// is felt by nobody else: a call ends early only when all who wait for it have
// left. When a call fails in a way that repeating it does not mend, it may be
// for the sake of one of several, and each of them is asked for alone.
// Otherwise its error is everybody's.
func (c *Calls[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	a := c.enter(ctx, in)
	if a == nil {
		defer c.leave()
		return c.alone(ctx, in)
	}
	select {
	case got := <-a.answer:
		if got.alone {
			return c.alone(ctx, in)
		}
		return got.out, got.err
	case <-ctx.Done():
		c.abandon(a)
		var none Out
		return none, fault.As(fault.Transient, fmt.Errorf("wait for a call: %w", context.Cause(ctx)))
	}
}

// enter returns nil when a call may begin at once; it is counted then.
func (c *Calls[In, Out]) enter(ctx context.Context, in In) *ask[In, Out] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.underWay == 0 {
		c.underWay++
		return nil
	}
	a := &ask[In, Out]{ctx: ctx, in: in, answer: make(chan answer[Out], 1)}
	c.waiting = append(c.waiting, a)
	if len(c.waiting) == 1 {
		c.watch()
	}
	return a
}

// watch has the timer run exactly while somebody waits and another call may begin.
func (c *Calls[In, Out]) watch() {
	if len(c.waiting) > 0 && c.underWay < c.limits.Width {
		c.impatience.Reset(c.limits.Patience)
		return
	}
	c.impatience.Stop()
}

// leave ends a call, and lets those who have gathered be served.
func (c *Calls[In, Out]) leave() {
	if next := c.next(); next != nil {
		go c.serve(next)
	}
}

// hurry serves those who have lost patience.
func (c *Calls[In, Out]) hurry() {
	c.mu.Lock()
	var b *batch[In, Out]
	if c.underWay < c.limits.Width {
		b = c.take()
	}
	c.mu.Unlock()
	c.serve(b)
}

func (c *Calls[In, Out]) next() *batch[In, Out] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay--
	return c.take()
}

// take makes a call of those who wait, nil when nobody does.
func (c *Calls[In, Out]) take() *batch[In, Out] {
	defer c.watch()
	n := min(len(c.waiting), c.limits.Most)
	if n == 0 {
		return nil
	}
	b := &batch[In, Out]{asks: slices.Clone(c.waiting[:n]), left: n}
	c.waiting = slices.Delete(c.waiting, 0, n)
	c.underWay++
	b.ctx, b.cancel = together(b.asks)
	for _, a := range b.asks {
		a.batch = b
	}
	return b
}

// together returns a context with the values of the first, and the latest
// deadline, if all have one.
func together[In, Out any](asks []*ask[In, Out]) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(asks[0].ctx)
	var latest time.Time
	for _, a := range asks {
		deadline, ok := a.ctx.Deadline()
		if !ok {
			return context.WithCancel(ctx)
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return context.WithDeadline(ctx, latest)
}

// abandon forgets one who does not wait any more.
func (c *Calls[In, Out]) abandon(a *ask[In, Out]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.batch == nil {
		c.waiting = slices.DeleteFunc(c.waiting, func(other *ask[In, Out]) bool { return other == a })
		if len(c.waiting) == 0 {
			c.watch()
		}
		return
	}
	if a.batch.left--; a.batch.left == 0 {
		a.batch.cancel()
	}
}

// serve makes the call of b, and the calls of those who have gathered meanwhile.
func (c *Calls[In, Out]) serve(b *batch[In, Out]) {
	for ; b != nil; b = c.next() {
		b.settle(c.ask(b))
		b.cancel()
	}
}

// errPanicked is of a call that nobody's goroutine has made. Who asks alone
// meets the panic, if it was for his sake.
var errPanicked = errors.New("panic")

func (c *Calls[In, Out]) ask(b *batch[In, Out]) (out []Out, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanicked, p, debug.Stack())
		}
	}()
	in := make([]In, len(b.asks))
	for i, a := range b.asks {
		in[i] = a.in
	}
	return c.made(b.ctx, in)
}

// settle tells everybody. Nobody has to be there to hear it.
func (b *batch[In, Out]) settle(out []Out, err error) {
	alone := errors.Is(err, errPanicked) || len(b.asks) > 1 && err != nil && !fault.Retryable(err)
	for i, a := range b.asks {
		got := answer[Out]{err: err, alone: alone}
		if err == nil {
			got.out = out[i]
		}
		a.answer <- got
	}
}

func (c *Calls[In, Out]) alone(ctx context.Context, in In) (Out, error) {
	out, err := c.made(ctx, []In{in})
	if err != nil {
		var none Out
		return none, err
	}
	return out[0], nil
}

// made makes a call and sees that nobody gets what is another's.
func (c *Calls[In, Out]) made(ctx context.Context, in []In) ([]Out, error) {
	out, err := c.call(ctx, in)
	if err == nil && len(out) != len(in) {
		return nil, fault.As(fault.Transient, fmt.Errorf("a call for %d returned %d", len(in), len(out)))
	}
	return out, err
}
