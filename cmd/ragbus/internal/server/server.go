// Package server composes the four services in one process over embedded
// parts: the quick start, and the harness of the end-to-end tests. It holds
// no logic of its own; each service runs as it does alone.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/access/sqlaccess"
	"github.com/ragbus/ragbus/pkg/admission"
	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/callers"
	"github.com/ragbus/ragbus/pkg/backing/embedder"
	"github.com/ragbus/ragbus/pkg/backing/index"
	"github.com/ragbus/ragbus/pkg/backing/writer"
	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/blob/natsblob"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/natsserver"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/conversation/sqlconversation"
	"github.com/ragbus/ragbus/pkg/deadletter"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/outbound"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/telemetry"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/services/gateway"
	"github.com/ragbus/ragbus/services/generator"
	"github.com/ragbus/ragbus/services/ingestor"
	"github.com/ragbus/ragbus/services/retriever"
)

// Parts replaces parts that tests and load programs script; nil ones are
// made from the settings.
type Parts struct {
	Embedder embed.Embedder
	Model    llm.Model
}

// Server is everything in one process. Make one with [Open], call Run once, then Close.
type Server struct {
	cfg     Config
	log     *slog.Logger
	tel     *telemetry.Telemetry
	gateway *gateway.Service
	parts   []lifecycle.Part
	// closers undo Open, last first.
	closers []func(context.Context) error
}

// stores are the embedded parts that services share.
type stores struct {
	conn          *broker.Conn
	topology      broker.Topology
	catalog       *sqlcatalog.Store
	conversations *sqlconversation.Store
	access        *sqlaccess.Store
	known         callers.Callers
	blobs         *blob.Store
	index         vector.Index
	embedder      embed.Embedder
	writer        writer.Writer
	// health are the checks of the index and the models, by part.
	health map[string]lifecycle.Check
}

// Open opens all parts and binds the address. Logs go to log; terminal says
// whether a person reads them. When it fails, nothing stays open.
func Open(ctx context.Context, cfg Config, parts Parts, version string, log io.Writer, terminal bool) (_ *Server, err error) {
	tel, err := telemetry.Setup(ctx, cfg.Telemetry, "ragbus", version, log, terminal)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg.withDefaults(), log: tel.Log, tel: tel}
	s.onClose(tel.Shutdown)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(ctx))
		}
	}()
	st, err := s.open(ctx, parts)
	if err != nil {
		return nil, err
	}
	if err := s.compose(ctx, st, version); err != nil {
		return nil, err
	}
	return s, backing.Unusable("RAGBUS_HTTP_ADDR", s.gateway.Listen(ctx))
}

func (s *Server) onClose(f func(context.Context) error) { s.closers = append(s.closers, f) }

// Close releases what Open opened, also when Run was never called.
func (s *Server) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var problems []error
	for _, undo := range slices.Backward(s.closers) {
		problems = append(problems, undo(ctx))
	}
	s.closers = nil
	return errors.Join(problems...)
}

// URL returns the address at which the server is reached.
func (s *Server) URL() string { return "http://" + s.gateway.Addr() }

// Run serves until ctx ends and returns when everything has stopped.
func (s *Server) Run(ctx context.Context) error { return lifecycle.Run(ctx, s.log, s.parts...) }

func (s *Server) open(ctx context.Context, parts Parts) (*stores, error) {
	st := &stores{topology: broker.NewTopology(s.cfg.Topology), health: map[string]lifecycle.Check{
		"llm": backing.Well("llm"), "embedder": backing.Well("embedder"),
	}}
	if err := s.connect(ctx, st, true); err != nil {
		return nil, err
	}
	if err := broker.Ensure(ctx, st.conn.JetStream(), st.topology); err != nil {
		return nil, s.inBroker(err)
	}
	host := backing.Host{
		Log: s.log, Broker: st.conn, Alone: true, Outbound: outbound.NewMetrics(s.tel.Registry), OnClose: s.onClose,
		OnProbe:  func(lifecycle.Check) { /* the gateway has its own */ },
		OnHealth: func(c lifecycle.Check) { st.health[c.Name] = c },
	}
	records, err := backing.OpenRecords(ctx, host, s.cfg.Database, sqldb.FileURL(filepath.Join(s.cfg.DataDir, databaseFile)))
	if err != nil {
		return nil, err
	}
	st.catalog, st.conversations, st.access = records.Catalog, records.Conversations, records.Access
	if st.known, err = s.openCallers(host, records); err != nil {
		return nil, err
	}
	directory, err := blob.FileURL(filepath.Join(s.cfg.DataDir, "blobs"))
	if err != nil {
		return nil, err
	}
	// The clouds' object stores are for the services' programs: their clients
	// would make this one 10 MB larger on disk and 5 in memory.
	if st.blobs, err = backing.OpenBlobs(ctx, host, s.cfg.Blobs, directory, natsblob.Opener(st.conn.JetStream())); err != nil {
		return nil, err
	}
	if err := s.openModels(ctx, host, st, parts); err != nil {
		return nil, err
	}
	return st, s.openIndex(ctx, host, st)
}

