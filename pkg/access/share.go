package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

const (
	// LimitsSubject is where gateways tell each other what they have given out.
	LimitsSubject = "rag.limits.v1"
	// shareEvery is how often they do.
	shareEvery = time.Second
	// shareAccounts is how many accounts one message tells of: it stays far below 1 MiB.
	shareAccounts = 2000
	// maxDebt bounds what is believed of others, in minutes of an account's limit.
	maxDebt = 5
)

// given is what gateways tell each other.
type given struct {
	// From tells a gateway its own messages.
	From string `json:"from"`
	// Accounts by name: requests given out since the last message, and the limit a minute.
	Accounts map[string][2]int `json:"accounts"`
}

// Run tells the other gateways every second what was given out here, and
// counts what they tell, until ctx ends. A connection that is away for a
// while only means that each counts alone. Log may be nil.
func (l *Limiter) Run(ctx context.Context, nc *nats.Conn, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	self := corpus.NewID()
	sub, err := nc.Subscribe(LimitsSubject, func(m *nats.Msg) { l.hear(self, m.Data) })
	if err != nil {
		return fault.As(fault.Transient, fmt.Errorf("subscribe to %s: %w", LimitsSubject, err))
	}
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, message := range l.tell(self) {
				if err := nc.Publish(LimitsSubject, message); err != nil {
					log.DebugContext(ctx, "other gateways were not told what was given out", "error", err)
				}
			}
		case <-ctx.Done():
			err := sub.Unsubscribe()
			if err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
				return fmt.Errorf("unsubscribe from %s: %w", LimitsSubject, err)
			}
			return nil
		}
	}
}

// tell returns the messages of what was given out since the last time, and
// forgets the accounts that nothing needs to be known of.
func (l *Limiter) tell(self string) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var messages [][]byte
	g := given{From: self, Accounts: make(map[string][2]int)}
	flush := func() {
		if len(g.Accounts) == 0 {
			return
		}
		if b, err := json.Marshal(g); err == nil { // texts and numbers: it cannot fail
			messages = append(messages, b)
		}
		clear(g.Accounts)
	}
	for account, b := range l.accounts {
		if b.took > 0 {
			g.Accounts[account] = [2]int{b.took, b.limit}
			b.took = 0
			if len(g.Accounts) == shareAccounts {
				flush()
			}
		}
		if b.refill(now); b.tokens >= float64(b.limit) {
			delete(l.accounts, account)
		}
	}
	flush()
	return messages
}

// hear counts what another gateway has given out.
func (l *Limiter) hear(self string, message []byte) {
	var g given
	if json.Unmarshal(message, &g) != nil || g.From == self {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for account, n := range g.Accounts {
		took, limit := n[0], n[1]
		if account == "" || took <= 0 || limit <= 0 {
			continue
		}
		b, ok := l.accounts[account]
		if !ok {
			b = l.bucket(account, limit)
		}
		b.refill(l.now())
		b.tokens = max(b.tokens-float64(took), float64(-maxDebt*b.limit))
	}
}
