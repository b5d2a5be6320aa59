package outbound

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
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

// state is what the bucket holds under a key.
type state struct {
	window

	// BulkPause and Pause are until when bulk calls, and all calls, are
	// refused because the provider said so (Unix milliseconds).
	BulkPause int64 `json:"bp,omitempty"`
	Pause     int64 `json:"p,omitempty"`
	// Seen has the second in which each replica was last granted something.
	Seen map[string]int64 `json:"r,omitempty"`
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

// together decides with the other replicas and reports whether it could. It
// may be that it could and others were faster: then nothing is granted.
func (p *Pacer) together(ctx context.Context, now time.Time, asks []*ask, repairs []correction) bool {
	if p.deps.Bucket == nil {
		p.decide(&p.shared, false, now, asks, repairs)
		return true
	}
	if now.Before(p.awayUntil) {
		return false
	}
	if p.apart {
		p.carefulUntil = now.Add((minute + 1) * time.Second)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*opTimeout)
	defer cancel()
	err := p.exchange(ctx, now, asks, repairs)
	switch {
	case err == nil:
		if p.apart {
			p.deps.Log.InfoContext(ctx, "the pacer's bucket is back")
		}
		p.apart = false
		p.alone.Set(0)
	case errors.Is(err, errContended):
		p.mu.Lock()
		p.repair = append(repairs, p.repair...)
		p.mu.Unlock()
		for _, a := range asks {
			a.granted, a.wait = false, contended
		}
	default:
		if !p.apart {
			p.deps.Log.WarnContext(ctx, "the pacer's bucket is away; keeping to a part of the limit", slog.Any("error", err))
		}
		p.alone.Set(1)
		p.bucket, p.known, p.apart, p.awayUntil = nil, false, true, now.Add(awayFor)
		return false
	}
	return true
}

// errContended says that other replicas changed the value before us each time.
var errContended = errors.New("the pacer's value changed each time")

// exchange reads, decides and writes until a write meets what was read.
func (p *Pacer) exchange(ctx context.Context, now time.Time, asks []*ask, repairs []correction) error {
	if p.bucket == nil {
		bucket, err := p.deps.Bucket(ctx)
		if err != nil {
			return fmt.Errorf("open the bucket: %w", err)
		}
		p.bucket = bucket
	}
	for range casAttempts {
		fresh := false
		if !p.known {
			if err := p.read(ctx); err != nil {
				return err
			}
			fresh = true
		}
		next := p.shared.clone()
		all, changed := p.decide(&next, now.Before(p.carefulUntil), now, asks, repairs)
		if !all && !fresh {
			// What we remember may be too full: others have given back meanwhile.
			p.known = false
			continue
		}
		if !changed {
			return nil
		}
		p.note(&next, next.advance(now.Unix()))
		conflict, err := p.write(ctx, next)
		if err != nil {
			return err
		}
		if !conflict {
			p.shared, p.known = next, true
			return nil
		}
		p.known = false
	}
	return errContended
}

func (p *Pacer) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	p.shared, p.rev = state{}, 0
	entry, err := p.bucket.Get(ctx, p.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the pacer's value: %w", err)
	}
	p.rev = entry.Revision()
	if err := json.Unmarshal(entry.Value(), &p.shared); err != nil || !p.shared.sound() {
		// Nothing good comes of stopping all work for a value that nobody can read.
		p.deps.Log.WarnContext(ctx, "the pacer's value cannot be read; starting over", slog.Any("error", err))
		p.shared = state{}
	}
	return nil
}

