package outbound

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Lane says who waits for a call.
type Lane uint8

// The lanes.
const (
	// Interactive calls answer somebody who waits. A share of each limit is theirs alone.
	Interactive Lane = iota
	// Bulk calls are work from a queue, which may come later.
	Bulk
)

func (l Lane) String() string {
	if l == Bulk {
		return "bulk"
	}
	return "interactive"
}

// Defaults of [PacerConfig].
const (
	DefaultInteractiveShare = 0.25
	DefaultReplicas         = 2
)

// PacerConfig is a provider's limit as the operator knows it. Zero limits
// are none; with both zero there is nothing to pace and no [Pacer] is needed.
type PacerConfig struct {
	RequestsPerMinute int
	TokensPerMinute   int
	// InteractiveShare of the limits is never used by bulk work. Default 0.25.
	InteractiveShare float64
	// Replicas is into how many equal parts the limit is split while the
	// bucket is away and it is not known how many replicas share it. Default 2.
	Replicas int
}

// WithDefaults returns the configuration with every unset field at its default.
func (c PacerConfig) WithDefaults() PacerConfig {
	if c.InteractiveShare == 0 {
		c.InteractiveShare = DefaultInteractiveShare
	}
	if c.Replicas == 0 {
		c.Replicas = DefaultReplicas
	}
	return c
}

// Validate returns everything that is wrong with the configuration, joined.
func (c PacerConfig) Validate() error {
	var errs []error
	if c.RequestsPerMinute < 0 || c.TokensPerMinute < 0 {
		errs = append(errs, fmt.Errorf("%d requests and %d tokens a minute are no limits", c.RequestsPerMinute, c.TokensPerMinute))
	}
	if c.InteractiveShare < 0 || c.InteractiveShare >= 1 {
		errs = append(errs, fmt.Errorf("the interactive share %v is not between 0 and 1", c.InteractiveShare))
	}
	if c.Replicas < 0 {
		errs = append(errs, fmt.Errorf("%d replicas are less than none", c.Replicas))
	}
	return errors.Join(errs...)
}

// Limited reports whether there is anything to pace.
func (c PacerConfig) Limited() bool { return c.RequestsPerMinute > 0 || c.TokensPerMinute > 0 }

// PacerKey names the budget that calls share: those of one model under one
// key. The secret itself cannot be found from it.
func PacerKey(provider, model, secret string) string {
	sum := sha256.Sum256([]byte(provider + "\x00" + model + "\x00" + secret))
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, provider+"-"+model)
	return plain[:min(len(plain), 64)] + "." + hex.EncodeToString(sum[:8])
}

// PacerDeps are what a pacer works with.
type PacerDeps struct {
	// Bucket opens the bucket that all replicas share; see [OpenBucket]. Nil:
	// this process alone uses the limit. It is asked again after failures.
	Bucket func(ctx context.Context) (jetstream.KeyValue, error)
	// Replica names this process among those that share the bucket.
	Replica string
	Metrics *Metrics
	Log     *slog.Logger
	// Now is the clock; nil: time.Now. Replicas' clocks should agree within a second.
	Now func() time.Time
}

// Pacer keeps the calls of all replicas together within a provider's limits
// per minute. Calls that do not fit are refused with a Throttled fault that
// says when to try again, and nobody waits inside.
//
// The use of the last minute is one small value in a NATS KV bucket, changed
// by compare-and-set; the waiting calls of one process share each change. In
// any minute no more is granted than the limit allows. While the bucket is
// away each replica keeps to its part of the limit by itself.
//
// All methods are safe for concurrent use, and work on a nil Pacer, which
// grants everything.
type Pacer struct {
	key    string
	limits limits
	cfg    PacerConfig
	deps   PacerDeps

	granted, throttled [2]prometheus.Counter
	alone              prometheus.Gauge

	// turn is held by who talks to the bucket for all that are queued.
	turn chan struct{}

	// mu guards what follows.
	mu     sync.Mutex
	queue  []*ask
	repair []correction
	// promised is what was refused and told to come back, so that the next is told a later time.
	promised [2][]promise

	// What follows is used by the holder of turn alone.
	bucket jetstream.KeyValue
	shared state
	rev    uint64
	known  bool
	// own is what this process was granted, for when the bucket is away.
	own      window
	replicas int
	// apart says that the bucket was away when last asked, and until when it
	// is not asked again. For a minute after it has come back, others may not
	// have told yet what they were granted meanwhile.
	apart        bool
	awayUntil    time.Time
	carefulUntil time.Time
}

type ask struct {
	lane Lane
	cost Cost
	done chan struct{}
	// granted, second and wait are set before done is closed.
	granted bool
	second  int64
	wait    time.Duration
}

// correction is what changes without being asked for.
type correction struct {
	lane   Lane
	second int64
	cost   Cost
	// until is set for a pause.
	until int64
}

