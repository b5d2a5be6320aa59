package jwtauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	issuerName = "https://issuer.example.com/"
	audience   = "ragbus"
)

func epoch() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC) }

// clock is one that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// signing are the private keys of tests, made once: RSA ones take long.
type signing struct {
	rsa, otherRSA *rsa.PrivateKey
	ecdsa         *ecdsa.PrivateKey
	ed            ed25519.PrivateKey
}

var private = sync.OnceValue(func() signing { //nolint:gochecknoglobals // made once
	var (
		s   signing
		err error
	)
	must := func() {
		if err != nil {
			panic(err)
		}
	}
	s.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	must()
	s.otherRSA, err = rsa.GenerateKey(rand.Reader, 2048)
	must()
	s.ecdsa, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must()
	_, s.ed, err = ed25519.GenerateKey(rand.Reader)
	must()
	return s
})

func published(id string, key crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{KeyID: id, Key: key.Public(), Use: "sig"}
}

// issuer publishes keys over HTTP.
type issuer struct {
	*httptest.Server
	clock *clock

	mu      sync.Mutex
	body    []byte
	status  int
	fetched int
}

func newIssuer(tb testing.TB, keys ...jose.JSONWebKey) *issuer {
	tb.Helper()
	i := &issuer{clock: &clock{at: epoch()}}
	i.publish(tb, keys...)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.fetched++
		if i.status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(i.status)
		if _, err := w.Write(i.body); err != nil {
			tb.Log(err)
		}
	}))
	tb.Cleanup(i.Close)
	return i
}

func (i *issuer) answer(status int, body []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.body = status, body
}

func (i *issuer) publish(tb testing.TB, keys ...jose.JSONWebKey) {
	tb.Helper()
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		tb.Fatal(err)
	}
	i.answer(http.StatusOK, body)
}

func (i *issuer) fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetched
}

// settings are what an operator sets at least, with the defaults.
func settings(url string) Config {
	return Config{
		Issuer: issuerName, Audience: audience, JWKSURL: config.URL(url), Algorithms: []string{"RS256", "ES256", "EdDSA"},
		TenantClaim: "tenant", OwnerClaim: "sub", PrincipalsClaims: []string{"groups"}, ScopesClaim: "scope", Leeway: 30 * time.Second,
	}
}

func (i *issuer) authenticator(tb testing.TB, change func(*Config)) *Authenticator {
	tb.Helper()
	cfg := settings(i.URL)
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg, Deps{Now: i.clock.now})
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// said are the claims of a usual token; with overrides them, nil removes.
func said(with map[string]any) map[string]any {
	all := map[string]any{
		"iss": issuerName, "aud": []string{"other", audience}, "sub": "user:ann", "tenant": "acme", "groups": []string{"group:b", "group:a"},
		"scope": "openid chat documents:read", "iat": epoch().Unix(), "nbf": epoch().Unix(), "exp": epoch().Add(time.Hour).Unix(),
	}
	maps.Copy(all, with)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// sign returns a token.
func sign(tb testing.TB, algorithm jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	tb.Helper()
	opts := (&jose.SignerOptions{}).WithType("JWT")
	if id != "" {
		opts = opts.WithHeader("kid", id)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, opts)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// told returns the code that the caller is told, "" for being known.
func told(a *Authenticator, tb testing.TB, token string) string {
	tb.Helper()
	_, err := a.Authenticate(tb.Context(), token)
	if err == nil {
		return ""
	}
	code, _ := fault.Public(err)
	return code
}

var _ access.Authenticator = (*Authenticator)(nil)
