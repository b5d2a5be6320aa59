package backing

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/outbound"
)

// Host is the program that the parts are opened for.
type Host struct {
	Log *slog.Logger
	// Broker carries what is kept in it: blobs in an object store of NATS, and
	// limits that replicas share.
	Broker *broker.Conn
	// Alone says that no other process shares the limits of models' APIs.
	Alone bool
	// Replicas is how many servers of the broker keep what is shared; 0 is 1.
	Replicas int
	// Create lets parts make in the broker what they need there.
	Create bool
	// Outbound counts the calls to models' APIs; nil counts nothing.
	Outbound *outbound.Metrics
	// OnClose has the program call f at its end, before what was given earlier.
	OnClose func(f func(context.Context) error)
	// OnProbe has the program ask the check when it is asked whether it is
	// ready, and how it is.
	OnProbe func(c lifecycle.Check)
	// OnHealth has it ask the check when it is asked how it is, only: work
	// that waits for such a part is no reason to send requests elsewhere.
	OnHealth func(c lifecycle.Check)
}

// Limits of an API under one key, as its provider states them; 0 is none.
type Limits struct {
	RequestsPerMinute int
	TokensPerMinute   int
	// Concurrency is how many calls of one process are under way at most; 0 is 64.
	Concurrency int
}

// Guard returns the endpoint through which the calls to one model's API go,
// and has the host tell about its health under the part's name.
func (h Host) Guard(part, provider, model, secret string, l Limits) (*outbound.Endpoint, error) {
	var pacer *outbound.Pacer
	paced := outbound.PacerConfig{RequestsPerMinute: l.RequestsPerMinute, TokensPerMinute: l.TokensPerMinute}
	if paced.Limited() {
		deps := outbound.PacerDeps{Replica: corpus.NewID(), Metrics: h.Outbound, Log: h.Log}
		if !h.Alone {
			deps.Bucket = outbound.OpenBucket(h.Broker.JetStream(), max(h.Replicas, 1), h.Create)
		}
		var err error
		if pacer, err = outbound.NewPacer(outbound.PacerKey(provider, model, secret), paced, deps); err != nil {
			return nil, fmt.Errorf("pace %s: %w", provider, err)
		}
	}
	e, err := outbound.New(outbound.Config{Name: part, Concurrency: l.Concurrency}, outbound.Deps{Pacer: pacer, Metrics: h.Outbound, Log: h.Log})
	if err != nil {
		return nil, fmt.Errorf("guard %s: %w", provider, err)
	}
	return e, nil
}

// Well is the check of a part that cannot be unwell.
func Well(part string) lifecycle.Check {
	return lifecycle.Check{Name: part, Probe: func(context.Context) error { return nil }}
}
