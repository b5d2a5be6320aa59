package jwtauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/fault"
)

func TestAGenuineTokenIsKnown(t *testing.T) {
	t.Parallel()
	p := private()
	i := newIssuer(t, published("r", p.rsa), published("e", p.ecdsa), published("d", p.ed))
	a := i.authenticator(t, func(c *Config) { c.RequestsPerMinute, c.TokensPerDay = 60, 1000 })
	for name, token := range map[string]string{
		"RS256": sign(t, jose.RS256, p.rsa, "r", said(nil)), "ES256": sign(t, jose.ES256, p.ecdsa, "e", said(nil)),
		"EdDSA": sign(t, jose.EdDSA, p.ed, "d", said(nil)), "without a key id": sign(t, jose.ES256, p.ecdsa, "", said(nil)),
	} {
		id, err := a.Authenticate(t.Context(), token)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := access.Identity{
			Tenant: "acme", Owner: "user:ann", Principals: []string{"group:a", "group:b"}, Scopes: access.NewScopes(access.Chat, access.DocumentsRead),
			Account: id.Account, Limits: access.Limits{RequestsPerMinute: 60, TokensPerDay: 1000},
		}
		if diff := cmp.Diff(want, id); diff != "" || id.Account == "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if n := i.fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	if err := a.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestClaimsAreReadAsConfigured(t *testing.T) {
	t.Parallel()
	p := private()
	i := newIssuer(t, published("e", p.ecdsa))
	a := i.authenticator(t, func(c *Config) {
		c.TenantClaim, c.OwnerClaim = "https://example.com/org.id", "user.email"
		c.PrincipalsClaims, c.ScopesClaim = []string{"realm_access.roles", "team", "absent", "user"}, "scp"
		c.Scopes = []string{"events"}
	})
	token := sign(t, jose.ES256, p.ecdsa, "e", said(map[string]any{
		"https://example.com/org.id": "org-7", "user": map[string]any{"email": "ann@example.com"},
		"realm_access": map[string]any{"roles": []any{"r2", "r1", 7, "r2", "*"}}, "team": "t", "scp": []string{"documents:write", "unheard"}, "tenant": nil,
	}))
	id, err := a.Authenticate(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	want := access.Identity{
		Tenant: "org-7", Owner: "ann@example.com", Principals: []string{"r1", "r2", "t"}, Scopes: access.NewScopes(access.DocumentsWrite, access.Events), Account: id.Account,
	}
	if diff := cmp.Diff(want, id); diff != "" {
		t.Error(diff)
	}
	one := i.authenticator(t, func(c *Config) { c.Tenant = "only" })
	if id, err := one.Authenticate(t.Context(), sign(t, jose.ES256, p.ecdsa, "e", said(map[string]any{"tenant": "other", "scope": nil}))); err != nil || id.Tenant != "only" || id.Scopes != 0 {
		t.Errorf("of the one tenant: %+v, %v", id, err)
	}
}

// forgeries are tokens that only a careless server believes.
func forgeries(t *testing.T) map[string]string {
	t.Helper()
	p := private()
	genuine := sign(t, jose.RS256, p.rsa, "r", said(nil))
	parts := strings.Split(genuine, ".")
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	der, err := x509.MarshalPKIXPublicKey(p.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: p.otherRSA}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	own, err := embedded.Sign([]byte(`{"iss":"` + issuerName + `","aud":"ragbus","sub":"eve","tenant":"acme","exp":1900000000}`))
	if err != nil {
		t.Fatal(err)
	}
	withOwnKey, err := own.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	none := encode(map[string]string{"alg": "none", "typ": "JWT"})
	return map[string]string{
		"nothing":                              "",
		"no token":                             "hello",
		"an API key":                           "rb_aaaaaaaaaaaaaaaa_bbbb",
		"without a signature":                  parts[0] + "." + parts[1] + ".",
		"two parts":                            parts[0] + "." + parts[1],
		"signed by nobody":                     none + "." + parts[1] + ".",
		"signed by nobody, with a signature":   none + "." + parts[1] + "." + parts[2],
		"signed by None":                       encode(map[string]string{"alg": "None"}) + "." + parts[1] + ".",
		"the public key as a shared secret":    sign(t, jose.HS256, public, "r", said(nil)),
		"its DER as a shared secret":           sign(t, jose.HS512, der, "r", said(nil)),
		"other claims under the signature":     parts[0] + "." + encode(said(map[string]any{"tenant": "other"})) + "." + parts[2],
		"another's key under the issuer's id":  sign(t, jose.RS256, p.otherRSA, "r", said(nil)),
		"an unknown key id":                    sign(t, jose.RS256, p.rsa, "unheard", said(nil)),
		"a key id of another kind":             sign(t, jose.ES256, p.ecdsa, "r", said(nil)),
		"an algorithm that is not allowed":     sign(t, jose.RS512, p.rsa, "r", said(nil)),
		"another padding":                      sign(t, jose.PS256, p.rsa, "r", said(nil)),
		"its own key inside":                   withOwnKey,
		"another issuer":                       sign(t, jose.RS256, p.rsa, "r", said(map[string]any{"iss": "https://evil.example.com/"})),
		"no issuer":                            sign(t, jose.RS256, p.rsa, "r", said(map[string]any{"iss": nil})),
		"the issuer without its slash":         sign(t, jose.RS256, p.rsa, "r", said(map[string]any{"iss": strings.TrimSuffix(issuerName, "/")})),
		"another audience":                     sign(t, jose.RS256, p.rsa, "r", said(map[string]any{"aud": "other"})),
		"no audience":                          sign(t, jose.RS256, p.rsa, "r", said(map[string]any{"aud": nil})),
		"not valid yet":                        sign(t, jose.RS256, p.rsa, "r", said(map[string]any{"nbf": epoch().Add(time.Minute).Unix()})),
		"issued in the future":                 sign(t, jose.RS256, p.rsa, "r", said(map[string]any{"iat": epoch().Add(time.Minute).Unix()})),
		"too long":                             genuine + strings.Repeat("A", maxToken),
		"all signatures as JSON":               `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`,
		"a header that must be understood":     encode(map[string]any{"alg": "RS256", "kid": "r", "crit": []string{"exp"}, "exp": 1}) + "." + parts[1] + "." + parts[2],
		"a key for encryption, not signatures": sign(t, jose.ES256, p.ecdsa, "enc", said(nil)),
		"a key of another algorithm":           sign(t, jose.ES256, p.ecdsa, "es384only", said(nil)),
	}
}

func TestForgeriesAreNotToldApart(t *testing.T) {
	t.Parallel()
	p := private()
	forEncryption, other := published("enc", p.ecdsa), published("es384only", p.ecdsa)
	forEncryption.Use, other.Algorithm = "enc", "ES384"
	i := newIssuer(t, published("r", p.rsa), forEncryption, other)
	a := i.authenticator(t, nil)
	if told(a, t, sign(t, jose.RS256, p.rsa, "r", said(nil))) != "" {
		t.Fatal("the genuine one is refused too")
	}
	messages := map[string]bool{}
	for name, token := range forgeries(t) {
		_, err := a.Authenticate(t.Context(), token)
		if !errors.Is(err, access.ErrUnauthenticated) || !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		code, message := fault.Public(err)
		messages[code+message] = true
	}
	if len(messages) != 1 {
		t.Errorf("refusals differ: %v", messages)
	}
	if n := i.fetches(); n > 2 {
		t.Errorf("the keys were fetched %d times for forgeries", n)
	}
}

func TestTheHolderOfAGenuineTokenLearnsWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := private()
	i := newIssuer(t, published("e", p.ecdsa))
	a := i.authenticator(t, nil)
	many := make([]string, maxPrincipals+1)
	for n := range many {
		many[n] = fmt.Sprint("group", n)
	}
	for name, c := range map[string]struct {
		with map[string]any
		code string
	}{
		"expired":                 {map[string]any{"exp": epoch().Add(-31 * time.Second).Unix()}, "token_expired"},
		"expired within leeway":   {map[string]any{"exp": epoch().Add(-29 * time.Second).Unix()}, ""},
		"not yet, within leeway":  {map[string]any{"nbf": epoch().Add(29 * time.Second).Unix()}, ""},
		"for ever":                {map[string]any{"exp": nil}, "token_unusable"},
		"no tenant":               {map[string]any{"tenant": nil}, "token_unusable"},
		"a tenant with a dot":     {map[string]any{"tenant": "acme.*"}, "token_unusable"},
		"a tenant that is a list": {map[string]any{"tenant": []string{"acme"}}, "token_unusable"},
		"no owner":                {map[string]any{"sub": nil}, "token_unusable"},
		"an owner of two lines":   {map[string]any{"sub": "a\nb"}, "token_unusable"},
		"an empty group":          {map[string]any{"groups": []string{""}}, "token_unusable"},
		"too many groups":         {map[string]any{"groups": many}, "token_unusable"},
		"no groups":               {map[string]any{"groups": nil}, ""},
	} {
		if got := told(a, t, sign(t, jose.ES256, p.ecdsa, "e", said(c.with))); got != c.code {
			t.Errorf("%s: %q, want %q", name, got, c.code)
		}
	}
	expired := sign(t, jose.ES256, p.ecdsa, "e", said(map[string]any{"exp": epoch().Add(-time.Hour).Unix(), "iss": "https://other.example.com"}))
	if got := told(a, t, expired); got != "unauthenticated" {
		t.Errorf("an expired one of another issuer: %q", got)
	}
}

func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	p := private()
	i := newIssuer(t, published("old", p.rsa))
	a := i.authenticator(t, nil)
	before := sign(t, jose.RS256, p.rsa, "old", said(nil))
	after := sign(t, jose.ES256, p.ecdsa, "new", said(nil))
	if got := told(a, t, before); got != "" {
		t.Fatal(got)
	}
	i.publish(t, published("old", p.rsa), published("new", p.ecdsa))
	for range 100 { // the keys were fetched a moment ago
		if got := told(a, t, after); got != "unauthenticated" {
			t.Fatalf("before the keys may be fetched again: %q", got)
		}
	}
	if n := i.fetches(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	i.clock.pass(fetchEvery)
	for _, token := range []string{after, before} {
		if got := told(a, t, token); got != "" {
			t.Errorf("after: %q", got)
		}
	}
	i.publish(t, published("new", p.ecdsa))
	i.clock.pass(fetchEvery)
	if err := a.keys.fetch(t.Context()); err != nil { // as Run does
		t.Fatal(err)
	}
	if told(a, t, before) != "unauthenticated" || told(a, t, after) != "" {
		t.Error("a key that was withdrawn counts on")
	}
	if n := i.fetches(); n != 3 {
		t.Errorf("fetched %d times", n)
	}
}

func TestStrangersCannotMakeItFetch(t *testing.T) {
	t.Parallel()
	p := private()
	i := newIssuer(t, published("e", p.ecdsa))
	a := i.authenticator(t, nil)
	for second := range 60 {
		for n := range 20 {
			told(a, t, sign(t, jose.ES256, p.ecdsa, strings.Repeat("x", second*20+n+1), said(nil)))
		}
		i.clock.pass(time.Second)
	}
	if n := i.fetches(); n > 7 {
		t.Errorf("fetched %d times in a minute", n)
	}
}

func TestWhileTheIssuerIsAwayItsKeysCountForAnHour(t *testing.T) {
	t.Parallel()
	p := private()
	i := newIssuer(t, published("e", p.ecdsa))
	a := i.authenticator(t, nil)
	token := sign(t, jose.ES256, p.ecdsa, "e", said(map[string]any{"exp": epoch().Add(24 * time.Hour).Unix()}))
	if got := told(a, t, token); got != "" {
		t.Fatal(got)
	}
	i.answer(http.StatusBadGateway, nil)
	for passed := time.Duration(0); passed <= staleAfter; passed += 10 * time.Minute {
		if got := told(a, t, token); got != "" {
			t.Errorf("after %s: %q", passed, got)
		}
		if err := a.keys.fetch(t.Context()); err == nil && passed > 0 { // as Run does
			t.Error("the issuer is away, and yet")
		}
		i.clock.pass(10 * time.Minute)
	}
	_, err := a.Authenticate(t.Context(), token)
	if code, _ := fault.Public(err); code != "access_unavailable" || !fault.Is(err, fault.Transient) || errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("after more than an hour: %v", err)
	}
	i.publish(t, published("e", p.ecdsa))
	i.clock.pass(fetchEvery)
	if got := told(a, t, token); got != "" {
		t.Errorf("when it is back: %q", got)
	}
}

