// Package callers opens what knows the callers of a gateway: the record of
// API keys, or an identity provider.
package callers

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/access/jwtauth"
	"github.com/ragbus/ragbus/pkg/backing"
)

// Config is the operator's part beside RAGBUS_AUTH.
type Config struct {
	JWT jwtauth.Config
	Bus access.BusConfig
}

// Check returns all problems that the settings have with a value of
// RAGBUS_AUTH, joined; shared says that the bus is another's, with others on
// it. The gateway itself refuses values that are none.
func (c Config) Check(auth string, shared bool) error {
	var problems []error
	if auth == access.AuthJWT {
		problems = append(problems, c.JWT.Check())
	}
	if shared {
		problems = append(problems, c.Bus.Missing(auth))
	}
	return errors.Join(problems...)
}

// Callers knows the callers of one gateway.
type Callers struct {
	// Authenticator is nil when nobody is asked who they are.
	access.Authenticator
	// Signer vouches on the bus for who asks; nil without a secret.
	Signer *access.Signer
	runs   []func(context.Context) error
}

// Open returns who knows the callers with a value of RAGBUS_AUTH.
func Open(h backing.Host, auth string, c Config, records backing.Records) (Callers, error) {
	var k Callers
	var err error
	if k.Signer, err = c.Bus.Signer(); err != nil {
		return k, backing.Unusable("RAGBUS_BUS_SECRET", err)
	}
	switch auth {
	case access.AuthNone:
		return k, nil
	case access.AuthKeys:
		ring := access.NewKeyring(records.Access, h.Log, nil)
		k.Authenticator, k.runs = ring, append(k.runs, ring.Run)
	case access.AuthJWT:
		tokens, err := jwtauth.New(c.JWT, jwtauth.Deps{Log: h.Log})
		if err != nil {
			return k, fmt.Errorf("know callers by their tokens: %w", err)
		}
		k.Authenticator, k.runs = tokens, append(k.runs, tokens.Run)
	default:
		return k, errors.New("RAGBUS_AUTH: " + auth + " is not known")
	}
	k.runs = append(k.runs, access.NewQuota(records.Access, h.Log, nil).Run)
	return k, nil
}

// Run does what has to be done beside requests, until ctx ends: it fetches
// the keys of the issuer, records when keys were used, forgets old charges.
func (k Callers) Run(ctx context.Context) error {
	group, inner := errgroup.WithContext(ctx)
	for _, run := range k.runs {
		group.Go(func() error { return run(inner) })
	}
	<-inner.Done() // without anything to do, the end of ctx
	if err := group.Wait(); err != nil {
		return fmt.Errorf("callers: %w", err)
	}
	return nil
}
