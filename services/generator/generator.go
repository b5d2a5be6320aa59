// Package generator writes the answers. A question with its passages comes
// in as rag.chat.v1.retrieved; frames of text, checked citations and the end
// go to the reader; the one terminal answer goes to the record; and
// rag.chat.v1.answered follows. However often a question is delivered, it has
// one answer, and once that is stored no model is asked again.
//
// Without a model the answer is made of the passages' own sentences.
package generator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/reply"
	"github.com/ragbus/ragbus/pkg/worker"

	"github.com/ragbus/ragbus/services/generator/internal/answer"
	"github.com/ragbus/ragbus/services/generator/internal/extractive"
)

// Deps are what a generator needs besides its settings.
type Deps struct {
	// NATS carries frames and cancellations, JetStream the work. Both are required.
	NATS      *nats.Conn
	JetStream jetstream.JetStream
	// Publisher stores the events that follow; nil publishes on JetStream.
	Publisher worker.Publisher
	// Conversations is the record of answers. Required.
	Conversations conversation.Store
	// Model writes the answers; nil is the extractive writer.
	Model llm.Model
	// Fallback has the extractive writer answer when Model fails before it has
	// said anything; the answer says who wrote it. Without it the question is
	// tried again.
	Fallback bool
	// Embedder is the one that the search uses. The check of citations asks it
	// where words do not decide, and the extractive writer judges by the
	// passages' cosines when it knows the model; nil leaves both to words.
	Embedder embed.Embedder
	// Signer verifies that questions come from a gateway, and what was found from a
	// retriever; nil takes those that nobody signed.
	Signer *access.Signer
	// Ledger counts the tokens of those who have a limit; nil counts nothing.
	Ledger access.Ledger
	// Log receives lifecycle, retries and burials, never content; nil discards them.
	Log      *slog.Logger
	Observer worker.Observer
	Tracer   trace.Tracer
}

// Service is a generator. Make one with [New] and call Run once.
type Service struct {
	cfg      Config
	store    conversation.Store
	model    llm.Model
	frames   reply.Publisher
	pace     *pace
	cancels  *reply.CancelListener
	writing  *reply.Writing
	checker  *answer.Checker
	extract  *extractive.Writer
	fallback bool
	signer   *access.Signer
	ledger   access.Ledger
	log      *slog.Logger
	worker   *worker.Worker
}

// New returns a service that is not running yet, and every reason why it could not work.
func New(cfg Config, deps Deps) (*Service, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.NATS == nil || deps.JetStream == nil || deps.Conversations == nil {
		return nil, errors.New("generator: NATS, JetStream and the record of conversations are required")
	}
	s := newService(cfg, deps)
	w, err := worker.New(deps.JetStream, worker.Config{
		Stream: broker.StreamChat, Consumer: broker.ConsumerGenerator, Name: cfg.Name, Slots: cfg.Slots, Grace: cfg.Grace,
		Timeout: cfg.Timeout, MaxAttempts: cfg.MaxAttempts,
	}, worker.Deps{Publisher: deps.Publisher, Log: s.log, Observer: deps.Observer, Tracer: deps.Tracer}, s.route())
	if err != nil {
		return nil, fmt.Errorf("generator: %w", err)
	}
	s.worker = w
	return s, nil
}

// newService is all of a service but its worker.
func newService(cfg Config, deps Deps) *Service {
	analyzer := lexical.New()
	var dense embed.Profile
	if deps.Embedder != nil {
		dense = deps.Embedder.Profile()
	}
	s := &Service{
		cfg: cfg, store: deps.Conversations, model: deps.Model, frames: deps.NATS, pace: &pace{least: cfg.Coalesce}, cancels: reply.NewCancelListener(deps.NATS),
		writing: reply.NewWriting(deps.NATS),
		checker: answer.NewChecker(analyzer, deps.Embedder), extract: extractive.New(analyzer, dense), fallback: deps.Fallback, log: deps.Log,
		signer: deps.Signer, ledger: deps.Ledger,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

func (s *Service) route() worker.Typed[event.ChatRetrieved] {
	return worker.Handle(s.answer).Buried(s.bury).Urgent(func(q event.ChatRetrieved) bool { return !q.Asked.Background })
}

// Ready returns nil while the service takes work: it runs, and the broker
// answers its pulls. It does not wait.
func (s *Service) Ready(ctx context.Context) error {
	return s.worker.Ready(ctx) //nolint:wrapcheck // says which worker
}

// Run works until ctx ends and returns when running answers are done or
// handed back, at the latest after the grace. It needs the consumer to exist.
func (s *Service) Run(ctx context.Context) error {
	if err := s.listen(ctx); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopped before it began
		}
		return fmt.Errorf("generator: %w", err)
	}
	name := s.modelName()
	s.log.InfoContext(ctx, "generator runs", "model", name, "slots", s.cfg.Slots)
	err := errors.Join(s.worker.Run(ctx), s.cancels.Close(), s.writing.Close())
	s.log.InfoContext(context.WithoutCancel(ctx), "generator stopped")
	if err != nil {
		return fmt.Errorf("generator: %w", err)
	}
	return nil
}

// listen begins to hear what others tell and ask of answers being written.
func (s *Service) listen(ctx context.Context) error {
	if err := s.cancels.Start(ctx); err != nil {
		return err //nolint:wrapcheck // says what
	}
	if err := s.writing.Start(ctx); err != nil {
		return errors.Join(err, s.cancels.Close())
	}
	return nil
}

func (s *Service) modelName() string {
	if s.model == nil {
		return extractive.Name
	}
	return s.model.Info().Name
}

// since returns the milliseconds from one time to another, never negative:
// the clocks of two machines differ.
func since(from, to time.Time) float64 {
	if from.IsZero() || to.Before(from) {
		return 0
	}
	return float64(to.Sub(from).Microseconds()) / 1000
}
