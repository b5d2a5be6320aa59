// Command generator writes the answers. Any number of replicas share the work.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/embedder"
	"github.com/ragbus/ragbus/pkg/backing/writer"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/process"
	"github.com/ragbus/ragbus/services/generator"
)

// version is set by the linker.
var version = "dev"

type settings struct {
	Process   process.Config
	Probes    process.Probes
	Database  backing.Database
	Keys      backing.Keys
	Bus       access.BusConfig
	Vectors   embedder.Config
	Writer    writer.Config
	Generator generator.Config
}

// Validate implements config.Validator.
func (s settings) Validate() error {
	return errors.Join(s.Database.Missing(), s.Vectors.Check(s.Keys), s.Writer.Check(s.Keys))
}

func main() { os.Exit(process.Main(run)) }

func run(ctx context.Context, env process.Environment) (err error) {
	cfg, err := process.Settings[settings](env.Vars)
	if err != nil {
		return err
	}
	p, err := process.Open(ctx, cfg.Process, "generator", version, env.Log, env.Terminal)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	records, err := backing.OpenRecords(ctx, p.Host(), cfg.Database, "")
	if err != nil {
		return err
	}
	vectors, err := embedder.Open(ctx, p.Host(), cfg.Vectors, cfg.Keys)
	if err != nil {
		return err
	}
	model, err := writer.Open(ctx, p.Host(), cfg.Writer, cfg.Keys)
	if err != nil {
		return err
	}
	signer, err := cfg.Bus.Signer()
	if err != nil {
		return backing.Unusable("RAGBUS_BUS_SECRET", err)
	}
	service, err := generator.New(cfg.Generator, generator.Deps{
		NATS: p.Broker.NATS(), JetStream: p.Broker.JetStream(), Publisher: p.Publisher, Conversations: records.Conversations,
		Model: model.Model, Fallback: model.Fallback, Embedder: vectors, Log: p.Log, Observer: p.Observer, Tracer: p.Tracer,
		Signer: signer, Ledger: records.Access,
	})
	if err != nil {
		return err
	}
	p.Host().OnProbe(lifecycle.Check{Name: "worker", Probe: service.Ready})
	return p.Work(ctx, cfg.Probes, service.Run)
}
