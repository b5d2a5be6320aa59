package jwtauth

import (
	"slices"
	"strings"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

const (
	// maxPrincipals bounds what goes into filters and messages.
	maxPrincipals = 200
	maxOwner      = 256
)

// claims are those of a token, by name.
type claims map[string]any

// get returns the claim of the name, or the one that its dots lead to, or nil.
func (c claims) get(name string) any {
	if v, ok := c[name]; ok {
		return v
	}
	var v any = map[string]any(c)
	for part := range strings.SplitSeq(name, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[part]
	}
	return v
}

// text returns a claim that is a text, else "".
func (c claims) text(name string) string {
	s, _ := c.get(name).(string)
	return s
}

// texts returns a claim that is a text or a list of texts, else nothing.
func (c claims) texts(name string) []string {
	switch v := c.get(name).(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// identity returns who the holder of a token with these claims is.
func (a *Authenticator) identity(c claims) (access.Identity, error) {
	unusable := func(claim, what string) (access.Identity, error) {
		return access.Identity{}, access.Refused("token_unusable", "the token's claim "+claim+" "+what)
	}
	id := access.Identity{Tenant: a.cfg.Tenant, Owner: c.text(a.cfg.OwnerClaim)}
	if id.Tenant == "" {
		id.Tenant = c.text(a.cfg.TenantClaim)
		if err := corpus.CheckToken("tenant", id.Tenant); err != nil {
			_, message := fault.Public(err)
			return unusable(a.cfg.TenantClaim, "names no tenant: "+message)
		}
	}
	if id.Owner == "" || len(id.Owner) > maxOwner || strings.ContainsFunc(id.Owner, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return unusable(a.cfg.OwnerClaim, "names no owner: 1 to 256 bytes of text without control characters")
	}
	for _, claim := range a.cfg.PrincipalsClaims {
		for _, p := range c.texts(claim) {
			if p == corpus.Public {
				continue // everybody is
			}
			if err := corpus.CheckPrincipal(p); err != nil {
				return unusable(claim, "names what is no principal")
			}
			id.Principals = append(id.Principals, p)
		}
		if len(id.Principals) > maxPrincipals {
			return unusable(claim, "names too many principals; the limit is 200")
		}
	}
	slices.Sort(id.Principals)
	id.Principals = slices.Compact(id.Principals)
	id.Scopes = a.always
	for _, list := range c.texts(a.cfg.ScopesClaim) {
		for name := range strings.FieldsSeq(list) {
			id.Scopes |= access.NewScopes(access.Scope(name))
		}
	}
	id.Account = corpus.DeriveID("jwt", id.Tenant, id.Owner)
	id.Limits = access.Limits{RequestsPerMinute: a.cfg.RequestsPerMinute, TokensPerDay: int64(a.cfg.TokensPerDay)}
	return id, nil
}
