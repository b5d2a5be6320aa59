// Package outbound guards calls to the outside: a model or an embedder goes
// in and comes out as one that never has more calls under way than it should,
// stops calling what is down, repeats what may be repeated within the time
// that is left, and keeps all replicas together within the provider's limits.
//
// An [Endpoint] is what the calls to one API under one key have in common.
// [Model] and [Embedder] put a model or embedder behind it; [Chain] asks the
// next model when one fails.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/telemetry/span"
)

// Defaults of [Config].
const (
	DefaultConcurrency = 64
	DefaultAttempts    = 3
	DefaultBackoff     = 200 * time.Millisecond
	DefaultBackoffMax  = 5 * time.Second
	DefaultPatience    = 2 * time.Second
	DefaultOpenAfter   = 5
	DefaultOpenFor     = 10 * time.Second
)

// Config says how an endpoint is treated.
type Config struct {
	// Name is the endpoint's in metrics, logs and /health: "llm", "embedder".
	Name string
	// Concurrency is how many calls are under way at most, streams until
	// their end; a quarter of them is for interactive ones alone. Further
	// ones wait, with their context. Default 64.
	Concurrency int
	// Attempts is how often a call is made at most. Default 3.
	Attempts int
	// Backoff is the ceiling of the pause before the second attempt; it
	// doubles up to BackoffMax. Defaults 200 ms and 5 s.
	Backoff, BackoffMax time.Duration
	// Patience is the longest pause that an interactive call waits out when
	// the provider or the pacer asks for one; a longer one is handed back, as
	// every pause of bulk work is. Default 2 s.
	Patience time.Duration
	// OpenAfter is how many failures in a row open the breaker. Default 5.
	OpenAfter int
	// OpenFor is how long the breaker stays open before it lets one call try. Default 10 s.
	OpenFor time.Duration
}

// WithDefaults returns the configuration with every unset field at its default.
func (c Config) WithDefaults() Config {
	set(&c.Concurrency, DefaultConcurrency)
	set(&c.Attempts, DefaultAttempts)
	set(&c.Backoff, DefaultBackoff)
	set(&c.BackoffMax, DefaultBackoffMax)
	set(&c.Patience, DefaultPatience)
	set(&c.OpenAfter, DefaultOpenAfter)
	set(&c.OpenFor, DefaultOpenFor)
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate returns everything that is wrong with the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("the endpoint has no name"))
	}
	if c.Concurrency < 0 || c.Attempts < 0 || c.OpenAfter < 0 {
		errs = append(errs, fmt.Errorf("%d concurrent calls, %d attempts and %d failures must not be negative", c.Concurrency, c.Attempts, c.OpenAfter))
	}
	if c.Backoff < 0 || c.BackoffMax < 0 || c.Patience < 0 || c.OpenFor < 0 {
		errs = append(errs, fmt.Errorf("pauses of %s, %s, %s and %s must not be negative", c.Backoff, c.BackoffMax, c.Patience, c.OpenFor))
	}
	return errors.Join(errs...)
}

// Deps are what an endpoint works with. All may be nil.
type Deps struct {
	Pacer   *Pacer
	Metrics *Metrics
	Log     *slog.Logger
}

// Endpoint is what all calls to one API under one key share. Make one with
// [New]; all methods are safe for concurrent use.
type Endpoint struct {
	cfg   Config
	deps  Deps
	slots chan struct{}
	// bulk has fewer places than slots: bulk work must hold one of them too.
	bulk    chan struct{}
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]

	inFlight prometheus.Gauge
	seconds  prometheus.Observer
	retries  prometheus.Counter

	// mu guards what follows.
	mu sync.Mutex
	// last is the failure that the endpoint shows, nil after a success.
	last   error
	opened time.Time
}

// New returns an endpoint. The error joins everything that is wrong with the configuration.
func New(cfg Config, deps Deps) (*Endpoint, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Metrics == nil {
		deps.Metrics = NewMetrics(nil)
	}
	e := &Endpoint{
		cfg: cfg, deps: deps, slots: make(chan struct{}, cfg.Concurrency),
		bulk:     make(chan struct{}, max(1, cfg.Concurrency-(cfg.Concurrency+3)/4)),
		inFlight: deps.Metrics.inFlight.WithLabelValues(cfg.Name), seconds: deps.Metrics.seconds.WithLabelValues(cfg.Name),
		retries: deps.Metrics.retries.WithLabelValues(cfg.Name),
	}
	e.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: cfg.Name, MaxRequests: 1, Timeout: cfg.OpenFor,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(cfg.OpenAfter) },
		OnStateChange: e.changed,
		IsSuccessful:  func(err error) bool { return !broken(err) },
		IsExcluded:    func(err error) bool { return errors.Is(err, errNotCalled) },
	})
	deps.Metrics.breaker.WithLabelValues(cfg.Name).Set(0)
	return e, nil
}

// attempt is one try of a call. It returns whether something came of it that
// makes another try unsafe, and the tokens that it took (negative: unknown).
type attempt func(ctx context.Context, began func()) (tokens int, unsafe bool, err error)

