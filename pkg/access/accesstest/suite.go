// Package accesstest is the contract of access.Keys and access.Ledger: every
// adapter passes it.
package accesstest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Store is what an adapter is.
type Store interface {
	access.Keys
	access.Ledger
}

// Open returns a Store on an empty database, which ends with the test.
type Open func(t *testing.T) Store

// Run runs the whole contract.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Store){
		"a key comes back as it was made":           comesBack,
		"an id is taken once":                       takenOnce,
		"what is no key is refused":                 refused,
		"keys are listed by tenant, in pages":       listed,
		"revoking is for good, and once":            revoked,
		"another tenant's key is not there":         strangers,
		"the time of last use only moves forward":   used,
		"a question is charged once":                chargedOnce,
		"many charge the same question at once":     chargedTogether,
		"days and accounts are counted apart":       apart,
		"nothing is charged for nothing":            nothing,
		"old charges are swept, their sums are not": swept,
		"it answers": func(t *testing.T, s Store) { must(t, s.Ready(t.Context())) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// epoch is a time with microseconds.
func epoch() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// issue makes and stores a key with everything in it.
func issue(t *testing.T, s Store, tenant, name string) (access.Key, access.Digest) {
	t.Helper()
	k, d, _, err := access.Issue(access.Key{
		Name: name, Tenant: tenant, Owner: "user:größe", Principals: []string{"user:b", "group:a"},
		Scopes: access.NewScopes(access.Chat, access.DocumentsWrite), Limits: access.Limits{RequestsPerMinute: 7, TokensPerDay: 1 << 40},
		ExpiresAt: epoch().Add(time.Hour),
	}, epoch())
	must(t, err)
	must(t, s.Create(t.Context(), k, d))
	return k, d
}

func find(t *testing.T, s Store, id string) access.Key {
	t.Helper()
	k, _, err := s.Find(t.Context(), id)
	must(t, err)
	return k
}

func comesBack(t *testing.T, s Store) {
	want, digest := issue(t, s, "acme", "all of it")
	got, d, err := s.Find(t.Context(), want.ID)
	if diff := cmp.Diff(want, got); diff != "" || d != digest || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
	bare, d, _, err := access.Issue(access.Key{Name: "n", Tenant: "acme", Scopes: access.NewScopes(access.Events)}, epoch())
	must(t, err)
	must(t, s.Create(t.Context(), bare, d))
	got = find(t, s, bare.ID)
	if !got.ExpiresAt.IsZero() || !got.LastUsedAt.IsZero() || !got.RevokedAt.IsZero() || len(got.Principals) != 0 || got.Owner != "key:"+bare.ID {
		t.Errorf("got %+v", got)
	}
	if _, _, err := s.Find(t.Context(), "nobody"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown id: %v", err)
	}
}

func takenOnce(t *testing.T, s Store) {
	k, d := issue(t, s, "acme", "first")
	for _, tenant := range []string{"acme", "other"} {
		again := k
		again.Tenant, again.Name = tenant, "second"
		err := s.Create(t.Context(), again, d)
		if code, _ := fault.Public(err); !fault.Is(err, fault.Invalid) || code != "key_exists" {
			t.Errorf("%s: %v", tenant, err)
		}
	}
	if got := find(t, s, k.ID); got.Name != "first" || got.Tenant != "acme" {
		t.Errorf("got %+v", got)
	}
}

func refused(t *testing.T, s Store) {
	k, d, _, err := access.Issue(access.Key{Name: "n", Tenant: "acme", Scopes: access.NewScopes(access.Chat)}, epoch())
	must(t, err)
	k.Scopes = 0
	if err := s.Create(t.Context(), k, d); !fault.Is(err, fault.Invalid) || fault.Field(err) != "scopes" {
		t.Errorf("a key without scopes: %v", err)
	}
	if _, _, err := s.Find(t.Context(), k.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("it was stored: %v", err)
	}
}

func listed(t *testing.T, s Store) {
	want := map[string]int{"acme": 5, "other": 2, "": 7, "nobody": 0}
	for tenant, n := range map[string]int{"acme": 5, "other": 2} {
		for i := range n {
			issue(t, s, tenant, fmt.Sprint(tenant, i))
		}
	}
	for tenant, n := range want {
		seen, after := map[string]bool{}, ""
		for {
			page, err := s.List(t.Context(), tenant, after, 2)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, k := range page {
				if k.ID <= after || seen[k.ID] || tenant != "" && k.Tenant != tenant {
					t.Fatalf("%q: %+v after %s", tenant, k, after)
				}
				seen[k.ID], after = true, k.ID
			}
		}
		if len(seen) != n {
			t.Errorf("%q has %d keys, want %d", tenant, len(seen), n)
		}
	}
}

func revoked(t *testing.T, s Store) {
	k, _ := issue(t, s, "acme", "n")
	before := time.Now().Add(-time.Second)
	first, err := s.Revoke(t.Context(), "acme", k.ID)
	must(t, err)
	if first.RevokedAt.Before(before) || first.RevokedAt.After(time.Now().Add(time.Second)) {
		t.Errorf("revoked at %s", first.RevokedAt)
	}
	again, err := s.Revoke(t.Context(), "", k.ID)
	must(t, err)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(first, find(t, s, k.ID)); diff != "" {
		t.Error(diff)
	}
}

func strangers(t *testing.T, s Store) {
	k, _ := issue(t, s, "acme", "n")
	for _, id := range []string{k.ID, "nobody"} {
		if _, err := s.Revoke(t.Context(), "other", id); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if got := find(t, s, k.ID); !got.RevokedAt.IsZero() {
		t.Errorf("it was revoked: %+v", got)
	}
}

func used(t *testing.T, s Store) {
	a, _ := issue(t, s, "acme", "a")
	b, _ := issue(t, s, "other", "b")
	for _, step := range []struct{ at, want time.Duration }{{time.Minute, time.Minute}, {0, time.Minute}, {time.Hour, time.Hour}} {
		must(t, s.Used(t.Context(), map[string]time.Time{a.ID: epoch().Add(step.at), b.ID: epoch().Add(step.at), "nobody": epoch()}))
		for _, k := range []access.Key{a, b} {
			if got := find(t, s, k.ID).LastUsedAt; !got.Equal(epoch().Add(step.want)) {
				t.Errorf("after %s: %s", step.at, got)
			}
		}
	}
	must(t, s.Used(t.Context(), nil))
}

func spent(t *testing.T, s Store, tenant, account string, at time.Time) int64 {
	t.Helper()
	n, err := s.Spent(t.Context(), tenant, account, at)
	must(t, err)
	return n
}

func charge(request string, tokens int64) access.Charge {
	return access.Charge{Tenant: "acme", Account: "k", Request: request, Tokens: tokens, At: epoch()}
}

func chargedOnce(t *testing.T, s Store) {
	for _, c := range []access.Charge{charge("a", 10), charge("a", 10), charge("a", 99), charge("b", 5)} {
		must(t, s.Charge(t.Context(), c))
	}
	if n := spent(t, s, "acme", "k", epoch()); n != 15 {
		t.Errorf("spent %d", n)
	}
}

func chargedTogether(t *testing.T, s Store) {
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if err := s.Charge(t.Context(), charge(fmt.Sprint(i%10), 1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := spent(t, s, "acme", "k", epoch()); n != 10 {
		t.Errorf("spent %d", n)
	}
}

func apart(t *testing.T, s Store) {
	midnight := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for i, c := range []access.Charge{
		{Tenant: "acme", Account: "k", At: midnight.Add(-time.Microsecond)},
		{Tenant: "acme", Account: "k", At: midnight.In(time.FixedZone("west", -8*3600))},
		{Tenant: "acme", Account: "l", At: midnight},
		{Tenant: "other", Account: "k", At: midnight},
	} {
		c.Request, c.Tokens = "same", int64(1)<<i
		must(t, s.Charge(t.Context(), c))
	}
	got := []int64{
		spent(t, s, "acme", "k", midnight.Add(-time.Hour)), spent(t, s, "acme", "k", midnight.Add(time.Hour)),
		spent(t, s, "acme", "l", midnight), spent(t, s, "other", "k", midnight), spent(t, s, "other", "l", midnight),
	}
	if diff := cmp.Diff([]int64{1, 2, 4, 8, 0}, got); diff != "" {
		t.Error(diff)
	}
}

func nothing(t *testing.T, s Store) {
	must(t, s.Charge(t.Context(), charge("a", 0)))
	must(t, s.Charge(t.Context(), access.Charge{Tenant: "acme", Request: "b", Tokens: 5, At: epoch()}))
	must(t, s.Charge(t.Context(), charge("a", 3))) // the first that counts
	if n := spent(t, s, "acme", "k", epoch()); n != 3 {
		t.Errorf("spent %d", n)
	}
	if n := spent(t, s, "acme", "", epoch()); n != 0 {
		t.Errorf("nobody spent %d", n)
	}
}

func swept(t *testing.T, s Store) {
	day := 24 * time.Hour
	for i := range 5 {
		c := charge(fmt.Sprint(i), 1)
		c.At = epoch().Add(time.Duration(-i) * day)
		must(t, s.Charge(t.Context(), c))
	}
	for _, want := range []int{2, 1, 0} {
		n, err := s.SweepCharges(t.Context(), epoch().Add(-day), 2)
		if err != nil || n != want {
			t.Fatalf("swept %d, want %d: %v", n, want, err)
		}
	}
	for i := range 5 {
		if n := spent(t, s, "acme", "k", epoch().Add(time.Duration(-i)*day)); n != 1 {
			t.Errorf("%d days ago: %d", i, n)
		}
	}
	again := charge("1", 1)
	again.At = epoch().Add(-day)
	must(t, s.Charge(t.Context(), again))
	if n := spent(t, s, "acme", "k", again.At); n != 1 {
		t.Errorf("a charge that was kept counted twice: %d", n)
	}
}
