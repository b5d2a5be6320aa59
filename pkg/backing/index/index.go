// Package index opens the vector store that the settings name.
package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/vector/qdrantvector"
)

// Config names the vector store.
type Config struct {
	// URL is qdrant://host:6334, or qdrants:// for an encrypted connection.
	URL config.URL `env:"RAGBUS_VECTOR_URL"`
	// Key is Qdrant's API key, when it wants one.
	Key config.Secret `env:"RAGBUS_QDRANT_API_KEY"`
}

// Missing returns the problem of a process that needs a shared index and has none.
func (c Config) Missing() error {
	if c.URL == "" {
		return errors.New("RAGBUS_VECTOR_URL: missing; a service that runs alone shares a Qdrant, e.g. qdrant://qdrant:6334")
	}
	return nil
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	if c.URL == "" {
		return nil
	}
	return qdrantvector.CheckURL(c.URL.Reveal())
}

// Open opens the store of one embedding profile that is named.
func Open(ctx context.Context, h backing.Host, c Config, profile embed.Profile) (*qdrantvector.Store, error) {
	s, err := qdrantvector.Open(ctx, qdrantvector.Config{
		URL: c.URL.Reveal(), APIKey: c.Key.Reveal(), Dimensions: profile.Dimensions, ProfileKey: profile.Key(), Logger: h.Log,
	})
	if err != nil {
		return nil, backing.Unusable("RAGBUS_VECTOR_URL", fmt.Errorf("open the vector store: %w", err))
	}
	h.OnClose(func(context.Context) error { return s.Close() })
	h.OnProbe(Check(s))
	return s, nil
}

// Check is the check of a store. It notes what a server too old for it does
// to the ranking.
func Check(s *qdrantvector.Store) lifecycle.Check {
	return lifecycle.Check{Name: "vector_store", Probe: s.Ready, Note: func() string {
		return "the rarity of words is counted over " + s.IDFScope()
	}}
}
