// Package ingestor turns a document event into searchable points, and a
// broken document into a clear failure. Uploads enter as events that name a
// catalog row or a file; a version of the document leaves, whole, in the
// index, or a reason in the catalog. Any number of replicas share the work.
package ingestor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/ragbus/ragbus/pkg/admission"
	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lease"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/reconcile"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/services/ingestor/internal/dataref"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract"
)

// Name of the service, in logs and health reports.
const Name = "ingestor"

// The bounds of one attempt. A batch is 64 short texts: with the built-in
// embedder on one slow core about ten seconds.
const (
	extractTimeout = 10 * time.Minute
	embedTimeout   = 3 * time.Minute
	changeTimeout  = time.Minute
	maxAttempts    = 10
	// embedAttempts is generous: a pause that the embedder asks for counts too.
	embedAttempts = 30
)

// Deps are the parts that the ingestor works with. All are required but
// Observer, Tracer and Publisher.
type Deps struct {
	Log       *slog.Logger
	JetStream jetstream.JetStream
	Catalog   catalog.Store
	Vectors   catalog.VectorCache
	// Record is the whole of which Catalog is what the workers need.
	Record    reconcile.Record
	Blobs     *blob.Store
	Index     vector.Index
	Embedder  embed.Embedder
	Observer  worker.Observer
	Tracer    trace.Tracer
	Publisher worker.Publisher
}

// Service is an ingestor. Make one with [New] and call Run once.
type Service struct {
	cfg       Config
	deps      Deps
	log       *slog.Logger
	extractor *extract.Extractor
	datarefs  *dataref.Opener
	now       func() time.Time
	workers   []*worker.Worker
	window    *admission.Window
	checker   *reconcile.Checker
	lease     *lease.Lease
	forsaken  *worker.Forsaken
	stranded  []*worker.Stranded
}

// IsExtractionChild reports whether this process was started to read one
// document. Every program that runs an ingestor must ask first thing in main
// and then do nothing but exit with [ExtractionChild].
func IsExtractionChild() bool { return extract.IsChild() }

// ExtractionChild reads one document from standard input and returns the exit code.
func ExtractionChild(in io.Reader, out io.Writer) int { return extract.ChildMain(in, out) }

