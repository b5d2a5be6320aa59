package jwtauth

import (
	"crypto/sha256"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/recent"
)

const (
	// rememberedBytes bounds what half of the remembered tokens take.
	rememberedBytes = 2 << 20
	// tokenBytes is about what one takes beside its texts: 4,096 of them at most are in a half.
	tokenBytes = 512
)

// genuineToken is what a token says, and by which keys it is the issuer's.
type genuineToken struct {
	set      *keySet
	standard jwt.Claims
	// all are the claims by name; they are not remembered.
	all      claims
	identity access.Identity
}

// verified remembers tokens whose signature was verified, by their SHA-256, so
// that an application that sends one with every request has it verified once
// for each set of keys. Whether a token may be used now is not remembered: its
// times are checked with every use. A token that a set of keys made genuine
// is unknown as soon as another set was fetched, whatever is in it: so a key
// that was withdrawn counts no longer than without this.
type verified struct {
	tokens *recent.Cache[[sha256.Size]byte, genuineToken]
}

func newVerified() *verified {
	return &verified{recent.New(rememberedBytes, func(_ [sha256.Size]byte, g genuineToken) int {
		n := tokenBytes + len(g.identity.Tenant) + len(g.identity.Owner) + len(g.standard.Issuer) + len(g.standard.Subject) + len(g.standard.ID)
		for _, list := range [][]string{g.identity.Principals, g.standard.Audience} {
			for _, text := range list {
				n += len(text) + 16
			}
		}
		return n
	})}
}

// get returns a token that keys of the set have signed.
func (v *verified) get(digest [sha256.Size]byte, set *keySet) (genuineToken, bool) {
	g, ok := v.tokens.Get(digest)
	return g, ok && g.set == set
}

func (v *verified) put(digest [sha256.Size]byte, g genuineToken) {
	g.all = nil
	v.tokens.Put(digest, g)
}
