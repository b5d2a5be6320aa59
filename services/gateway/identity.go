package gateway

import (
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// localOwner owns every conversation on a server that asks nobody who they are.
const localOwner = "local"

// Identity is on whose behalf a request acts.
type Identity struct {
	Tenant string
	// Owner owns the conversations that the caller starts.
	Owner string
	// Principals are the caller's, without the public one.
	Principals []string
}

// anonymous is everyone's identity with RAGBUS_AUTH=none.
func anonymous() Identity { return Identity{Tenant: corpus.DefaultTenant, Owner: localOwner} }

// scope is what the identity may read.
func (i Identity) scope() (corpus.Scope, error) {
	s, err := corpus.NewScope(i.Tenant, i.Principals...)
	if err != nil {
		// The caller did not choose these, so it is not their fault.
		return s, fault.As(fault.Transient, err)
	}
	return s, nil
}

// caller is whose conversations the identity reads and writes.
func (i Identity) caller() conversation.Caller {
	return conversation.Caller{Tenant: i.Tenant, Owner: i.Owner}
}
