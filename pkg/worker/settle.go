package worker

import (
	"math/rand/v2"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Action is what is done with a delivery.
type Action uint8

// The actions.
const (
	// Done acknowledges, confirmed by the broker.
	Done Action = iota + 1
	// Retry gives it back with a growing, jittered delay, because it failed.
	Retry
	// Later gives it back with the pause that a dependency asked for.
	Later
	// HandBack gives it back at once, because the worker stops.
	HandBack
	// Bury writes a dead letter and ends it.
	Bury
)

// String returns the action in lower case, as used in logs and metrics.
func (a Action) String() string {
	switch a {
	case Done:
		return "done"
	case Retry:
		return "retry"
	case Later:
		return "later"
	case HandBack:
		return "hand_back"
	case Bury:
		return "bury"
	}
	return "none"
}

// Verdict is what is done with a delivery and, when it is given back, how
// long it waits before it is delivered again.
type Verdict struct {
	Action Action
	Delay  time.Duration
}

// handBackDelay lets the broker see that this worker no longer pulls, and
// spreads what a stopping worker gives back.
const handBackDelay = 50 * time.Millisecond

// minDelay keeps a retry from being immediate, which a zero delay would be.
const minDelay = 10 * time.Millisecond

// outcome is all that a verdict depends on.
type outcome struct {
	err         error
	attempt     int
	maxAttempts int
	// expired says that the event's own deadline has passed.
	expired bool
	// stopping says that the worker ended the handler.
	stopping bool
}

// decide returns the verdict on an outcome. It is pure: draw returns a number
// evenly from [0, n).
func decide(o outcome, c Config, draw func(n time.Duration) time.Duration) Verdict {
	switch {
	case o.err == nil:
		return Verdict{Action: Done}
	case o.stopping:
		return Verdict{Action: HandBack, Delay: handBackDelay + draw(handBackDelay)}
	case !fault.Retryable(o.err), o.expired, o.attempt >= o.maxAttempts:
		return Verdict{Action: Bury}
	case fault.Is(o.err, fault.Throttled):
		return Verdict{Action: Later, Delay: throttleDelay(o, c, draw)}
	default:
		return Verdict{Action: Retry, Delay: retryDelay(o.attempt, c, draw)}
	}
}

// retryDelay is exponential backoff with full jitter
// (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
func retryDelay(attempt int, c Config, draw func(time.Duration) time.Duration) time.Duration {
	return max(minDelay, draw(ceiling(attempt, c)))
}

// throttleDelay is at least what was asked for, and with every attempt at
// least the backoff's ceiling: a throttled delivery counts as an attempt too,
// so waiting longer is what keeps it from running out of them. A tenth of
// jitter keeps the throttled from coming back together.
func throttleDelay(o outcome, c Config, draw func(time.Duration) time.Duration) time.Duration {
	d := min(max(fault.RetryAfter(o.err), ceiling(o.attempt, c)), c.ThrottleMax)
	return d + draw(d/10+1)
}

func ceiling(attempt int, c Config) time.Duration {
	d := c.BackoffBase
	for i := 1; i < attempt && d < c.BackoffMax; i++ {
		d *= 2
	}
	return min(d, c.BackoffMax)
}

func drawEvenly(n time.Duration) time.Duration {
	return rand.N(max(n, 1)) //nolint:gosec // jitter is no secret
}