func TestWithoutKeysNobodyIsRefused(t *testing.T) {
	t.Parallel()
	p := private()
	i := newIssuer(t)
	token := sign(t, jose.ES256, p.ecdsa, "e", said(nil))
	weak := `{"keys":[{"kty":"RSA","kid":"w","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(make([]byte, 128)) + `"}]}`
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"an error":               {http.StatusInternalServerError, `{"keys":[]}`},
		"another address":        {http.StatusFound, ""},
		"no JSON":                {http.StatusOK, "<html>"},
		"no keys":                {http.StatusOK, `{"keys":[]}`},
		"too much":               {http.StatusOK, `{"keys":[],"x":"` + strings.Repeat("x", maxBody) + `"}`},
		"too many keys":          {http.StatusOK, `{"keys":[` + strings.Repeat(`{},`, maxKeys) + `{}]}`},
		"a shared secret":        {http.StatusOK, `{"keys":[{"kty":"oct","kid":"e","k":"c2VjcmV0"}]}`},
		"a weak key":             {http.StatusOK, weak},
		"kinds that are unknown": {http.StatusOK, `{"keys":[{"kty":"XYZ","kid":"e"},7]}`},
	} {
		i.answer(c.status, []byte(c.body))
		a := i.authenticator(t, nil)
		if got := told(a, t, token); got != "access_unavailable" {
			t.Errorf("%s: %q", name, got)
		}
		if err := a.Ready(t.Context()); err == nil {
			t.Errorf("%s: ready", name)
		}
	}
}