type promise struct {
	due  time.Time
	cost Cost
}

// How the bucket is talked to.
const (
	opTimeout   = time.Second
	casAttempts = 8
	awayFor     = 5 * time.Second
	// forgotten is after how many seconds a silent replica no longer counts.
	forgotten = 2 * minute
	// contended is what a call is told when others were faster each time.
	contended = 200 * time.Millisecond
	maxDelay  = 2 * time.Minute
	// maxPromised bounds what is remembered of the refused.
	maxPromised = 4096
)

// NewPacer returns a pacer for the budget named by the key (see [PacerKey]).
// The error joins everything that is wrong with the configuration.
func NewPacer(key string, cfg PacerConfig, deps PacerDeps) (*Pacer, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Metrics == nil {
		deps.Metrics = NewMetrics(nil)
	}
	p := &Pacer{
		key: key, cfg: cfg, deps: deps, turn: make(chan struct{}, 1), replicas: cfg.Replicas,
		limits: newLimits(Cost{cfg.RequestsPerMinute, cfg.TokensPerMinute}, cfg.InteractiveShare),
		alone:  deps.Metrics.pacerAlone.WithLabelValues(key),
	}
	for _, lane := range []Lane{Interactive, Bulk} {
		p.granted[lane] = deps.Metrics.pacerAsked.WithLabelValues(key, lane.String(), "granted")
		p.throttled[lane] = deps.Metrics.pacerAsked.WithLabelValues(key, lane.String(), "throttled")
	}
	return p, nil
}

// Grant is a call's part of the limit. The zero value is one that costs nothing.
type Grant struct {
	pacer  *Pacer
	lane   Lane
	second int64
	cost   Cost
}

// Settle corrects the tokens of a call that has ended to what it really took.
func (g Grant) Settle(tokens int) {
	if g.pacer == nil || tokens < 0 {
		return
	}
	if difference := tokens - g.cost.Tokens; difference != 0 {
		g.pacer.correct(correction{lane: g.lane, second: g.second, cost: Cost{Tokens: difference}})
	}
}

// Reserve takes a cost out of the limit, or returns a Throttled fault with
// the time after which it is worth trying again. A cost above the whole limit
// counts as the limit.
func (p *Pacer) Reserve(ctx context.Context, lane Lane, cost Cost) (Grant, error) {
	if p == nil {
		return Grant{}, nil
	}
	a := &ask{lane: lane, cost: p.limits.bound(lane, cost), done: make(chan struct{})}
	p.mu.Lock()
	p.queue = append(p.queue, a)
	p.mu.Unlock()
	for answered := false; !answered; {
		select {
		case <-a.done:
			answered = true
		case p.turn <- struct{}{}:
			p.round(ctx)
			<-p.turn
		case <-ctx.Done():
			// What may still be granted is lost, which is on the safe side.
			return Grant{}, fault.As(fault.Transient, fmt.Errorf("wait for the pacer: %w", context.Cause(ctx)))
		}
	}
	if !a.granted {
		p.throttled[lane].Inc()
		return Grant{}, fault.Throttledf(a.wait, "rate_limited", "the limit of the model's provider is used up for the moment")
	}
	p.granted[lane].Inc()
	return Grant{pacer: p, lane: lane, second: a.second, cost: a.cost}, nil
}

// Pause refuses calls until d has passed, because the provider said so: all
// of them when it said so to an interactive one, else bulk ones alone.
func (p *Pacer) Pause(lane Lane, d time.Duration) {
	if p == nil || d <= 0 {
		return
	}
	p.correct(correction{lane: lane, until: p.deps.Now().Add(min(d, maxDelay)).UnixMilli()})
}

func (p *Pacer) correct(c correction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A process that only corrects and never asks would remember for ever.
	if len(p.repair) < maxPromised {
		p.repair = append(p.repair, c)
	}
}

// round answers everything that is queued. The caller holds turn.
func (p *Pacer) round(ctx context.Context) {
	p.mu.Lock()
	asks, repairs := p.queue, p.repair
	p.queue, p.repair = nil, nil
	p.mu.Unlock()
	if len(asks) == 0 {
		p.mu.Lock()
		p.repair = append(repairs, p.repair...)
		p.mu.Unlock()
		return
	}
	// Interactive asks go before bulk ones that came earlier.
	ordered := make([]*ask, 0, len(asks))
	for _, lane := range []Lane{Interactive, Bulk} {
		for _, a := range asks {
			if a.lane == lane {
				ordered = append(ordered, a)
			}
		}
	}
	now := p.deps.Now()
	if !p.together(context.WithoutCancel(ctx), now, ordered, repairs) {
		p.byItself(now, ordered, repairs)
	}
	for _, a := range ordered {
		if a.granted {
			p.own.advance(a.second)
			p.own.take(a.second, a.lane, a.cost)
		} else {
			a.wait = p.later(now, a)
		}
		close(a.done)
	}
}
