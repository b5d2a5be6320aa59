// Package access says who is calling, what they may do, how much, and on
// whose behalf a message on the bus was sent.
//
// A request comes with a bearer credential; an [Authenticator] turns it into
// an [Identity], which is bound to one tenant. API keys are kept by [Keys]
// (adapter sqlaccess) and looked up through a [Keyring]; tokens of an
// identity provider are checked by package jwtauth. A [Limiter] counts
// requests, a [Quota] model tokens. Between the services a [Signer] vouches
// for the tenant and the principals inside a message.
package access

import (
	"context"
	"errors"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// LocalOwner owns what is made on a server that asks nobody who they are.
const LocalOwner = "local"

// Identity is on whose behalf a request acts. Do not modify what it refers to.
type Identity struct {
	Tenant string
	// Owner owns the conversations and answers of the caller.
	Owner string
	// Principals are the caller's, without the public one, sorted.
	Principals []string
	Scopes     Scopes
	// KeyID is the API key's, "" of callers without one. It is fit for logs.
	KeyID string
	// Account is under whose name use is counted, "" when it is not.
	Account string
	Limits  Limits
}

// Limits of one account; 0 is none.
type Limits struct {
	RequestsPerMinute int `json:"requests_per_minute"`
	// TokensPerDay bounds the tokens that models are paid for, prompt and
	// completion together, from one midnight UTC to the next.
	TokensPerDay int64 `json:"tokens_per_day"`
}

// Anonymous returns everyone's identity with RAGBUS_AUTH=none: every scope of
// the default tenant, without principals and limits.
func Anonymous() Identity {
	return Identity{Tenant: corpus.DefaultTenant, Owner: LocalOwner, Scopes: NewScopes(AllScopes()...)}
}

// May returns nil when the identity holds the scope or one that implies it,
// else an Invalid fault with the code "missing_scope" that names the scope and
// is [ErrForbidden] (403).
func (i Identity) May(s Scope) error {
	if i.Scopes.Allow(s) {
		return nil
	}
	return fault.Invalidf("missing_scope", "this needs the scope %s, which the credential does not have", s).WithCause(ErrForbidden)
}

// Scope returns what the identity may read of its tenant's documents.
func (i Identity) Scope() (corpus.Scope, error) {
	s, err := corpus.NewScope(i.Tenant, i.Principals...)
	if err != nil {
		// The caller did not choose these, so it is not their fault.
		return s, fault.As(fault.Transient, err)
	}
	return s, nil
}

var (
	// ErrUnauthenticated is the cause of every refusal of a credential (401).
	ErrUnauthenticated = errors.New("access: not authenticated")
	// ErrForbidden is the cause of every refusal of a known caller (403).
	ErrForbidden = errors.New("access: not allowed")
)

// Authenticator tells who sent a credential. Implementations are safe for
// concurrent use.
type Authenticator interface {
	// Authenticate returns the identity of a bearer credential, as it comes
	// after "Bearer ". A refusal is an Invalid fault that is
	// [ErrUnauthenticated], with one of the codes
	//
	//   - "unauthenticated": nothing given, malformed, unknown, or not genuine.
	//     A stranger cannot tell these apart, so that no guess is confirmed;
	//   - "key_expired", "key_revoked", "token_expired": told only to whoever
	//     has proven to hold the genuine credential, who needs to know.
	//
	// When it cannot be known because a part is away, the error is a Transient
	// fault with the code "access_unavailable" (503), never a refusal. It takes
	// a few seconds at most.
	Authenticate(ctx context.Context, bearer string) (Identity, error)
}

// Unauthenticated returns the refusal that tells nothing. Cause is for the log and may be nil.
func Unauthenticated(cause error) error {
	return refused("unauthenticated", "a valid credential is needed: Authorization: Bearer <key>", cause)
}

// Refused returns a refusal with a code of its own.
func Refused(code, message string) error { return refused(code, message, nil) }

func refused(code, message string, cause error) error {
	err := ErrUnauthenticated
	if cause != nil {
		err = errors.Join(ErrUnauthenticated, cause)
	}
	return fault.Invalidf(code, "%s", message).WithCause(err)
}

// Unavailable returns the fault of an [Authenticator] that cannot know for the moment.
func Unavailable(cause error) error {
	return fault.Transientf("access_unavailable", "credentials cannot be checked at the moment; try again").WithCause(cause)
}