// New returns a service that does nothing until Run.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil || deps.JetStream == nil || deps.Catalog == nil || deps.Vectors == nil || deps.Record == nil || deps.Blobs == nil || deps.Index == nil || deps.Embedder == nil {
		return nil, errors.New("ingestor: a dependency is missing")
	}
	if deps.Publisher == nil {
		deps.Publisher = broker.NewPublisher(deps.JetStream)
	}
	size, batches := cfg.windows(deps.Embedder.Profile())
	cfg = cfg.withSlots(deps.Embedder.Profile())
	s := &Service{cfg: cfg, deps: deps, log: deps.Log.With("part", Name), now: time.Now}
	// All work that follows from work, or is found forgotten, goes through it.
	s.window = admission.New(admission.Config{
		Size: size, Batches: batches, Now: func() time.Time { return s.now() }, Log: s.log, Observer: deps.Observer,
	}, deps.JetStream, deps.Catalog, deps.Publisher)
	s.deps.Publisher, s.deps.Observer = s.window, s.window
	var err error
	if s.datarefs, err = dataref.New(cfg.DatarefPrefixes); err != nil {
		return nil, fmt.Errorf("RAGBUS_DATAREF_PREFIXES: %w", err)
	}
	if s.extractor, err = extract.New(extract.Limits{Bytes: int64(cfg.MaxDocumentBytes)}, cfg.ExtractSlots); err != nil {
		return nil, fmt.Errorf("set up extraction: %w", err)
	}
	s.checker = s.newChecker()
	s.forsaken = worker.NewForsaken(deps.JetStream, Name, s.log)
	s.stranded = []*worker.Stranded{
		worker.NewStranded(deps.JetStream, s.log, broker.StreamIngest, broker.ConsumerIngestorExtract, broker.ConsumerIngestorEmbed),
		worker.NewStranded(deps.JetStream, s.log, broker.StreamChat, broker.ConsumerRetriever, broker.ConsumerGenerator),
		s.forsaken.Stranded(),
	}
	if s.lease, err = s.newSweep(); err != nil {
		return nil, fmt.Errorf("set up the sweep: %w", err)
	}
	if err := s.addWorkers(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Service) addWorkers() error {
	extracting := worker.Config{
		Stream: broker.StreamIngest, Consumer: broker.ConsumerIngestorExtract, Name: Name, Slots: s.cfg.extractDeliveries(),
		Grace: s.cfg.Grace, PullWait: s.cfg.PullWait, Timeout: extractTimeout, MaxAttempts: maxAttempts,
	}
	embedding := worker.Config{
		Stream: broker.StreamIngest, Consumer: broker.ConsumerIngestorEmbed, Name: Name, Slots: s.cfg.EmbedSlots,
		Grace: s.cfg.Grace, PullWait: s.cfg.PullWait, Timeout: embedTimeout, MaxAttempts: embedAttempts,
	}
	deps := worker.Deps{Publisher: s.deps.Publisher, Log: s.log, Observer: s.deps.Observer, Tracer: s.deps.Tracer}
	extractor, err := worker.New(s.deps.JetStream, extracting, deps,
		worker.Handle(s.uploaded).Buried(s.uploadBuried),
		worker.Handle(s.deleted).Within(worker.Limits{Timeout: changeTimeout}),
		worker.Handle(s.changed).Within(worker.Limits{Timeout: changeTimeout}))
	if err != nil {
		return fmt.Errorf("ingestor: %w", err)
	}
	embedder, err := worker.New(s.deps.JetStream, embedding, deps, worker.Handle(s.chunksReady).Buried(s.batchBuried))
	if err != nil {
		return fmt.Errorf("ingestor: %w", err)
	}
	s.workers = []*worker.Worker{extractor, embedder}
	return nil
}

// uploadBuried and batchBuried tell the owner that a document was given up.
// It stays on record and can be tried again.
func (s *Service) uploadBuried(ctx context.Context, d worker.Delivery[event.DocumentUploaded], b worker.Burial) ([]event.Event, error) {
	if d.Data.Generation == 0 {
		return nil, nil // it never became a document: the dead letter is all there is
	}
	return s.buried(ctx, catalog.Ref{Tenant: d.Event.Tenant, ID: d.Data.ID, Generation: d.Data.Generation}, b)
}

func (s *Service) batchBuried(ctx context.Context, d worker.Delivery[event.ChunksReady], b worker.Burial) ([]event.Event, error) {
	return s.buried(ctx, catalog.Ref{Tenant: d.Event.Tenant, ID: d.Data.ID, Generation: d.Data.Generation}, b)
}

func (s *Service) buried(ctx context.Context, ref catalog.Ref, b worker.Burial) ([]event.Event, error) {
	return s.fail(ctx, ref, fault.New(b.Class, b.Code, b.Message).WithCause(b.Err), true)
}

// Ready returns nil while the service takes work: it runs, and the broker
// answers the pulls of all its workers. It does not wait.
func (s *Service) Ready(ctx context.Context) error {
	var problems []error
	for _, w := range s.workers {
		problems = append(problems, w.Ready(ctx))
	}
	return errors.Join(problems...)
}

// Run works until ctx ends and returns when everything is finished or handed back.
func (s *Service) Run(ctx context.Context) error {
	return lifecycle.Run(ctx, s.log,
		lifecycle.Part{Name: "sweeper", Run: s.sweep},
		lifecycle.Part{Name: "admission", Run: s.window.Run},
		lifecycle.Part{Name: "forsaken", Run: s.forsaken.Run},
		lifecycle.Together("workers",
			lifecycle.Part{Name: "embedding", Run: s.workers[1].Run},
			lifecycle.Part{Name: "extraction", Run: s.workers[0].Run}))
}
