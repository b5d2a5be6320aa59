package jwtauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/ragbus/ragbus/pkg/access"
)

const (
	// fetchTimeout bounds one fetch of the keys, which callers may be waiting for.
	fetchTimeout = 3 * time.Second
	// fetchEvery is how often keys are fetched at most, whoever asks: unknown
	// key ids cost strangers nothing to make up.
	fetchEvery = 10 * time.Second
	// refreshEvery is after how long they are fetched anyway at the latest, so
	// that a key that the issuer withdrew stops counting.
	refreshEvery = 5 * time.Minute
	// staleAfter is for how long keys count while the issuer is away.
	staleAfter = time.Hour
	// maxBody bounds a key set, maxKeys its keys.
	maxBody = 1 << 20
	maxKeys = 100
	// minRSA is what RFC 7518 section 3.3 asks for.
	minRSA = 2048
)

// keySet is what one fetch found. It is never changed; a later fetch makes another.
type keySet struct{ keys []jose.JSONWebKey }

// keys are the issuer's, as last fetched.
type keys struct {
	url    string
	client *http.Client
	log    *slog.Logger
	now    func() time.Time
	flight singleflight.Group

	mu sync.Mutex
	// set is nil before the first fetch that succeeded.
	set *keySet
	// at is when set was asked for, tried when anything last was.
	at, tried time.Time
	failure   error
}

func newKeys(address string, deps Deps) *keys {
	client := deps.Client
	if client == nil {
		client = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: fetchTimeout, ResponseHeaderTimeout: fetchTimeout,
			// Fetched every few minutes: a connection would only be kept for its timeout.
			DisableKeepAlives: true,
		}}
	}
	own := *client
	// Another address was not said to be trusted.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &keys{url: address, client: &own, log: deps.Log, now: deps.Now}
}

// run fetches the keys when they get old.
func (k *keys) run(ctx context.Context) error {
	for {
		pause := refreshEvery
		if err := k.fetch(ctx); err != nil && ctx.Err() == nil {
			k.log.WarnContext(ctx, "the issuer's keys could not be fetched", "error", err)
			pause = 2 * fetchEvery
		}
		// Spread, so that replicas do not ask together.
		wait := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // a pause
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil
		}
	}
}

// find returns the keys of the set, which is the current one, that may have
// signed a token: those with its key id, or all when it names none, as far as
// they are for the algorithm. When there is none it may fetch another set,
// and returns which one the keys are of. None is not an error.
func (k *keys) find(ctx context.Context, set *keySet, id, algorithm string) (*keySet, []jose.JSONWebKey, error) {
	found := set.fitting(id, algorithm)
	if len(found) > 0 || id == "" {
		return set, found, nil
	}
	// The issuer may have begun to use a new key.
	if err := k.fetch(ctx); err != nil {
		return nil, nil, access.Unavailable(err)
	}
	set = k.held()
	return set, set.fitting(id, algorithm), nil
}

func (s *keySet) fitting(id, algorithm string) []jose.JSONWebKey {
	var found []jose.JSONWebKey
	for _, key := range s.keys {
		if (id == "" || key.KeyID == id) && (key.Algorithm == "" || key.Algorithm == algorithm) {
			found = append(found, key)
		}
	}
	return found
}

func (k *keys) held() *keySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.set
}

// counting returns the set that counts, nil when there is none. An old one
// counts until run has a newer one: no caller waits for an issuer that hangs.
func (k *keys) counting() *keySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set == nil || k.now().Sub(k.at) > staleAfter {
		return nil
	}
	return k.set
}

// current returns the set that counts, which it fetches when there is none.
func (k *keys) current(ctx context.Context) (*keySet, error) {
	if set := k.counting(); set != nil {
		return set, nil
	}
	if err := k.fetch(ctx); err != nil {
		return nil, access.Unavailable(err)
	}
	return k.held(), nil
}

// fetch asks the issuer, unless somebody just did; then it returns what came of that.
func (k *keys) fetch(ctx context.Context) error {
	answer := k.flight.DoChan("", func() (any, error) {
		k.mu.Lock()
		if now := k.now(); !k.tried.IsZero() && now.Sub(k.tried) < fetchEvery {
			defer k.mu.Unlock()
			return nil, k.failure
		}
		at := k.now()
		k.tried = at
		k.mu.Unlock()
		// For all who wait for it, of whom the first may leave.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		set, err := k.get(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.failure = err; err == nil {
			k.set, k.at = &keySet{set}, at
		}
		return nil, err
	})
	select {
	case a := <-answer:
		return a.Err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *keys) get(ctx context.Context) ([]jose.JSONWebKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("fetch the issuer's keys: %w", withoutURL(err))
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the issuer's keys: %w", withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the issuer's keys: status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("fetch the issuer's keys: %w", err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("fetch the issuer's keys: more than %d bytes", maxBody)
	}
	return parseSet(body)
}

// withoutURL returns what went wrong with a request without its address, whose query may be a secret.
func withoutURL(err error) error {
	if asked, ok := errors.AsType[*url.Error](err); ok {
		return asked.Err
	}
	return err
}

// parseSet returns the keys of a set that verify signatures. What it does not
// know, or must not use, is left out; a set without any is an error.
func parseSet(body []byte) ([]jose.JSONWebKey, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, fmt.Errorf("decode the issuer's keys: %w", err)
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("the issuer has %d keys; the limit is %d", len(raw.Keys), maxKeys)
	}
	var set []jose.JSONWebKey
	for _, text := range raw.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(text, &key) == nil && usable(key) {
			set = append(set, key.Public())
		}
	}
	if len(set) == 0 {
		return nil, errors.New("the issuer has no key that can be used")
	}
	return set, nil
}

// usable reports whether a key may verify signatures. One with a shared secret
// may not: what is published is no secret.
func usable(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" || !key.Valid() {
		return false
	}
	switch public := key.Public().Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= minRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}
