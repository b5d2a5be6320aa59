package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
)

// record is a Keys in memory that can be away, or slow.
type record struct {
	mu      sync.Mutex
	keys    map[string]Key
	digests map[string]Digest
	used    map[string]time.Time
	away    error
	asked   int
	// wait, when set, holds up a look-up after it has read.
	wait chan struct{}
}

func newRecord() *record {
	return &record{keys: map[string]Key{}, digests: map[string]Digest{}, used: map[string]time.Time{}}
}

func (r *record) Create(_ context.Context, k Key, d Digest) error {
	r.set(k, d)
	return nil
}

func (r *record) set(k Key, d Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[k.ID], r.digests[k.ID] = k, d
}

func (r *record) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = err
}

func (r *record) Find(ctx context.Context, id string) (Key, Digest, error) {
	r.mu.Lock()
	r.asked++
	k, ok := r.keys[id]
	d, err, wait := r.digests[id], r.away, r.wait
	r.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return Key{}, Digest{}, ctx.Err()
		}
	}
	if err == nil && !ok {
		err = fault.NotFoundf("key_not_found", "there is no such key")
	}
	return k, d, err
}

func (r *record) List(context.Context, string, string, int) ([]Key, error) { return nil, nil }

func (r *record) Revoke(_ context.Context, _, id string) (Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.keys[id]
	k.RevokedAt = time.Now()
	r.keys[id] = k
	return k, nil
}

func (r *record) Used(_ context.Context, at map[string]time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away == nil {
		maps.Copy(r.used, at)
	}
	return r.away
}

func (r *record) Ready(context.Context) error { return nil }

func (r *record) lookups() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// code returns what the caller is told, "" for being known.
func code(err error) string {
	if err == nil {
		return ""
	}
	c, _ := fault.Public(err)
	return c
}

func TestAKeyIsKnownByItsSecret(t *testing.T) {
	t.Parallel()
	r := newRecord()
	k, d, bearer := issued(t, func(k *Key) { k.Limits = Limits{RequestsPerMinute: 3, TokensPerDay: 4} })
	r.set(k, d)
	other, _, foreign := issued(t, nil)
	ring := NewKeyring(r, nil, func() time.Time { return epoch().Add(time.Second) })
	id, err := ring.Authenticate(t.Context(), bearer)
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{
		Tenant: "acme", Owner: "user:ann", Principals: []string{"group:a", "group:b"}, Scopes: NewScopes(Chat), KeyID: k.ID, Account: k.ID,
		Limits: Limits{RequestsPerMinute: 3, TokensPerDay: 4},
	}
	if diff := cmp.Diff(want, id); diff != "" {
		t.Error(diff)
	}
	_, secret, _ := splitBearer(foreign)
	refusals := map[string]bool{}
	for name, bad := range map[string]string{
		"nothing": "", "no key": "Bearer x", "unknown": foreign, "another's secret": "rb_" + k.ID + "_" + secret, "cut off": bearer[:len(bearer)-1],
		"no secret": "rb_" + k.ID + "_", "in capitals": strings.ToUpper(bearer), "the digest": fmt.Sprintf("rb_%s_%x", k.ID, d),
	} {
		_, err := ring.Authenticate(t.Context(), bad)
		if !errors.Is(err, ErrUnauthenticated) || !fault.Is(err, fault.Invalid) || code(err) != "unauthenticated" {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), other.ID) {
			t.Errorf("%s: the error holds what was sent: %v", name, err)
		}
		refusals[err.Error()] = true
	}
	if len(refusals) != 1 {
		t.Errorf("a stranger can tell refusals apart: %v", refusals)
	}
}

func TestOnlyTheHolderLearnsThatAKeyIsOver(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Key){
		"key_revoked": func(k *Key) { k.RevokedAt = epoch() },
		"key_expired": func(k *Key) { k.ExpiresAt = epoch().Add(time.Minute) },
	} {
		r := newRecord()
		k, d, bearer := issued(t, nil)
		change(&k)
		r.set(k, d)
		ring := NewKeyring(r, nil, func() time.Time { return epoch().Add(time.Minute) })
		if _, err := ring.Authenticate(t.Context(), bearer); code(err) != name || !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("the holder: %v", err)
		}
		_, _, foreign := issued(t, nil)
		_, secret, _ := splitBearer(foreign)
		if _, err := ring.Authenticate(t.Context(), "rb_"+k.ID+"_"+secret); code(err) != "unauthenticated" {
			t.Errorf("a stranger: %v", err)
		}
	}
}

func TestARevocationIsSeenWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		k, d, bearer := issued(t, nil)
		r.set(k, d)
		ring := NewKeyring(r, nil, nil)
		for at := range 60 { // whenever within the life of what is remembered
			if _, err := ring.Authenticate(t.Context(), bearer); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(at) * 100 * time.Millisecond)
			if _, err := r.Revoke(t.Context(), "", k.ID); err != nil {
				t.Fatal(err)
			}
			time.Sleep(MaxKeyAge)
			if _, err := ring.Authenticate(t.Context(), bearer); code(err) != "key_revoked" {
				t.Fatalf("after %d00 ms and five seconds: %v", at, err)
			}
			r.set(k, d)
			time.Sleep(MaxKeyAge)
		}
	})
}

func TestARevocationIsSeenAlsoWhenALookUpWasUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		k, d, bearer := issued(t, nil)
		r.set(k, d)
		r.wait = make(chan struct{})
		ring := NewKeyring(r, nil, nil)
		done := make(chan error)
		go func() {
			_, err := ring.Authenticate(t.Context(), bearer)
			done <- err
		}()
		synctest.Wait() // it has read, and is not back yet
		if _, err := r.Revoke(t.Context(), "", k.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookupTimeout - time.Millisecond)
		close(r.wait)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(MaxKeyAge - lookupTimeout + time.Millisecond)
		if _, err := ring.Authenticate(t.Context(), bearer); code(err) != "key_revoked" {
			t.Errorf("five seconds after the revocation: %v", err)
		}
	})
}

func TestWhileTheRecordIsAwayKnownKeysGoOnForALittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		k, d, bearer := issued(t, nil)
		r.set(k, d)
		_, _, unknown := issued(t, nil)
		ring := NewKeyring(r, nil, nil)
		for _, b := range []string{bearer, unknown} {
			if _, err := ring.Authenticate(t.Context(), b); err != nil && code(err) != "unauthenticated" {
				t.Fatal(err)
			}
		}
		r.fail(errors.New("connection refused"))
		_, _, never := issued(t, nil)
		for _, step := range []struct {
			wait                  time.Duration
			known, unknown, never string
		}{
			{0, "", "unauthenticated", "access_unavailable"},
			{4500 * time.Millisecond, "", "unauthenticated", "access_unavailable"},
			{499 * time.Millisecond, "", "unauthenticated", "access_unavailable"},
			{time.Millisecond, "access_unavailable", "access_unavailable", "access_unavailable"},
			{time.Hour, "access_unavailable", "access_unavailable", "access_unavailable"},
		} {
			time.Sleep(step.wait)
			for b, want := range map[string]string{bearer: step.known, unknown: step.unknown, never: step.never} {
				_, err := ring.Authenticate(t.Context(), b)
				if code(err) != want || want == "access_unavailable" && (!fault.Is(err, fault.Transient) || errors.Is(err, ErrUnauthenticated)) {
					t.Errorf("after %s: %v, want %q", step.wait, err, want)
				}
			}
		}
		r.fail(nil)
		if _, err := ring.Authenticate(t.Context(), bearer); err != nil {
			t.Errorf("when it is back: %v", err)
		}
	})
}

func TestTheRecordIsAskedOnceForMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		k, d, bearer := issued(t, nil)
		r.set(k, d)
		r.wait = make(chan struct{})
		ring := NewKeyring(r, nil, nil)
		impatient, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := ring.Authenticate(impatient, bearer)
			left <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := ring.Authenticate(t.Context(), bearer); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		leave() // the first, whose look-up the others wait for
		if err := <-left; code(err) != "access_unavailable" {
			t.Errorf("who left got %v", err)
		}
		close(r.wait)
		wg.Wait()
		if n := r.lookups(); n != 1 {
			t.Errorf("%d look-ups", n)
		}
		for range 100 {
			if _, err := ring.Authenticate(t.Context(), bearer); err != nil {
				t.Fatal(err)
			}
		}
		_, _, unknown := issued(t, nil)
		for range 100 {
			if _, err := ring.Authenticate(t.Context(), unknown); code(err) != "unauthenticated" {
				t.Fatal(err)
			}
		}
		if n := r.lookups(); n != 2 {
			t.Errorf("%d look-ups", n)
		}
	})
}

func TestARecordThatHangsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		r.wait = make(chan struct{})
		_, _, bearer := issued(t, nil)
		begun := time.Now()
		_, err := NewKeyring(r, nil, nil).Authenticate(t.Context(), bearer)
		if took := time.Since(begun); code(err) != "access_unavailable" || took != lookupTimeout {
			t.Errorf("%v after %s", err, took)
		}
	})
}

func TestARecordThatHangsHoldsAKnownKeyUpForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		k, d, bearer := issued(t, nil)
		r.set(k, d)
		ring := NewKeyring(r, nil, nil)
		known := time.Now()
		if _, err := ring.Authenticate(t.Context(), bearer); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		r.wait = make(chan struct{})
		r.mu.Unlock()
		for time.Since(known) < MaxKeyAge+10*time.Second {
			begun := time.Now()
			_, err := ring.Authenticate(t.Context(), bearer)
			switch took := time.Since(begun); {
			case begun.Sub(known) < MaxKeyAge && (err != nil || took > refreshWait || time.Since(known) > MaxKeyAge):
				t.Errorf("asked after %s: %v after %s", begun.Sub(known), err, took)
			case begun.Sub(known) >= MaxKeyAge && (code(err) != "access_unavailable" || took > lookupTimeout):
				t.Errorf("asked after %s: %v after %s", begun.Sub(known), err, took)
			}
			time.Sleep(99 * time.Millisecond)
		}
	})
}

func TestStrangersCannotFillTheMemory(t *testing.T) {
	t.Parallel()
	r := newRecord()
	ring := NewKeyring(r, nil, epoch)
	k, d, bearer := issued(t, nil)
	r.set(k, d)
	asked := 0
	for i := range 3 * knownKeys {
		_, _ = ring.find(t.Context(), fmt.Sprintf("%016d", i))
		if i%1000 == 0 {
			before := r.lookups()
			if _, err := ring.Authenticate(t.Context(), bearer); err != nil {
				t.Fatal(err)
			}
			asked += r.lookups() - before
		}
	}
	if asked != 1 {
		t.Errorf("a key in use was looked up %d times", asked)
	}
	before := r.lookups()
	_, _ = ring.find(t.Context(), fmt.Sprintf("%016d", 0))
	if r.lookups() == before {
		t.Error("the first stranger is still remembered")
	}
}

func TestWhenAKeyWasLastUsedIsRecordedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		k, d, bearer := issued(t, nil)
		r.set(k, d)
		ring := NewKeyring(r, nil, nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- ring.Run(ctx) }()
		use := func() time.Time {
			if _, err := ring.Authenticate(t.Context(), bearer); err != nil {
				t.Fatal(err)
			}
			return time.Now()
		}
		last := func() time.Time {
			synctest.Wait()
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.used[k.ID]
		}
		use()
		time.Sleep(10 * time.Second)
		at := use()
		time.Sleep(useEvery)
		if !last().Equal(at) {
			t.Errorf("recorded %s, want %s", last(), at)
		}
		lost := use()
		r.fail(errors.New("connection refused"))
		time.Sleep(useEvery)
		r.fail(nil)
		if last().Equal(lost) {
			t.Error("recorded while the record was away")
		}
		time.Sleep(useEvery)
		if !last().Equal(lost) {
			t.Errorf("recorded %s, want %s", last(), lost)
		}
		end := use()
		stop()
		if err := <-done; err != nil || !last().Equal(end) {
			t.Errorf("at the end: %v, recorded %s, want %s", err, last(), end)
		}
	})
}
