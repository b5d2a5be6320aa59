package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

const (
	// keyPrefix begins every API key, for scanners of leaked secrets.
	keyPrefix = "rb_"
	idBytes   = 10
	// secretBytes make guessing hopeless, so that a fast hash is enough.
	secretBytes = 32
	maxName     = 200
	maxGranted  = 100
	maxOwner    = 256
)

// Key is what is known of an API key, never its secret.
type Key struct {
	ID string `json:"id"`
	// Name is for people.
	Name       string   `json:"name"`
	Tenant     string   `json:"tenant"`
	Owner      string   `json:"owner"`
	Principals []string `json:"principals"`
	Scopes     Scopes   `json:"scopes"`
	Limits     Limits   `json:"limits"`

	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt is zero for a key that does not expire.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// LastUsedAt lags by up to a few minutes; zero: never used.
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
	// RevokedAt is zero for a key that was not revoked.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Digest is the SHA-256 of a key's secret.
type Digest [sha256.Size]byte

// Keys is the record of API keys. Implementations are safe for concurrent
// use; times come back in UTC to the microsecond.
type Keys interface {
	// Create records a key that passes [Key.Check]. An id that is taken is an
	// Invalid fault "key_exists".
	Create(ctx context.Context, k Key, d Digest) error
	// Find returns the key with the id, of any tenant, also a revoked or
	// expired one, and its digest; a NotFound fault "key_not_found" when there
	// is none. It is for authentication: nobody's tenant is known yet.
	Find(ctx context.Context, id string) (Key, Digest, error)
	// List returns keys of one tenant, or of all tenants for "", ordered by id
	// and after the id "after", at most limit.
	List(ctx context.Context, tenant, after string, limit int) ([]Key, error)
	// Revoke ends a key for good and returns it. A key that was revoked before
	// keeps its time. Tenant "" is any; a key of another tenant is not found.
	Revoke(ctx context.Context, tenant, id string) (Key, error)
	// Used moves the time of last use forward, never back; ids that are
	// unknown are skipped.
	Used(ctx context.Context, at map[string]time.Time) error
	// Ready returns nil when the record answers.
	Ready(ctx context.Context) error
}

// Issue returns a fresh id and secret for k, completed with the time of its
// creation: the record, the digest to store, and the bearer credential, which
// is shown once and kept nowhere. The error is an Invalid fault as of [Key.Check].
func Issue(k Key, now time.Time) (_ Key, _ Digest, bearer string, _ error) {
	var random [idBytes + secretBytes]byte
	_, _ = rand.Read(random[:]) // never fails, it says
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	k.ID = strings.ToLower(encoding.EncodeToString(random[:idBytes]))
	k.CreatedAt = now.UTC().Truncate(time.Microsecond)
	k.ExpiresAt = k.ExpiresAt.UTC().Truncate(time.Microsecond)
	k.LastUsedAt, k.RevokedAt = time.Time{}, time.Time{}
	k.Principals = slices.Compact(slices.Sorted(slices.Values(k.Principals)))
	if k.Owner == "" {
		k.Owner = "key:" + k.ID
	}
	secret := strings.ToLower(encoding.EncodeToString(random[idBytes:]))
	return k, digestOf(secret), keyPrefix + k.ID + "_" + secret, k.Check()
}

// Check returns an Invalid fault, with the field, unless the key can be recorded.
func (k Key) Check() error {
	invalid := func(field, format string, args ...any) error {
		return fault.Invalidf("invalid_key", format, args...).WithField(field)
	}
	if err := corpus.CheckToken("id", k.ID); err != nil {
		return err
	}
	if err := corpus.CheckToken("tenant", k.Tenant); err != nil {
		return err
	}
	switch {
	case k.Name == "" || len(k.Name) > maxName || !printable(k.Name):
		return invalid("name", "a key's name has 1 to %d bytes of text without control characters", maxName)
	case k.Owner == "" || len(k.Owner) > maxOwner || !printable(k.Owner):
		return invalid("owner", "a key's owner has 1 to %d bytes of text without control characters", maxOwner)
	case k.Scopes == 0:
		return invalid("scopes", "a key without a scope allows nothing; use %s", strings.Join(scopeNames(AllScopes()), ", "))
	case len(k.Principals) > maxGranted:
		return invalid("principals", "a key has %d principals at most", maxGranted)
	case k.Limits.RequestsPerMinute < 0 || k.Limits.TokensPerDay < 0:
		return invalid("limits", "a limit is a whole number; 0 is none")
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(k.CreatedAt):
		return invalid("expires_at", "a key expires after it was created")
	}
	for _, p := range k.Principals {
		if p == corpus.Public || !printable(p) {
			return invalid("principals", "%q is not a principal that a key can have: everyone is %q already", p, corpus.Public)
		}
		if err := corpus.CheckPrincipal(p); err != nil {
			return err
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// identity returns who the holder of the key is.
func (k Key) identity() Identity {
	return Identity{
		Tenant: k.Tenant, Owner: k.Owner, Principals: k.Principals, Scopes: k.Scopes, KeyID: k.ID, Account: k.ID, Limits: k.Limits,
	}
}

// usable returns nil when the key counts now, else why not, for its holder.
func (k Key) usable(now time.Time) error {
	switch {
	case !k.RevokedAt.IsZero():
		return Refused("key_revoked", "this key was revoked")
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return Refused("key_expired", "this key has expired")
	}
	return nil
}

// splitBearer returns the id and the secret of a well-formed API key.
func splitBearer(bearer string) (id, secret string, ok bool) {
	rest, ok := strings.CutPrefix(bearer, keyPrefix)
	if !ok {
		return "", "", false
	}
	id, secret, ok = strings.Cut(rest, "_")
	return id, secret, ok && isBase32(id, idBytes) && isBase32(secret, secretBytes)
}

// isBase32 reports whether s is the lower-case base32 of n bytes.
func isBase32(s string, n int) bool {
	if len(s) != (n*8+4)/5 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

func digestOf(secret string) Digest { return sha256.Sum256([]byte(secret)) }

// is compares in a time that tells nothing of where they differ.
func (d Digest) is(other Digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }
