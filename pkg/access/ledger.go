package access

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Charge is what one question cost.
type Charge struct {
	Tenant string
	// Account is [Identity.Account] of who asked.
	Account string
	// Request is the question's id: it is charged once, however often it is said.
	Request string
	Tokens  int64
	// At is when the question was asked: it counts for that day (UTC).
	At time.Time
}

// Ledger counts model tokens by account and day. Implementations are safe for
// concurrent use.
type Ledger interface {
	// Charge adds a charge to its day. The first for a request counts, later
	// ones change nothing. No account, or no tokens, is not an error and does nothing.
	Charge(ctx context.Context, c Charge) error
	// Spent returns the tokens of an account on the day of at (UTC).
	Spent(ctx context.Context, tenant, account string, at time.Time) (int64, error)
	// SweepCharges forgets the single charges of days before that of the time,
	// at most limit, and returns how many; the sums of the days stay.
	SweepCharges(ctx context.Context, before time.Time, limit int) (int, error)
}

// Tokens is what an account has of its day's tokens.
type Tokens struct {
	// Limit is the day's; 0 is none, and then the rest is 0 too.
	Limit     int64
	Remaining int64
	// Reset is how long until the next day.
	Reset time.Duration
}

// nextDay returns how long it is to midnight UTC.
func nextDay(now time.Time) time.Duration {
	now = now.UTC()
	return now.Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
}

const (
	// sweepEvery is how often single charges that no longer matter are forgotten.
	sweepEvery = time.Hour
	// chargesKept is for how long they matter: no question is redelivered that is older.
	chargesKept = 48 * time.Hour
	sweepBatch  = 1000
	// sweepTimeout bounds one batch.
	sweepTimeout = 30 * time.Second
)

// Quota refuses questions of accounts that have spent their day's tokens.
type Quota struct {
	ledger Ledger
	log    *slog.Logger
	now    func() time.Time
}

// NewQuota returns a Quota on a ledger. Log may be nil; now is the clock, nil
// for the system's.
func NewQuota(l Ledger, log *slog.Logger, now func() time.Time) *Quota {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	return &Quota{ledger: l, log: log, now: now}
}

// Run forgets single charges of days that are over, about every hour, until
// ctx ends. Any number of processes may do it.
func (q *Quota) Run(ctx context.Context) error {
	for {
		wait := time.NewTimer(sweepEvery/2 + rand.N(sweepEvery)) //nolint:gosec // a pause
		select {
		case <-wait.C:
			if err := q.sweep(ctx); err != nil && ctx.Err() == nil {
				q.log.WarnContext(ctx, "old charges of tokens could not be forgotten", "error", err)
			}
		case <-ctx.Done():
			wait.Stop()
			return nil
		}
	}
}

func (q *Quota) sweep(ctx context.Context) error {
	for {
		batch, cancel := context.WithTimeout(ctx, sweepTimeout)
		n, err := q.ledger.SweepCharges(batch, q.now().Add(-chargesKept), sweepBatch)
		cancel()
		if err != nil || n < sweepBatch {
			return err
		}
	}
}

// Check returns what is left of an identity's tokens for today. With nothing
// left the error is a Throttled fault "token_quota_exceeded" that lasts until
// midnight UTC. It asks the ledger only for accounts with a limit; an error
// of the ledger is passed on as a Transient fault. What is being answered is
// charged when it is done, so that an account overshoots by at most the
// questions that it has in flight.
func (q *Quota) Check(ctx context.Context, i Identity) (Tokens, error) {
	if i.Limits.TokensPerDay <= 0 || i.Account == "" {
		return Tokens{}, nil
	}
	now := q.now()
	t := Tokens{Limit: i.Limits.TokensPerDay, Reset: nextDay(now)}
	spent, err := q.ledger.Spent(ctx, i.Tenant, i.Account, now)
	if err != nil {
		return t, Unavailable(fmt.Errorf("read what was spent: %w", err))
	}
	if t.Remaining = max(0, t.Limit-spent); t.Remaining == 0 {
		return t, fault.Throttledf(t.Reset, "token_quota_exceeded", "the %d tokens of today are spent; the next day begins at midnight UTC", t.Limit)
	}
	return t, nil
}
