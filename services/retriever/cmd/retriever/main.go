// Command retriever finds the passages that may answer a question. Any
// number of replicas share the work.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/embedder"
	"github.com/ragbus/ragbus/pkg/backing/index"
	"github.com/ragbus/ragbus/pkg/backing/writer"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/process"
	"github.com/ragbus/ragbus/services/retriever"
)

// version is set by the linker.
var version = "dev"

type settings struct {
	Process   process.Config
	Probes    process.Probes
	Database  backing.Database
	Index     index.Config
	Keys      backing.Keys
	Bus       access.BusConfig
	Vectors   embedder.Config
	Writer    writer.Config
	Retriever retriever.Config
}

// Validate implements config.Validator.
func (s settings) Validate() error {
	return errors.Join(s.Database.Missing(), s.Index.Missing(), s.Vectors.Check(s.Keys), s.Writer.Check(s.Keys))
}

func main() { os.Exit(process.Main(run)) }

func run(ctx context.Context, env process.Environment) (err error) {
	cfg, err := process.Settings[settings](env.Vars)
	if err != nil {
		return err
	}
	p, err := process.Open(ctx, cfg.Process, retriever.Name, version, env.Log, env.Terminal)
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
	points, err := index.Open(ctx, p.Host(), cfg.Index, vectors.Profile())
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
	service, err := retriever.New(cfg.Retriever, retriever.Deps{
		Log: p.Log, JetStream: p.Broker.JetStream(), Catalog: records.Catalog, Conversations: records.Conversations, Index: points,
		Embedder: vectors, Rewriter: model.Rewriter, Observer: p.Observer, Tracer: p.Tracer, Publisher: p.Publisher,
		Signer: signer,
	})
	if err != nil {
		return err
	}
	p.Host().OnProbe(lifecycle.Check{Name: "worker", Probe: service.Ready})
	return p.Work(ctx, cfg.Probes, service.Run)
}