// do makes a call with everything this package promises.
func (e *Endpoint) do(ctx context.Context, lane Lane, cost Cost, try attempt) error {
	for n := 1; ; n++ {
		unsafe, err := e.once(ctx, lane, cost, try)
		if err == nil || unsafe || ctx.Err() != nil || !fault.Retryable(err) || errors.Is(err, errOpen) {
			return e.final(lane, err)
		}
		pause, ok := e.pause(ctx, lane, n, err)
		if !ok {
			return e.final(lane, err)
		}
		e.retries.Inc()
		e.deps.Log.InfoContext(ctx, "a call is repeated", slog.String("endpoint", e.cfg.Name), slog.Int("attempt", n),
			slog.Duration("pause", pause), slog.String("class", fault.Of(err).String()), slog.Any("error", err))
		if !sleep(ctx, pause) {
			return e.final(lane, err)
		}
	}
}

// final is what the caller gets to see. A failure that the operator has to
// mend is no verdict on the work: it is worth doing once the key is right.
func (e *Endpoint) final(lane Lane, err error) error {
	if err != nil && operators(err) {
		code, message := fault.Public(err)
		return e.later(lane, e.cfg.OpenFor, code, message, err)
	}
	return err
}

// pause returns how long to wait before the next attempt, and whether there
// is to be one.
func (e *Endpoint) pause(ctx context.Context, lane Lane, n int, err error) (time.Duration, bool) {
	if n >= e.cfg.Attempts {
		return 0, false
	}
	ceiling := e.cfg.Backoff
	for i := 1; i < n && ceiling < e.cfg.BackoffMax; i++ {
		ceiling *= 2
	}
	// Exponential backoff with full jitter
	// (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
	pause := rand.N(max(min(ceiling, e.cfg.BackoffMax), 1)) //nolint:gosec // jitter is no secret
	if fault.Is(err, fault.Throttled) {
		asked := fault.RetryAfter(err)
		if lane == Bulk || asked > e.cfg.Patience {
			return 0, false
		}
		pause += asked
	}
	if deadline, ok := ctx.Deadline(); ok && pause >= time.Until(deadline) {
		return 0, false
	}
	return pause, true
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// once makes one attempt, in a slot that is given back after it.
func (e *Endpoint) once(ctx context.Context, lane Lane, cost Cost, try attempt) (unsafe bool, err error) {
	release, err := e.enter(ctx, lane)
	if err != nil {
		return false, err
	}
	defer release()
	done, err := e.breaker.Allow()
	if err != nil {
		e.count("open")
		return false, e.unavailable(lane)
	}
	// The breaker is told once: at the end, or as soon as an answer begins when
	// it waits for a sign of life, lest all others wait for the answer's end.
	told := false
	tell := func(err error) {
		if !told {
			told = true
			done(err)
		}
	}
	defer tell(errNotCalled)
	grant, err := e.deps.Pacer.Reserve(ctx, lane, cost)
	if err != nil {
		return false, err
	}
	e.inFlight.Inc()
	defer e.inFlight.Dec()
	start := time.Now()
	ctx, call := span.Call(ctx, e.cfg.Name)
	tokens, unsafe, err := try(ctx, func() {
		if !told && e.State() == HalfOpen {
			tell(nil)
		}
	})
	call.End(err)
	e.seconds.Observe(time.Since(start).Seconds())
	grant.Settle(tokens)
	if fault.Is(err, fault.Throttled) {
		e.deps.Pacer.Pause(lane, fault.RetryAfter(err))
	}
	if err != nil && e.callersEnd(ctx, start) {
		e.count("ended")
		return unsafe, err
	}
	e.note(err, told)
	tell(err)
	return unsafe, err
}

// enter waits for a slot.
func (e *Endpoint) enter(ctx context.Context, lane Lane) (release func(), err error) {
	places := []chan struct{}{e.slots}
	if lane == Bulk {
		places = []chan struct{}{e.bulk, e.slots}
	}
	leave := func(held []chan struct{}) {
		for _, place := range held {
			<-place
		}
	}
	for i, place := range places {
		select {
		case place <- struct{}{}:
		case <-ctx.Done():
			leave(places[:i])
			return nil, fault.As(fault.Transient, fmt.Errorf("wait for a call to %s: %w", e.cfg.Name, context.Cause(ctx)))
		}
	}
	return func() { leave(places) }, nil
}

// slowAfter is how long a call must have taken for its caller's deadline to
// count against the endpoint. A shorter time may have been too short.
const slowAfter = 10 * time.Second

// callersEnd reports whether a call failed because its caller had enough.
func (e *Endpoint) callersEnd(ctx context.Context, start time.Time) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errSlow) && (!errors.Is(ctx.Err(), context.DeadlineExceeded) || time.Since(start) < slowAfter)
}

// note keeps what a call has shown of the endpoint. With told, the breaker
// took it for a success when its answer began.
func (e *Endpoint) note(err error, told bool) {
	outcome := "ok"
	if err != nil {
		outcome = fault.Of(err).String()
	}
	e.count(outcome)
	e.mu.Lock()
	if !broken(err) {
		e.last = nil
	} else {
		e.last = err
	}
	e.mu.Unlock()
	if told && broken(err) {
		// It broke after it had begun: a failure of its own.
		if done, err2 := e.breaker.Allow(); err2 == nil {
			done(err)
		}
	}
}

func (e *Endpoint) count(outcome string) {
	e.deps.Metrics.calls.WithLabelValues(e.cfg.Name, outcome).Inc()
}
