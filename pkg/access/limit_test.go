package access

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/fault"
)

// clock is one that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }
func limited(account string, n int) Identity {
	return Identity{Tenant: "acme", Account: account, Limits: Limits{RequestsPerMinute: n}}
}

func TestAMinutesRequestsMayBeMadeAtOnceAndThenAtTheirRate(t *testing.T) {
	t.Parallel()
	c := &clock{at: epoch()}
	l := NewLimiter(c.now)
	who := limited("k", 60)
	for i := range 60 {
		a := l.Take(who)
		if a.Err() != nil || a.Limit != 60 || a.Remaining != 59-i || a.Reset != time.Duration(i+1)*time.Second {
			t.Fatalf("request %d: %+v", i, a)
		}
	}
	a := l.Take(who)
	err := a.Err()
	if code(err) != "rate_limited" || !fault.Is(err, fault.Throttled) || fault.RetryAfter(err) != time.Second || a.Remaining != 0 || a.Reset != time.Minute {
		t.Errorf("the one after: %+v", a)
	}
	if l.Take(limited("l", 60)).Err() != nil {
		t.Error("another account is limited too")
	}
	c.pass(2500 * time.Millisecond)
	for i, want := range []bool{true, true, false} {
		if got := l.Take(who).Err() == nil; got != want {
			t.Errorf("%d after 2.5 s: %v", i, got)
		}
	}
	c.pass(time.Hour)
	if a := l.Take(who); a.Remaining != 59 {
		t.Errorf("after an hour: %+v", a)
	}
}

func TestWithoutALimitNothingIsCounted(t *testing.T) {
	t.Parallel()
	l := NewLimiter(nil)
	for _, who := range []Identity{Anonymous(), limited("k", 0), limited("", 1)} {
		for range 10 {
			if a := l.Take(who); a != (Allowance{}) || a.Err() != nil {
				t.Errorf("%+v: %+v", who, a)
			}
		}
	}
	if len(l.accounts) != 0 {
		t.Errorf("%d accounts are remembered", len(l.accounts))
	}
}

func TestAChangedLimitCountsAtOnce(t *testing.T) {
	t.Parallel()
	c := &clock{at: epoch()}
	l := NewLimiter(c.now)
	for range 10 {
		l.Take(limited("k", 10))
	}
	if a := l.Take(limited("k", 15)); a.Err() != nil || a.Remaining != 4 {
		t.Errorf("more: %+v", a)
	}
	if a := l.Take(limited("k", 5)); a.Err() == nil {
		t.Errorf("less: %+v", a)
	}
}

// TestOverALongTimeNoAccountGetsMoreThanItsLimit, whatever it does and over however many gateways.
func TestOverALongTimeNoAccountGetsMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	const limit, minutes, gateways = 30, 30, 3
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	c := &clock{at: epoch()}
	var all []*Limiter
	for range gateways {
		all = append(all, NewLimiter(c.now))
	}
	given, first := 0, 0
	for second := range minutes * 60 {
		for range random.IntN(200) {
			if all[random.IntN(gateways)].Take(limited("k", limit)).Err() == nil {
				given++
			}
		}
		if second == 0 {
			first = given
		}
		for from, l := range all {
			for _, m := range l.tell(fmt.Sprint(from)) {
				for to, other := range all {
					other.hear(fmt.Sprint(to), m)
				}
			}
		}
		c.pass(time.Second)
	}
	if first > gateways*limit {
		t.Errorf("seed %d: %d in the first second", seed, first)
	}
	// One minute's at once, and what may be given out between two exchanges.
	if most := limit*(minutes+1) + gateways; given > most {
		t.Errorf("seed %d: %d requests in %d minutes, want %d at most", seed, given, minutes, most)
	}
	if least := limit * minutes * 9 / 10; given < least {
		t.Errorf("seed %d: %d requests in %d minutes, want %d at least", seed, given, minutes, least)
	}
}

func TestWhatIsHeardIsBelievedWithinBounds(t *testing.T) {
	t.Parallel()
	c := &clock{at: epoch()}
	l := NewLimiter(c.now)
	for _, bad := range []string{
		"", "no JSON", `{"from":"self","accounts":{"k":[10,10]}}`, `{"accounts":{"k":[-10,10]}}`, `{"accounts":{"k":[10,0]}}`, `{"accounts":{"":[10,10]}}`, `{"accounts":{"k":[1]}}`,
	} {
		l.hear("self", []byte(bad))
	}
	if a := l.Take(limited("k", 10)); a.Remaining != 9 {
		t.Errorf("after nonsense: %+v", a)
	}
	for range 100 {
		l.hear("self", []byte(`{"from":"other","accounts":{"k":[1000000,10]}}`))
	}
	if a := l.Take(limited("k", 10)); a.RetryAfter > (maxDebt+1)*time.Minute || a.Err() == nil {
		t.Errorf("after too much: %+v", a)
	}
}

func TestAccountsAreForgottenThatHaveAllTheirRequests(t *testing.T) {
	t.Parallel()
	c := &clock{at: epoch()}
	l := NewLimiter(c.now)
	for i := range 3 * shareAccounts {
		l.Take(limited(fmt.Sprint(i), 60))
	}
	messages := l.tell("self")
	if len(messages) != 3 {
		t.Errorf("%d messages", len(messages))
	}
	told := 0
	for _, m := range messages {
		var g given
		if err := json.Unmarshal(m, &g); err != nil || len(m) > 1<<17 {
			t.Errorf("a message of %d bytes: %v", len(m), err)
		}
		told += len(g.Accounts)
	}
	if told != 3*shareAccounts || len(l.accounts) != told {
		t.Errorf("told of %d accounts, %d are remembered", told, len(l.accounts))
	}
	c.pass(time.Minute)
	if again := l.tell("self"); len(again) != 0 || len(l.accounts) != 0 {
		t.Errorf("a minute later %d messages, %d accounts", len(again), len(l.accounts))
	}
	for i := range maxAccounts + 100 {
		l.Take(limited(fmt.Sprint(i), 60))
	}
	if len(l.accounts) > maxAccounts {
		t.Errorf("%d accounts are remembered", len(l.accounts))
	}
}

func TestGatewaysTellEachOther(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	here, there := NewLimiter(nil), NewLimiter(nil)
	for _, l := range []*Limiter{here, there} {
		go func() { done <- l.Run(ctx, b.NATS, nil) }()
	}
	heard, err := b.NATS.SubscribeSync(LimitsSubject)
	if err != nil {
		t.Fatal(err)
	}
	deadline, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 50 {
		here.Take(limited("k", 50))
	}
	for there.Take(limited("k", 50)).Err() == nil { // what it takes itself is told too, and heard here
		if _, err := heard.NextMsgWithContext(deadline); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// spending is a Ledger that says what was spent.
type spending struct {
	Ledger
	tokens int64
	err    error
	asked  int
	swept  []int
}

func (s *spending) Spent(context.Context, string, string, time.Time) (int64, error) {
	s.asked++
	return s.tokens, s.err
}

func (s *spending) SweepCharges(_ context.Context, before time.Time, limit int) (int, error) {
	if age := time.Since(before); age < 48*time.Hour {
		return 0, fmt.Errorf("charges are forgotten after %s", age)
	}
	n := min(s.tokens, int64(limit))
	s.tokens -= n
	s.swept = append(s.swept, int(n))
	return int(n), s.err
}

func TestADaysTokensAreSpentOnce(t *testing.T) {
	t.Parallel()
	c := &clock{at: time.Date(2026, 11, 23, 23, 0, 0, 0, time.FixedZone("west", -2*3600))}
	l := &spending{}
	q := NewQuota(l, nil, c.now)
	who := Identity{Tenant: "acme", Account: "k", Limits: Limits{TokensPerDay: 100}}
	for spent, want := range map[int64]Tokens{
		0: {Limit: 100, Remaining: 100, Reset: 23 * time.Hour}, 99: {Limit: 100, Remaining: 1, Reset: 23 * time.Hour},
		100: {Limit: 100, Reset: 23 * time.Hour}, 130: {Limit: 100, Reset: 23 * time.Hour},
	} {
		l.tokens = spent
		got, err := q.Check(t.Context(), who)
		if got != want || (err != nil) != (want.Remaining == 0) {
			t.Errorf("%d spent: %+v, %v", spent, got, err)
		}
		if err != nil && (code(err) != "token_quota_exceeded" || !fault.Is(err, fault.Throttled) || fault.RetryAfter(err) != 23*time.Hour) {
			t.Errorf("%d spent: %v", spent, err)
		}
	}
	l.err = fmt.Errorf("connection refused")
	if _, err := q.Check(t.Context(), who); code(err) != "access_unavailable" {
		t.Errorf("the ledger is away: %v", err)
	}
	asked := l.asked
	for _, free := range []Identity{Anonymous(), {Tenant: "acme", Account: "k"}} {
		if got, err := q.Check(t.Context(), free); got != (Tokens{}) || err != nil {
			t.Errorf("without a limit: %+v, %v", got, err)
		}
	}
	if l.asked != asked {
		t.Error("the ledger was asked for nothing")
	}
}

func TestOldChargesAreForgottenInBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &spending{tokens: 2*sweepBatch + 5}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- NewQuota(l, nil, nil).Run(ctx) }()
		time.Sleep(3 * sweepEvery / 2)
		synctest.Wait()
		stop()
		if err := <-done; err != nil || len(l.swept) < 3 || l.tokens != 0 {
			t.Errorf("swept %v, %d are left: %v", l.swept, l.tokens, err)
		}
	})
}
