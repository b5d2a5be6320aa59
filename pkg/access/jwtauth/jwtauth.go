// Package jwtauth knows callers by the tokens of an identity provider: signed
// JWTs (RFC 7519) whose keys the issuer publishes as a JWK set (RFC 7517).
package jwtauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/ragbus/ragbus/pkg/access"
)

// maxToken bounds what is looked at; servers of HTTP bound headers anyway.
const maxToken = 16 << 10

// Deps are what an Authenticator stands on; each may be nil.
type Deps struct {
	// Client fetches the keys; nil for one of its own.
	Client *http.Client
	Log    *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// Authenticator implements [access.Authenticator] for tokens. It fetches the
// issuer's keys when it needs them; [Authenticator.Run] keeps them fresh.
type Authenticator struct {
	cfg        Config
	algorithms []jose.SignatureAlgorithm
	always     access.Scopes
	keys       *keys
	known      *verified
	now        func() time.Time
	log        *slog.Logger
}

var _ access.Authenticator = (*Authenticator)(nil)

// New returns an Authenticator that has fetched nothing yet. The error joins
// what [Config.Check] finds.
func New(cfg Config, deps Deps) (*Authenticator, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	always, err := access.ParseScopes(cfg.Scopes)
	if err != nil {
		return nil, fmt.Errorf("RAGBUS_JWT_SCOPES: %w", err)
	}
	a := &Authenticator{cfg: cfg, always: always, keys: newKeys(cfg.JWKSURL.Reveal(), deps), known: newVerified(), now: deps.Now, log: deps.Log}
	for _, name := range cfg.Algorithms {
		a.algorithms = append(a.algorithms, jose.SignatureAlgorithm(name))
	}
	return a, nil
}

// Run keeps the issuer's keys fresh until ctx ends: every few minutes it
// learns which are new and which were withdrawn. Keys count for an hour at
// most while the issuer is away.
func (a *Authenticator) Run(ctx context.Context) error { return a.keys.run(ctx) }

// Ready returns nil when there are keys to verify tokens with, for which it
// may ask the issuer.
func (a *Authenticator) Ready(ctx context.Context) error {
	_, err := a.keys.current(ctx)
	return err
}

// Authenticate implements [access.Authenticator]. A token's signature is
// verified once for each set of keys that was fetched; its times are checked
// with every use. Beside the codes there,
// "token_unusable" tells the holder of a genuine token what its claims lack.
func (a *Authenticator) Authenticate(ctx context.Context, bearer string) (access.Identity, error) {
	if bearer == "" || len(bearer) > maxToken {
		return access.Identity{}, access.Unauthenticated(nil)
	}
	digest := sha256.Sum256([]byte(bearer))
	genuine, ok := a.known.get(digest, a.keys.counting())
	if !ok {
		var err error
		if genuine, err = a.verify(ctx, bearer); err != nil {
			return access.Identity{}, err
		}
	}
	// Time passes also for what was verified.
	if err := a.valid(genuine.standard); err != nil {
		return access.Identity{}, err
	}
	if !ok {
		var err error
		if genuine.identity, err = a.identity(genuine.all); err != nil {
			return access.Identity{}, err
		}
		a.known.put(digest, genuine)
	}
	return genuine.identity, nil
}

// verify returns what a token says that the issuer signed.
func (a *Authenticator) verify(ctx context.Context, bearer string) (genuineToken, error) {
	// What is signed with another algorithm, or with none, is not even parsed.
	token, err := jwt.ParseSigned(bearer, a.algorithms)
	if err != nil {
		return genuineToken{}, access.Unauthenticated(err)
	}
	if len(token.Headers) != 1 {
		return genuineToken{}, access.Unauthenticated(errors.New("the token does not have one signature"))
	}
	// Nobody asks the issuer for the sake of what is no token.
	set, err := a.keys.current(ctx)
	if err != nil {
		return genuineToken{}, err
	}
	header := token.Headers[0]
	set, candidates, err := a.keys.find(ctx, set, header.KeyID, header.Algorithm)
	if err != nil {
		return genuineToken{}, err
	}
	g := genuineToken{set: set}
	fits := errors.New("no key of the issuer fits")
	for _, key := range candidates {
		if fits = token.Claims(key, &g.standard, &g.all); fits == nil {
			return g, nil
		}
	}
	return genuineToken{}, access.Unauthenticated(fits)
}

// valid checks who made the token, for whom, and when.
func (a *Authenticator) valid(c jwt.Claims) error {
	if c.Expiry == nil {
		return access.Refused("token_unusable", "the token does not say when it expires (exp)")
	}
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: a.cfg.Issuer, AnyAudience: jwt.Audience{a.cfg.Audience}, Time: a.now()}, a.cfg.Leeway)
	switch {
	case errors.Is(err, jwt.ErrExpired):
		return access.Refused("token_expired", "this token has expired")
	case err != nil:
		// Of another issuer or for another audience: not for us, so nothing is told.
		return access.Unauthenticated(err)
	}
	return nil
}
