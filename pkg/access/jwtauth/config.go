package jwtauth

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/corpus"
)

// Config is the operator's part. It counts when RAGBUS_AUTH is jwt.
//
// A claim is named as it stands in the token; when there is none of that name,
// dots lead into objects, as in realm_access.roles.
type Config struct {
	// Issuer is what the claim iss must be, exactly.
	Issuer string `env:"RAGBUS_JWT_ISSUER"`
	// Audience must be among the claim aud.
	Audience string `env:"RAGBUS_JWT_AUDIENCE"`
	// JWKSURL is where the issuer publishes its keys: https, or http on this machine.
	JWKSURL config.URL `env:"RAGBUS_JWT_JWKS_URL"`
	// Algorithms that a token may be signed with.
	Algorithms []string `env:"RAGBUS_JWT_ALGORITHMS" envDefault:"RS256,ES256,EdDSA"`

	// TenantClaim holds the tenant; a token without it is refused.
	TenantClaim string `env:"RAGBUS_JWT_TENANT_CLAIM" envDefault:"tenant"`
	// Tenant is that of every token, for an issuer of one tenant; TenantClaim then does not count.
	Tenant string `env:"RAGBUS_JWT_TENANT"`
	// OwnerClaim holds who owns the conversations; a token without it is refused.
	OwnerClaim string `env:"RAGBUS_JWT_OWNER_CLAIM" envDefault:"sub"`
	// PrincipalsClaims hold the principals, each a text or a list of texts.
	PrincipalsClaims []string `env:"RAGBUS_JWT_PRINCIPALS_CLAIM" envDefault:"groups"`
	// ScopesClaim holds the scopes, a list or separated by spaces. Names that are none of ours are skipped.
	ScopesClaim string `env:"RAGBUS_JWT_SCOPES_CLAIM" envDefault:"scope"`
	// Scopes are those of every token, beside its own.
	Scopes []string `env:"RAGBUS_JWT_SCOPES"`

	// Leeway is by how much clocks may differ.
	Leeway time.Duration `env:"RAGBUS_JWT_LEEWAY" envDefault:"30s" envZero:"clocks are the same"`
	// RequestsPerMinute and TokensPerDay are the limits of every owner; 0 is none.
	RequestsPerMinute int `env:"RAGBUS_JWT_REQUESTS_PER_MINUTE" envZero:"no limit"`
	TokensPerDay      int `env:"RAGBUS_JWT_TOKENS_PER_DAY"      envZero:"no limit"`
}

// supported are the algorithms with a public key that this package verifies.
// None and those with a shared secret are not among them: a published key
// would then be the secret.
func supported() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
}

// maxLeeway bounds how long a token lives after its end.
const maxLeeway = 5 * time.Minute

// Check returns all problems of a Config that is to be used, joined. It is
// not called Validate: without RAGBUS_AUTH=jwt nothing of it counts.
func (c Config) Check() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for name, value := range map[string]string{"RAGBUS_JWT_ISSUER": c.Issuer, "RAGBUS_JWT_AUDIENCE": c.Audience} {
		if value == "" {
			add("%s: missing; RAGBUS_AUTH=jwt needs it", name)
		}
	}
	if err := checkURL(c.JWKSURL.Reveal()); err != nil {
		problems = append(problems, err)
	}
	if len(c.Algorithms) == 0 {
		add("RAGBUS_JWT_ALGORITHMS: empty")
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(supported(), jose.SignatureAlgorithm(a)) {
			add("RAGBUS_JWT_ALGORITHMS: %q is not one of %v", a, supported())
		}
	}
	if c.Tenant != "" {
		if err := corpus.CheckToken("tenant", c.Tenant); err != nil {
			add("RAGBUS_JWT_TENANT: %w", err)
		}
	} else if c.TenantClaim == "" {
		add("RAGBUS_JWT_TENANT_CLAIM: empty, and RAGBUS_JWT_TENANT is too")
	}
	if c.OwnerClaim == "" {
		add("RAGBUS_JWT_OWNER_CLAIM: empty")
	}
	if _, err := access.ParseScopes(c.Scopes); err != nil {
		add("RAGBUS_JWT_SCOPES: %w", err)
	}
	if c.Leeway < 0 || c.Leeway > maxLeeway {
		add("RAGBUS_JWT_LEEWAY: %s is outside 0s to %s", c.Leeway, maxLeeway)
	}
	if c.RequestsPerMinute < 0 {
		add("RAGBUS_JWT_REQUESTS_PER_MINUTE: %d is below 0", c.RequestsPerMinute)
	}
	if c.TokensPerDay < 0 {
		add("RAGBUS_JWT_TOKENS_PER_DAY: %d is below 0", c.TokensPerDay)
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(problems...)
}

// checkURL refuses an address from which anybody on the way could serve keys.
func checkURL(raw string) error {
	if raw == "" {
		return errors.New("RAGBUS_JWT_JWKS_URL: missing; RAGBUS_AUTH=jwt needs it, e.g. https://issuer.example.com/.well-known/jwks.json")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return errors.New("RAGBUS_JWT_JWKS_URL: it is not a URL such as https://issuer.example.com/.well-known/jwks.json")
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return errors.New("RAGBUS_JWT_JWKS_URL: it is not https: whoever is on the way could make keys of their own valid")
	}
	return nil
}