// write stores the value and reports whether somebody else was faster.
func (p *Pacer) write(ctx context.Context, next state) (conflict bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	value, err := json.Marshal(next)
	if err != nil {
		return false, fmt.Errorf("encode the pacer's value: %w", err)
	}
	var rev uint64
	if p.rev == 0 {
		rev, err = p.bucket.Create(ctx, p.key, value)
	} else {
		rev, err = p.bucket.Update(ctx, p.key, value, p.rev)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || wrongRevision(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("write the pacer's value: %w", err)
	}
	p.rev = rev
	return false, nil
}

func wrongRevision(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// byItself decides without the others, within this replica's part.
func (p *Pacer) byItself(now time.Time, asks []*ask, repairs []correction) {
	for _, r := range repairs {
		if r.lane == Bulk {
			p.shared.BulkPause = max(p.shared.BulkPause, r.until)
		} else {
			p.shared.Pause = max(p.shared.Pause, r.until)
		}
	}
	// What the others were granted last, as far as it is known, counts too.
	p.decide(&p.shared, true, now, asks, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.repair = append(p.repair, repairs...)
	for _, a := range asks {
		if a.granted && len(p.repair) < maxPromised {
			p.repair = append(p.repair, correction{lane: a.lane, second: a.second, cost: a.cost})
		}
	}
}

// decide answers the asks on a state, and with apart also within this
// replica's part of the limit. It reports whether all were granted, and
// whether the state was changed.
func (p *Pacer) decide(s *state, apart bool, now time.Time, asks []*ask, repairs []correction) (all, changed bool) {
	second := s.advance(now.Unix())
	for _, r := range repairs {
		changed = true
		switch {
		case r.until > 0 && r.lane == Bulk:
			s.BulkPause = max(s.BulkPause, r.until)
		case r.until > 0:
			s.Pause = max(s.Pause, r.until)
		case r.second >= second-minute:
			s.take(r.second, r.lane, r.cost)
		}
	}
	own, part := window{Cells: slices.Clone(p.own.Cells)}, p.limits.part(p.replicas)
	own.advance(second)
	all = true
	for _, a := range asks {
		a.granted, a.wait = false, s.paused(a.lane, now)
		if a.wait == 0 && !p.limits.fits(&s.window, second, a.lane, a.cost) {
			a.wait = p.limits.delay(&s.window, second, a.lane, a.cost)
		}
		if least := part.bound(a.lane, a.cost); apart && !part.fits(&own, second, a.lane, least) {
			a.wait = max(a.wait, part.delay(&own, second, a.lane, least))
		}
		if a.wait > 0 {
			all = false
			continue
		}
		a.granted, a.second, changed = true, second, true
		s.take(second, a.lane, a.cost)
		own.take(second, a.lane, a.cost)
	}
	return all, changed
}

// paused returns how long the provider's pause still holds for a lane.
func (s *state) paused(lane Lane, now time.Time) time.Duration {
	until := s.Pause
	if lane == Bulk {
		until = max(until, s.BulkPause)
	}
	return max(time.UnixMilli(until).Sub(now), 0)
}

// note says in the shared state that this replica is there, and counts the others.
func (p *Pacer) note(s *state, second int64) {
	if p.deps.Replica == "" {
		return
	}
	if s.Seen == nil {
		s.Seen = map[string]int64{}
	}
	s.Seen[p.deps.Replica] = second
	for name, at := range s.Seen {
		if at < second-forgotten {
			delete(s.Seen, name)
		}
	}
	p.replicas = max(len(s.Seen), 1)
}

// later returns when a refused call should come back: after those that were
// refused before it, and not all at once.
func (p *Pacer) later(now time.Time, a *ask) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ahead Cost
	waiting := p.promised[a.lane][:0]
	for _, w := range p.promised[a.lane] {
		if w.due.After(now) {
			waiting, ahead = append(waiting, w), ahead.add(w.cost)
		}
	}
	p.promised[a.lane] = waiting
	limit := p.limits.all
	if a.lane == Bulk {
		limit = p.limits.bulk
	}
	behind := max(spacing(ahead.Requests, limit.Requests), spacing(ahead.Tokens, limit.Tokens))
	wait := a.wait + behind
	wait += rand.N(wait/8 + time.Millisecond) //nolint:gosec // jitter is no secret
	wait = min(wait, maxDelay)
	if len(waiting) < maxPromised {
		p.promised[a.lane] = append(waiting, promise{due: now.Add(wait), cost: a.cost})
	}
	return wait
}

// spacing is how long it takes to work off what is ahead at the limit's pace.
func spacing(ahead, limit int) time.Duration {
	if limit == 0 {
		return 0
	}
	return time.Duration(float64(ahead) / float64(limit) * float64(time.Minute))
}

func (s *state) clone() state {
	out := *s
	out.Cells, out.Seen = slices.Clone(s.Cells), maps.Clone(s.Seen)
	return out
}

// sound reports whether a value that was read can be counted on.
func (s *state) sound() bool {
	for i, c := range s.Cells {
		if i > 0 && c.Second <= s.Cells[i-1].Second || c.All != atLeastZero(c.All) || c.Bulk != atLeastZero(c.Bulk) {
			return false
		}
	}
	return len(s.Cells) <= 4*minute
}
