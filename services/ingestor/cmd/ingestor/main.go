// Command ingestor makes uploaded documents searchable. Any number of
// replicas share the work.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/bucket"
	"github.com/ragbus/ragbus/pkg/backing/embedder"
	"github.com/ragbus/ragbus/pkg/backing/index"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/process"
	"github.com/ragbus/ragbus/services/ingestor"
)

// version is set by the linker.
var version = "dev"

type settings struct {
	Process  process.Config
	Probes   process.Probes
	Database backing.Database
	Index    index.Config
	Blobs    backing.Blobs
	Keys     backing.Keys
	Vectors  embedder.Config
	Ingestor ingestor.Config
}

// Validate implements config.Validator.
func (s settings) Validate() error {
	return errors.Join(s.Database.Missing(), s.Index.Missing(), s.Blobs.Missing(), s.Vectors.Check(s.Keys))
}

func main() {
	if ingestor.IsExtractionChild() {
		os.Exit(ingestor.ExtractionChild(os.Stdin, os.Stdout))
	}
	if len(os.Args) > 1 {
		os.Exit(process.Main(func(ctx context.Context, env process.Environment) error {
			return verify(ctx, env, os.Args[1:], os.Stdout)
		}))
	}
	os.Exit(process.Main(run))
}

func run(ctx context.Context, env process.Environment) error {
	return with(ctx, env, func(cfg settings, p *process.Process, deps ingestor.Deps) error {
		service, err := ingestor.New(cfg.Ingestor, deps)
		if err != nil {
			return err
		}
		p.Host().OnProbe(lifecycle.Check{Name: "worker", Probe: service.Ready})
		return p.Work(ctx, cfg.Probes, service.Run)
	})
}

// with opens what an ingestor works with, and closes it when do returns.
func with(ctx context.Context, env process.Environment, do func(settings, *process.Process, ingestor.Deps) error) (err error) {
	cfg, err := process.Settings[settings](env.Vars)
	if err != nil {
		return err
	}
	p, err := process.Open(ctx, cfg.Process, ingestor.Name, version, env.Log, env.Terminal)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	records, err := backing.OpenRecords(ctx, p.Host(), cfg.Database, "")
	if err != nil {
		return err
	}
	blobs, err := bucket.Open(ctx, p.Host(), cfg.Blobs, "")
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
	return do(cfg, p, ingestor.Deps{
		Log: p.Log, JetStream: p.Broker.JetStream(), Catalog: records.Catalog, Vectors: records.Catalog, Record: records.Catalog, Blobs: blobs, Index: points,
		Embedder: vectors, Observer: p.Observer, Tracer: p.Tracer, Publisher: p.Publisher,
	})
}
