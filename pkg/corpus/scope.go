package corpus

import (
	"slices"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Public is the principal that everyone in a tenant shares. It is written out
// on every document without an acl, so that no filter has to ask whether a
// field is empty.
const Public = "*"

// Scope says on whose behalf something is read: one tenant and the caller's
// principals. It is the only way to build a filter, and it cannot be made
// without a tenant. The zero Scope is not usable: its methods panic.
type Scope struct {
	tenant     string
	principals []string
	// system sees every document of the tenant.
	system bool
}

// SystemScope returns the scope of work that acts for the tenant itself: it
// sees every document whatever its acl. No request can ask for it; it manages
// the documents where requests are not asked whose they are.
func SystemScope(tenant string) (Scope, error) {
	s, err := NewScope(tenant)
	s.system = true
	return s, err
}

// NewScope returns the scope of a caller. Without principals it sees only
// what is public in the tenant.
func NewScope(tenant string, principals ...string) (Scope, error) {
	if err := CheckToken("tenant", tenant); err != nil {
		return Scope{}, err
	}
	for _, p := range principals {
		if err := CheckPrincipal(p); err != nil {
			return Scope{}, err
		}
	}
	all := append(slices.Clone(principals), Public)
	slices.Sort(all)
	return Scope{tenant: tenant, principals: slices.Compact(all)}, nil
}

// MaxACL is how many principals an acl may list.
const MaxACL = 256

// CheckACL returns an Invalid fault unless acl is nil, which is everyone in
// the tenant, or names 1 to [MaxACL] principals. A list of nobody is refused:
// no caller could ever see the document, and it is easily taken for none.
func CheckACL(acl []string) error {
	if acl != nil && len(acl) == 0 {
		return fault.Invalidf("invalid_acl", `acl is empty, so nobody could see the document; leave it out or use ["*"]`).WithField("acl")
	}
	if len(acl) > MaxACL {
		return fault.Invalidf("invalid_acl", "acl lists %d principals; the limit is %d", len(acl), MaxACL).WithField("acl")
	}
	for _, p := range acl {
		if err := CheckPrincipal(p); err != nil {
			return err
		}
	}
	return nil
}

// CheckPrincipal returns an Invalid fault unless p is 1 to 256 bytes without control characters.
func CheckPrincipal(p string) error {
	if p == "" || len(p) > 256 {
		return fault.Invalidf("invalid_principal", "a principal has 1 to 256 bytes").WithField("acl")
	}
	for _, r := range p {
		if r < ' ' || r == 0x7f {
			return fault.Invalidf("invalid_principal", "a principal may not hold control characters").WithField("acl")
		}
	}
	return nil
}

// Tenant returns the tenant. It panics on the zero Scope: a read without a
// tenant is a bug that must not reach a store.
func (s Scope) Tenant() string {
	if s.tenant == "" {
		panic("corpus: read without a scope")
	}
	return s.tenant
}

// Principals returns the caller's principals, [Public] included, sorted. Do not modify.
func (s Scope) Principals() []string {
	_ = s.Tenant()
	return s.principals
}

// Sees reports whether a document of the tenant with this acl (nil: public) is visible.
func (s Scope) Sees(acl []string) bool {
	_ = s.Tenant()
	if acl == nil || s.system {
		return true
	}
	for _, a := range acl {
		if _, ok := slices.BinarySearch(s.principals, a); ok {
			return true
		}
	}
	return false
}
