package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/embedder"
	"github.com/ragbus/ragbus/pkg/backing/index"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/process"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/telemetry"
)

// Operator does an operator's work on the parts that the settings name,
// beside whatever server runs on them.
type Operator struct {
	Vars config.Vars
	Log  io.Writer
	// Terminal says whether a person reads the log.
	Terminal bool
	// Settling replaces how long after a change a document is left alone by
	// Verify; tests need not wait. 0 is a minute.
	Settling time.Duration
}

// errEmbedded refuses work on parts that live inside a running server.
func errEmbedded(variable, what string) error {
	return fmt.Errorf("%w:\n%s: missing; the embedded %s belongs to `ragbus serve`, which looks after it itself", process.ErrSettings, variable, what)
}

func (o Operator) settings() (Config, *slog.Logger, error) {
	set, err := process.Settings[toolConfig](o.Vars)
	cfg := set.Config
	if err != nil {
		return cfg, nil, err
	}
	return cfg, telemetry.NewLogger(cfg.Telemetry, o.Log, o.Terminal), nil
}

// Topology returns the streams and consumers that the settings describe.
func (o Operator) Topology() (broker.Topology, error) {
	cfg, _, err := o.settings()
	return broker.NewTopology(cfg.Topology), err
}

// ApplyTopology makes and updates the broker's streams and consumers, and the
// bucket of documents' bytes when they are kept in the broker.
func (o Operator) ApplyTopology(ctx context.Context) error {
	cfg, log, err := o.settings()
	if err != nil {
		return err
	}
	return o.withBroker(ctx, func(conn *broker.Conn, t broker.Topology) error {
		return errors.Join(broker.Ensure(ctx, conn.JetStream(), t), applyBuckets(ctx, cfg, conn, log))
	})
}

// VerifyTopology compares the broker's streams and consumers with the
// settings. The error lists every difference.
func (o Operator) VerifyTopology(ctx context.Context) error {
	return o.withBroker(ctx, func(conn *broker.Conn, t broker.Topology) error { return broker.Verify(ctx, conn.JetStream(), t) })
}

func (o Operator) withBroker(ctx context.Context, do func(*broker.Conn, broker.Topology) error) error {
	cfg, log, err := o.settings()
	if err != nil {
		return err
	}
	if cfg.Broker.URL == "" {
		return errEmbedded("RAGBUS_NATS_URL", "broker")
	}
	b := cfg.Broker
	b.Name, b.Log = "ragbus-operator", log
	conn, err := broker.Connect(ctx, b)
	if err != nil {
		return backing.Unusable("RAGBUS_NATS_URL", err)
	}
	return errors.Join(do(conn, broker.NewTopology(cfg.Topology)), conn.Close(ctx))
}

// Migrate brings the database to this version, and returns when it is there.
// One that is not there yet is made in the data directory, and the log says so.
func (o Operator) Migrate(ctx context.Context) error {
	cfg, log, err := o.settings()
	if err != nil {
		return err
	}
	announce(ctx, cfg, log)
	_, done, err := o.records(ctx, cfg, log)
	return errors.Join(err, done())
}

// records opens the database that is named, or that of the data directory,
// which must not be in use. What is returned last closes it, also after an error.
func (o Operator) records(ctx context.Context, cfg Config, log *slog.Logger) (_ backing.Records, done func() error, err error) {
	var closers []func(context.Context) error
	done = func() error {
		var problems []error
		for _, undo := range slices.Backward(closers) {
			problems = append(problems, undo(context.WithoutCancel(ctx)))
		}
		return errors.Join(problems...)
	}
	host := backing.Host{
		Log: log, OnClose: func(f func(context.Context) error) { closers = append(closers, f) }, OnProbe: func(lifecycle.Check) {},
	}
	if cfg.Database.URL == "" {
		lock, err := lockDir(cfg.DataDir)
		if err != nil {
			return backing.Records{}, done, err
		}
		closers = append(closers, func(context.Context) error { return lock.Close() })
	}
	records, err := backing.OpenRecords(ctx, host, cfg.Database, sqldb.FileURL(filepath.Join(cfg.DataDir, databaseFile)))
	return records, done, err
}

// Reindex fills the vector store anew from the record, while servers go on,
// and returns how many documents and points it now holds.
func (o Operator) Reindex(ctx context.Context) (documents, points int, err error) {
	cfg, log, err := o.settings()
	if err != nil {
		return 0, 0, err
	}
	if cfg.Index.URL == "" {
		return 0, 0, errEmbedded("RAGBUS_VECTOR_URL", "index")
	}
	if err := recorded(cfg); err != nil {
		return 0, 0, err
	}
	records, done, err := o.records(ctx, cfg, log)
	defer func() { err = errors.Join(err, done()) }()
	if err != nil {
		return 0, 0, err
	}
	var closeEmbedder func(context.Context) error
	host := backing.Host{Log: log, Alone: true, OnClose: func(f func(context.Context) error) { closeEmbedder = f }, OnHealth: func(lifecycle.Check) {}}
	vectors, err := embedder.Open(ctx, host, cfg.Vectors, cfg.Keys)
	if err != nil {
		return 0, 0, err
	}
	report, err := index.Reindex(ctx, cfg.Index, index.Record{Documents: records.Catalog, Embedder: vectors, Log: log})
	if closeEmbedder != nil {
		err = errors.Join(err, closeEmbedder(context.WithoutCancel(ctx)))
	}
	return report.Documents, report.Points, err
}
