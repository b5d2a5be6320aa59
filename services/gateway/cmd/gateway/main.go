// Command gateway serves the HTTP API of Ragbus. It holds no state: any
// number of replicas run beside each other.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ragbus/ragbus/pkg/admission"
	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/bucket"
	"github.com/ragbus/ragbus/pkg/backing/callers"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/deadletter"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/process"
	"github.com/ragbus/ragbus/services/gateway"
)

// version is set by the linker.
var version = "dev"

type settings struct {
	Process  process.Config
	Database backing.Database
	Blobs    backing.Blobs
	Callers  callers.Config
	Probes   probes
	Gateway  gateway.Config
}

// probes is where the gateway also answers probes and shows its metrics, apart
// from its callers. The workers' default is no default here: a gateway answers
// probes at its own address.
type probes struct {
	Addr string `env:"RAGBUS_PROBE_ADDR"`
}

// Validate implements config.Validator.
func (p probes) Validate() error {
	if p.Addr == "" {
		return nil
	}
	return process.Probes(p).Validate()
}

// Validate implements config.Validator.
func (s settings) Validate() error {
	return errors.Join(s.Database.Missing(), s.Blobs.Missing(), s.Callers.Check(s.Gateway.Auth, true))
}

func main() { os.Exit(process.Main(run)) }

func run(ctx context.Context, env process.Environment) (err error) {
	cfg, err := process.Settings[settings](env.Vars)
	if err != nil {
		return err
	}
	p, err := process.Open(ctx, cfg.Process, "gateway", version, env.Log, env.Terminal)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	if err := p.Registry.Register(broker.NewQueueCollector(ctx, p.Broker.JetStream(), broker.NewTopology(cfg.Process.Topology))); err != nil {
		return fmt.Errorf("register the metrics of queues: %w", err)
	}
	if err := p.Registry.Register(deadletter.NewCollector(ctx, p.Broker.JetStream())); err != nil {
		return fmt.Errorf("register the metrics of dead letters: %w", err)
	}
	records, err := backing.OpenRecords(ctx, p.Host(), cfg.Database, "")
	if err != nil {
		return err
	}
	if err := p.Registry.Register(admission.NewCollector(ctx, records.Catalog, nil)); err != nil {
		return fmt.Errorf("register the metrics of work that waits for its turn: %w", err)
	}
	blobs, err := bucket.Open(ctx, p.Host(), cfg.Blobs, "")
	if err != nil {
		return err
	}
	known, err := callers.Open(p.Host(), cfg.Gateway.Auth, cfg.Callers, records)
	if err != nil {
		return err
	}
	service, err := gateway.New(cfg.Gateway, gateway.Deps{
		Catalog: records.Catalog, Conversations: records.Conversations, Blobs: blobs, Publisher: p.Publisher, Broker: p.Broker,
		Registry: p.Registry, Log: p.Log, Tracers: p.Tracers, Version: gateway.Version{Version: version},
		Callers: known.Authenticator, Ledger: records.Access, Signer: known.Signer,
	})
	if err != nil {
		return err
	}
	if err := service.Listen(ctx); err != nil {
		return backing.Unusable("RAGBUS_HTTP_ADDR", err)
	}
	return p.Serve(ctx, process.Probes(cfg.Probes), service.Run, lifecycle.Part{Name: "callers", Run: known.Run})
}