func TestWhatIsUnknownInASetIsSkipped(t *testing.T) {
	t.Parallel()
	p := private()
	i := newIssuer(t)
	good, err := json.Marshal(published("e", p.ecdsa))
	if err != nil {
		t.Fatal(err)
	}
	i.answer(http.StatusOK, []byte(`{"keys":[{"kty":"XYZ"},{"kty":"oct","kid":"e","k":"c2VjcmV0"},`+string(good)+`]}`))
	if got := told(i.authenticator(t, nil), t, sign(t, jose.ES256, p.ecdsa, "e", said(nil))); got != "" {
		t.Error(got)
	}
}

// hanging is an issuer that takes a request and never answers.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAnIssuerThatHangsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	token := sign(t, jose.ES256, private().ecdsa, "e", said(nil))
	synctest.Test(t, func(t *testing.T) {
		a, err := New(settings("https://issuer.example.com/keys"), Deps{Client: &http.Client{Transport: hanging{}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		for range 5 {
			begun := time.Now()
			if got := told(a, t, token); got != "access_unavailable" || time.Since(begun) > fetchTimeout {
				t.Errorf("%q after %s", got, time.Since(begun))
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRunLearnsWhatTheIssuerWithdrew(t *testing.T) {
	t.Parallel()
	p := private()
	sets := make(chan []byte, 4)
	for _, key := range []jose.JSONWebKey{published("a", p.rsa), published("b", p.ecdsa), published("b", p.ecdsa), published("b", p.ecdsa)} {
		body, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
		if err != nil {
			t.Fatal(err)
		}
		sets <- body
	}
	claims := said(map[string]any{"nbf": nil, "iat": nil, "exp": time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()})
	before, after := sign(t, jose.RS256, p.rsa, "a", claims), sign(t, jose.ES256, p.ecdsa, "b", claims)
	synctest.Test(t, func(t *testing.T) {
		a, err := New(settings("https://issuer.example.com/keys"), Deps{Client: &http.Client{Transport: answering(sets)}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		synctest.Wait()
		if told(a, t, before) != "" {
			t.Error("the first key is unknown")
		}
		time.Sleep(refreshEvery)
		synctest.Wait()
		if told(a, t, before) != "unauthenticated" || told(a, t, after) != "" {
			t.Error("a key that was withdrawn counts on")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// answering answers each request with the next body, then not at all.
type answering chan []byte

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case body := <-a:
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
	default:
		return nil, errors.New("the issuer is away")
	}
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	defaults, err := config.Load[Config](config.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	err = defaults.Check()
	for _, name := range []string{"RAGBUS_JWT_ISSUER", "RAGBUS_JWT_AUDIENCE", "RAGBUS_JWT_JWKS_URL"} {
		if err == nil || strings.Count(err.Error(), name) != 1 {
			t.Errorf("%s is not named once in: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		change func(*Config)
		bad    string
	}{
		"all well":            {func(*Config) {}, ""},
		"loopback":            {func(c *Config) { c.JWKSURL = "http://127.0.0.1:9/keys" }, ""},
		"plain text":          {func(c *Config) { c.JWKSURL = "http://issuer.example.com/keys" }, "RAGBUS_JWT_JWKS_URL"},
		"a file":              {func(c *Config) { c.JWKSURL = "file:///etc/keys" }, "RAGBUS_JWT_JWKS_URL"},
		"no algorithm":        {func(c *Config) { c.Algorithms = []string{"none"} }, "RAGBUS_JWT_ALGORITHMS"},
		"a shared secret":     {func(c *Config) { c.Algorithms = []string{"RS256", "HS256"} }, "RAGBUS_JWT_ALGORITHMS"},
		"no algorithms":       {func(c *Config) { c.Algorithms = nil }, "RAGBUS_JWT_ALGORITHMS"},
		"no tenant at all":    {func(c *Config) { c.TenantClaim = "" }, "RAGBUS_JWT_TENANT_CLAIM"},
		"a tenant":            {func(c *Config) { c.TenantClaim, c.Tenant = "", "acme" }, ""},
		"a tenant with a dot": {func(c *Config) { c.Tenant = "a.b" }, "RAGBUS_JWT_TENANT"},
		"no owner":            {func(c *Config) { c.OwnerClaim = "" }, "RAGBUS_JWT_OWNER_CLAIM"},
		"an unknown scope":    {func(c *Config) { c.Scopes = []string{"root"} }, "RAGBUS_JWT_SCOPES"},
		"an hour of leeway":   {func(c *Config) { c.Leeway = time.Hour }, "RAGBUS_JWT_LEEWAY"},
		"a limit below zero":  {func(c *Config) { c.RequestsPerMinute, c.TokensPerDay = -1, -1 }, "RAGBUS_JWT_TOKENS_PER_DAY"},
	} {
		cfg := defaults
		cfg.Issuer, cfg.Audience, cfg.JWKSURL = issuerName, audience, "https://issuer.example.com/keys"
		c.change(&cfg)
		_, err := New(cfg, Deps{})
		if (err == nil) != (c.bad == "") || err != nil && !strings.Contains(err.Error(), c.bad+":") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	p := private()
	i := newIssuer(f, published("e", p.ecdsa))
	a := i.authenticator(f, nil)
	genuine := sign(f, jose.ES256, p.ecdsa, "e", said(nil))
	parts := strings.Split(genuine, ".")
	for _, seed := range []string{"", "a.b.c", "eyJhbGciOiJub25lIn0..", parts[0] + "." + parts[1] + ".", parts[0] + ".." + parts[2], genuine[:len(genuine)-2], "{}", "....."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := a.Authenticate(t.Context(), token); err == nil && token != genuine {
			t.Errorf("%q is believed", token)
		}
	})
}

func FuzzParseSet(f *testing.F) {
	for _, seed := range []string{`{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AA"}]}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		set, err := parseSet(body)
		if (err == nil) != (len(set) > 0) {
			t.Errorf("%d keys and %v", len(set), err)
		}
		for _, key := range set {
			if !key.IsPublic() {
				t.Errorf("kept %+v", key)
			}
		}
	})
}

// TestWhatIsRememberedIsRefusedAsWhatIsNot: each token is used again and
// again, and once by somebody who remembers nothing, at every turn of time and keys.
func TestWhatIsRememberedIsRefusedAsWhatIsNot(t *testing.T) {
	t.Parallel()
	p := private()
	i := newIssuer(t, published("r", p.rsa), published("e", p.ecdsa))
	a := i.authenticator(t, nil)
	ends := func(after time.Duration) map[string]any {
		return said(map[string]any{"exp": epoch().Add(after).Unix(), "iat": nil})
	}
	tokens := map[string]string{
		"RS256":         sign(t, jose.RS256, p.rsa, "r", ends(30*time.Hour)),
		"ES256":         sign(t, jose.ES256, p.ecdsa, "e", ends(30*time.Hour)),
		"of no key":     sign(t, jose.ES256, p.ecdsa, "", ends(30*time.Hour)),
		"short":         sign(t, jose.ES256, p.ecdsa, "e", ends(10*time.Minute)),
		"later":         sign(t, jose.ES256, p.ecdsa, "e", said(map[string]any{"nbf": epoch().Add(5 * time.Minute).Unix(), "iat": nil})),
		"unusable":      sign(t, jose.ES256, p.ecdsa, "e", said(map[string]any{"tenant": "not a tenant"})),
		"of a stranger": sign(t, jose.RS256, p.otherRSA, "r", ends(30*time.Hour)),
	}
	seen := map[string]bool{}
	agree := func(when string) {
		t.Helper()
		for name, token := range tokens {
			plain := *a
			plain.known = newVerified()
			want, wantErr := plain.Authenticate(t.Context(), token)
			for range 3 {
				got, err := a.Authenticate(t.Context(), token)
				if diff := cmp.Diff(want, got); diff != "" || fmt.Sprint(err) != fmt.Sprint(wantErr) {
					t.Errorf("%s, %s: %v and not %v %s", when, name, err, wantErr, diff)
				}
			}
			code := "known"
			if wantErr != nil {
				code, _ = fault.Public(wantErr)
			}
			seen[fmt.Sprint(when, ", ", name, ": ", code)] = true
		}
	}
	agree("first")
	i.clock.pass(10 * time.Minute)
	agree("ten minutes later")
	i.clock.pass(31 * time.Second)
	agree("expired")
	i.publish(t, published("r", p.rsa))
	fetch := func() {
		t.Helper()
		if err := a.keys.fetch(t.Context()); err != nil { // as Run does
			t.Fatal(err)
		}
	}
	fetch()
	agree("a key is gone")
	i.publish(t, published("r", p.otherRSA), published("e", p.ecdsa))
	i.clock.pass(fetchEvery)
	fetch()
	agree("a key is another's")
	i.answer(http.StatusBadGateway, nil)
	i.clock.pass(staleAfter + time.Second)
	agree("the issuer is away")
	for _, want := range []string{
		"first, short: known", "first, later: unauthenticated", "ten minutes later, short: known", "expired, short: token_expired", "a key is gone, ES256: unauthenticated",
		"a key is gone, of no key: unauthenticated", "a key is another's, RS256: unauthenticated", "a key is another's, ES256: known", "the issuer is away, ES256: access_unavailable",
	} {
		if !seen[want] {
			t.Errorf("never seen: %s", want)
		}
	}
}

func TestOnlySoManyTokensAreRemembered(t *testing.T) {
	t.Parallel()
	v, set := newVerified(), &keySet{}
	const many = 20_000
	for n := range many {
		g := genuineToken{set: set, identity: access.Identity{Owner: "someone", Principals: slices.Repeat([]string{strings.Repeat("p", 256)}, n%3)}}
		v.put(sha256.Sum256(fmt.Append(nil, n)), g)
	}
	kept := 0
	for n := range many {
		if _, ok := v.get(sha256.Sum256(fmt.Append(nil, n)), set); ok {
			kept++
		}
	}
	if kept < 1000 || kept > 2*rememberedBytes/tokenBytes {
		t.Errorf("%d tokens are remembered", kept)
	}
}

// BenchmarkAuthenticate measures a token that is sent again and one that is new.
func BenchmarkAuthenticate(b *testing.B) {
	p := private()
	i := newIssuer(b, published("r", p.rsa), published("e", p.ecdsa), published("d", p.ed))
	a := i.authenticator(b, nil)
	for name, token := range map[string]string{
		"RS256": sign(b, jose.RS256, p.rsa, "r", said(nil)), "ES256": sign(b, jose.ES256, p.ecdsa, "e", said(nil)), "EdDSA": sign(b, jose.EdDSA, p.ed, "d", said(nil)),
	} {
		for _, anew := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/new=%t", name, anew), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if anew {
						a.known = newVerified()
					}
					if _, err := a.Authenticate(b.Context(), token); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
