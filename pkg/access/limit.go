package access

import (
	"sync"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Allowance is what an account has of its requests a minute, as the headers
// RateLimit-Limit, -Remaining and -Reset tell it.
type Allowance struct {
	// Limit is how many requests a minute; 0 is no limit, and then the rest is 0 too.
	Limit int
	// Remaining is how many may follow at once.
	Remaining int
	// Reset is how long until everything is there again.
	Reset time.Duration
	// RetryAfter is how long until the next request may be made, 0 when this one was allowed.
	RetryAfter time.Duration
}

// Err returns nil when the request was allowed, else a Throttled fault
// "rate_limited" that says how long to wait.
func (a Allowance) Err() error {
	if a.RetryAfter <= 0 {
		return nil
	}
	return fault.Throttledf(a.RetryAfter, "rate_limited", "this credential may make %d requests a minute", a.Limit)
}

// maxAccounts bounds how many accounts with less than their full allowance are remembered.
const maxAccounts = 1 << 16

// Limiter bounds requests a minute by account: a token bucket that holds a
// minute's requests and is refilled evenly. So an account may use its minute
// at once and then goes on at its rate; over any minute it makes twice its
// limit at most, and on average its limit.
//
// Gateways tell each other once a second what they have given out
// ([Limiter.Run]), and count it as if they had given it themselves, into debt
// if need be. An account can thus get at most its limit at each gateway before
// they know of each other, that is G times its limit in the first second or
// so with G gateways; it pays that back by waiting, so that its average stays
// within the limit. A gateway that is cut off from the others counts alone.
//
// Methods are safe for concurrent use and do no I/O, but Run.
type Limiter struct {
	now func() time.Time

	mu       sync.Mutex
	accounts map[string]*bucket
}

// bucket is one account's.
type bucket struct {
	limit int
	// tokens are what is left at the time at; below zero is debt to other gateways.
	tokens float64
	at     time.Time
	// took is what was given out here since the others were told.
	took int
}

// NewLimiter returns a Limiter; now is the clock, nil for the system's.
func NewLimiter(now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	return &Limiter{now: now, accounts: make(map[string]*bucket)}
}

// Take counts one request of the identity and returns what is left, or, when
// nothing is, how long to wait: see [Allowance.Err].
func (l *Limiter) Take(i Identity) Allowance {
	limit := i.Limits.RequestsPerMinute
	if limit <= 0 || i.Account == "" {
		return Allowance{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(i.Account, limit)
	var wait time.Duration
	if b.tokens >= 1 {
		b.tokens--
		b.took++
	} else {
		wait = max(b.until(1), time.Millisecond)
	}
	return Allowance{Limit: limit, Remaining: int(max(0, b.tokens)), Reset: b.until(float64(limit)), RetryAfter: wait}
}

// bucket returns an account's bucket as of now. The caller holds l.mu.
func (l *Limiter) bucket(account string, limit int) *bucket {
	now := l.now()
	b, ok := l.accounts[account]
	if !ok {
		if len(l.accounts) >= maxAccounts {
			l.forget(now)
		}
		b = &bucket{limit: limit, tokens: float64(limit), at: now}
		l.accounts[account] = b
	}
	if b.limit != limit {
		// What was given out counts on under the new limit.
		b.tokens += float64(limit - b.limit)
		b.limit = limit
	}
	b.refill(now)
	return b
}

func (b *bucket) rate() float64 { return float64(b.limit) / time.Minute.Seconds() }

func (b *bucket) refill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(float64(b.limit), b.tokens+passed.Seconds()*b.rate())
		b.at = now
	}
}

// until returns how long it takes until there are n tokens.
func (b *bucket) until(n float64) time.Duration {
	return time.Duration(max(0, n-b.tokens) / b.rate() * float64(time.Second))
}

// forget drops the accounts that have their full allowance, and, when these
// are too few, any: a good many, for it takes long. The caller holds l.mu.
func (l *Limiter) forget(now time.Time) {
	for account, b := range l.accounts {
		if b.refill(now); b.took == 0 && b.tokens >= float64(b.limit) {
			delete(l.accounts, account)
		}
	}
	for account := range l.accounts {
		if len(l.accounts) < maxAccounts*7/8 {
			return
		}
		delete(l.accounts, account)
	}
}
