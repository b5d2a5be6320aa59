package worker

import (
	"errors"
	"fmt"
	"time"
)

// Config says what a worker consumes and within which bounds.
type Config struct {
	// Stream and Consumer name the durable consumer. Required.
	Stream   string
	Consumer string
	// Name tells this worker from its replicas, in dead letters; "" is "worker".
	Name string
	// Slots is how many deliveries are worked on at once. Default 8.
	Slots int
	// PullWait is how long one pull may wait at the broker. Default 5 s, or half of a shorter Grace.
	PullWait time.Duration
	// Grace is how long running handlers may go on after a stop. Default 20 s.
	Grace time.Duration
	// Timeout is how long one attempt may take. Default 60 s.
	Timeout time.Duration
	// MaxAttempts is after how many deliveries work is given up. Default 5.
	MaxAttempts int
	// BackoffBase and BackoffMax bound the delay before a retry, which is
	// drawn evenly from zero to min(BackoffMax, BackoffBase·2^(attempt-1)).
	// Defaults 500 ms and 30 s.
	BackoffBase time.Duration
	BackoffMax  time.Duration
	// ThrottleMax bounds the pause that a dependency may ask for. Default 5 min.
	ThrottleMax time.Duration
	// SettleTimeout bounds publishing results, writing a dead letter and acknowledging, each. Default 5 s.
	SettleTimeout time.Duration
	// StuckAfter is how long after its deadline a handler that ignores its
	// context is declared stuck. Default 10 s.
	StuckAfter time.Duration
}

// WithDefaults returns a copy with every unset field filled in.
func (c Config) WithDefaults() Config {
	set := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Name == "" {
		c.Name = "worker"
	}
	if c.Slots == 0 {
		c.Slots = 8
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 5
	}
	set(&c.Grace, 20*time.Second)
	set(&c.PullWait, min(5*time.Second, c.Grace/2))
	set(&c.Timeout, time.Minute)
	set(&c.BackoffBase, 500*time.Millisecond)
	set(&c.BackoffMax, 30*time.Second)
	set(&c.ThrottleMax, 5*time.Minute)
	set(&c.SettleTimeout, 5*time.Second)
	set(&c.StuckAfter, 10*time.Second)
	return c
}

// Validate reports every setting that cannot work. What is not set has its default.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(c.Slots > 0 && c.Slots <= 4096, "slots are %d; use 1 to 4096", c.Slots)
	check(c.MaxAttempts > 0, "max attempts are %d; use at least 1", c.MaxAttempts)
	check(c.PullWait >= 100*time.Millisecond, "pull wait is %s; use at least 100ms", c.PullWait)
	check(c.PullWait < c.Grace, "pull wait (%s) must be below grace (%s), so that a stop outlives every pull", c.PullWait, c.Grace)
	check(c.Timeout > 0, "timeout is %s; it must be positive", c.Timeout)
	check(c.BackoffBase > 0 && c.BackoffMax >= c.BackoffBase, "backoff must be positive and its base (%s) at most its maximum (%s)",
		c.BackoffBase, c.BackoffMax)
	check(c.ThrottleMax > 0, "throttle max is %s; it must be positive", c.ThrottleMax)
	check(c.SettleTimeout > 0, "settle timeout is %s; it must be positive", c.SettleTimeout)
	check(c.StuckAfter > 0, "stuck after is %s; it must be positive", c.StuckAfter)
	if len(problems) > 0 {
		return fmt.Errorf("worker %s: %w", c.Consumer, errors.Join(problems...))
	}
	return nil
}

func (c Config) limits(r route) Limits {
	l := r.limits
	if l.Timeout == 0 {
		l.Timeout = c.Timeout
	}
	if l.MaxAttempts == 0 {
		l.MaxAttempts = c.MaxAttempts
	}
	return l
}