// openCallers opens what knows callers. The embedded broker may be open to
// pipelines (RAGBUS_NATS_LISTEN), so what the gateway asks for on behalf of
// somebody is signed there too, with a secret that the data directory keeps.
func (s *Server) openCallers(host backing.Host, records backing.Records) (callers.Callers, error) {
	if s.cfg.Broker.URL == "" && s.cfg.Callers.Bus.Secret == "" {
		secret, err := access.KeptSecret(filepath.Join(s.cfg.DataDir, secretFile))
		if err != nil {
			return callers.Callers{}, inDir(err)
		}
		s.cfg.Callers.Bus.Secret = secret
	}
	return callers.Open(host, s.cfg.Gateway.Auth, s.cfg.Callers, records)
}

// secretFile is the file in the data directory that keeps the secret of the embedded broker's messages.
const secretFile = "bus.secret"

// openIndex opens the vector store that is named, or the one in the data directory.
func (s *Server) openIndex(ctx context.Context, host backing.Host, st *stores) error {
	profile := st.embedder.Profile()
	if s.cfg.Index.URL != "" {
		shared, err := index.Open(ctx, host, s.cfg.Index, profile)
		if err != nil {
			return err
		}
		st.index, st.health["vector_store"] = shared, index.Check(shared)
		return nil
	}
	embedded, err := embeddedvector.Open(ctx, embeddedvector.Config{
		Path: filepath.Join(s.cfg.DataDir, "index.db"), Dimensions: profile.Dimensions, ProfileKey: profile.Key(), Logger: s.log,
	})
	if err != nil {
		return inDir(err)
	}
	s.onClose(func(context.Context) error { return embedded.Close() })
	st.index, st.health["vector_store"] = embedded, lifecycle.Check{Name: "vector_store", Probe: embedded.Ready}
	return nil
}

// connect starts the embedded broker, or connects to the one that is named.
// The data directory is locked by the embedded one, or else when it is used.
func (s *Server) connect(ctx context.Context, st *stores, used bool) error {
	conn := s.cfg.Broker
	conn.Name, conn.Log = "ragbus", s.log
	switch {
	case conn.URL != "" && used:
		lock, err := lockDir(s.cfg.DataDir)
		if err != nil {
			return err
		}
		s.onClose(func(context.Context) error { return lock.Close() })
	case conn.URL == "":
		embedded, err := natsserver.Start(natsserver.Config{
			Dir: s.cfg.DataDir, Listen: s.cfg.NATSListen, SyncAlways: s.cfg.SyncAlways, Log: s.log,
		})
		if err != nil {
			return inDir(err)
		}
		s.onClose(embedded.Shutdown)
		conn.InProcess = embedded
	}
	var err error
	if st.conn, err = broker.Connect(ctx, conn); err != nil {
		return s.inBroker(err)
	}
	s.onClose(st.conn.Close)
	return nil
}

func lockDir(dir string) (io.Closer, error) {
	lock, err := natsserver.LockDir(dir)
	if err != nil {
		return nil, inDir(err)
	}
	return lock, nil
}

// inDir tells with which settings another directory, or another port, is chosen.
func inDir(err error) error {
	return backing.Unusable("RAGBUS_DATA_DIR", fmt.Errorf("%w (settings: RAGBUS_DATA_DIR, RAGBUS_NATS_LISTEN)", err))
}

// inBroker tells which setting the broker is of.
func (s *Server) inBroker(err error) error {
	if s.cfg.Broker.URL == "" {
		return inDir(err)
	}
	return backing.Unusable("RAGBUS_NATS_URL", err)
}

func (s *Server) openModels(ctx context.Context, host backing.Host, st *stores, parts Parts) (err error) {
	st.embedder, st.writer = parts.Embedder, writer.Writer{Model: parts.Model, Rewriter: parts.Model}
	if st.embedder == nil {
		if st.embedder, err = embedder.Open(ctx, host, s.cfg.Vectors, s.cfg.Keys); err != nil {
			return err
		}
	}
	if st.writer.Model == nil {
		st.writer, err = writer.Open(ctx, host, s.cfg.Writer, s.cfg.Keys)
	}
	return err
}

// compose makes the four services and their order: what others need starts
// first and stops last.
func (s *Server) compose(ctx context.Context, st *stores, version string) error {
	js, publisher := st.conn.JetStream(), broker.NewPublisher(st.conn.JetStream())
	observer, err := worker.NewMetrics(s.tel.Registry)
	if err != nil {
		return err
	}
	if err := s.tel.Registry.Register(broker.NewQueueCollector(ctx, js, st.topology)); err != nil {
		return fmt.Errorf("register the queues' metrics: %w", err)
	}
	if err := s.tel.Registry.Register(deadletter.NewCollector(ctx, js)); err != nil {
		return fmt.Errorf("register the metrics of dead letters: %w", err)
	}
	if err := s.tel.Registry.Register(admission.NewCollector(ctx, st.catalog, nil)); err != nil {
		return fmt.Errorf("register the metrics of work that waits for its turn: %w", err)
	}
	tracer := s.tel.Tracers.Tracer("github.com/ragbus/ragbus")
	ingest, err := ingestor.New(s.cfg.Ingestor, ingestor.Deps{
		Log: s.log, JetStream: js, Catalog: st.catalog, Vectors: st.catalog, Record: st.catalog, Blobs: st.blobs, Index: st.index, Embedder: st.embedder,
		Observer: observer, Tracer: tracer, Publisher: publisher,
	})
	if err != nil {
		return err
	}
	retrieve, err := retriever.New(s.cfg.Retriever, retriever.Deps{
		Log: s.log, JetStream: js, Catalog: st.catalog, Conversations: st.conversations, Index: st.index, Embedder: st.embedder,
		Rewriter: st.writer.Rewriter, Observer: observer, Tracer: tracer, Publisher: publisher, Signer: st.known.Signer,
	})
	if err != nil {
		return err
	}
	generate, err := generator.New(s.cfg.Generator, generator.Deps{
		NATS: st.conn.NATS(), JetStream: js, Publisher: publisher, Conversations: st.conversations, Model: st.writer.Model, Fallback: st.writer.Fallback, Embedder: st.embedder,
		Log: s.log, Observer: observer, Tracer: tracer, Signer: st.known.Signer, Ledger: st.access,
	})
	if err != nil {
		return err
	}
	points := st.health["vector_store"]
	s.gateway, err = gateway.New(s.cfg.Gateway, gateway.Deps{
		Catalog: st.catalog, Conversations: st.conversations, Blobs: st.blobs, Publisher: publisher, Broker: st.conn, Registry: s.tel.Registry,
		Log: s.log, Tracers: s.tel.Tracers, Checks: []lifecycle.Check{points}, Version: gateway.Version{Version: version},
		Callers: st.known.Authenticator, Ledger: st.access, Signer: st.known.Signer,
	})
	if err != nil {
		return err
	}
	responding := func(name string, run func(context.Context) error, checks ...lifecycle.Check) lifecycle.Part {
		return lifecycle.Responding(st.conn.NATS(), lifecycle.Part{Name: name, Run: run}, checks...)
	}
	s.parts = []lifecycle.Part{
		{Name: "topology", Run: func(ctx context.Context) error { return broker.Maintain(ctx, st.conn, st.topology, s.log) }},
		lifecycle.Together("workers",
			responding("generator", generate.Run, st.health["llm"]),
			responding(retriever.Name, retrieve.Run, points, st.health["embedder"]),
			responding(ingestor.Name, ingest.Run, points, st.health["embedder"])),
		{Name: "callers", Run: st.known.Run},
		{Name: "gateway", Run: s.gateway.Run},
	}
	return nil
}
