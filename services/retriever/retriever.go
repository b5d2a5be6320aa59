// Package retriever turns a question, with the conversation before it, into
// ranked passages that its asker may see. Questions enter as events; what was
// found leaves as a frame for the reader, at once, and as an event for the
// generator. Searches enter and leave as one request. Any number of replicas
// share the work.
package retriever

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/reply"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/services/retriever/internal/question"
	"github.com/ragbus/ragbus/services/retriever/internal/search"
)

// Name of the service, in logs and health reports.
const Name = "retriever"

const (
	// attemptTimeout bounds one search, a remote embedder's slowness included.
	attemptTimeout = 30 * time.Second
	maxAttempts    = 4
	// historyTurns is how many earlier turns go to the rewriter and the generator.
	historyTurns = 6
	// historyBytes bounds one of their answers; the rest says little more.
	historyBytes = 2000
)

// Config is the operator's part.
type Config struct {
	// Slots is how many questions are worked on at once. Default 64.
	Slots int `env:"RAGBUS_RETRIEVER_SLOTS"`
	// Passages is how many passages an answer is written from. Default 8.
	Passages int `env:"RAGBUS_CHAT_PASSAGES"`
	// Searches is how many searches are answered at once; more are refused. Default 64.
	Searches int `env:"RAGBUS_SEARCHES"`
	// Grace is how long running work may go on after a stop. Default the worker's.
	Grace time.Duration `env:"RAGBUS_GRACE"`
	// PullWait is how long one request for work waits at the broker. Default the worker's.
	PullWait time.Duration `env:"RAGBUS_PULL_WAIT"`
}

// WithDefaults returns a copy with every unset field filled in.
func (c Config) WithDefaults() Config {
	for _, f := range []struct {
		value *int
		def   int
	}{{&c.Slots, 64}, {&c.Passages, 8}, {&c.Searches, 64}} {
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	return c
}

// Validate implements config.Validator. What is not set has its default.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var problems []error
	for _, f := range []struct {
		name       string
		value, max int
	}{{"RAGBUS_RETRIEVER_SLOTS", c.Slots, 1024}, {"RAGBUS_CHAT_PASSAGES", c.Passages, 50}, {"RAGBUS_SEARCHES", c.Searches, 4096}} {
		if f.value < 1 || f.value > f.max {
			problems = append(problems, fmt.Errorf("%s: %d is not between 1 and %d", f.name, f.value, f.max))
		}
	}
	if c.Grace != 0 && c.Grace < time.Second {
		problems = append(problems, fmt.Errorf("RAGBUS_GRACE: %s is less than 1s", c.Grace))
	}
	return errors.Join(problems...)
}

// Deps are the parts that the retriever works with. Rewriter, Observer,
// Tracer and Publisher may be nil.
type Deps struct {
	Log           *slog.Logger
	JetStream     jetstream.JetStream
	Catalog       catalog.Store
	Conversations conversation.Store
	Index         vector.Store
	Embedder      embed.Embedder
	// Rewriter is the model that makes follow-ups stand alone; without it rules do.
	Rewriter llm.Model
	// Signer verifies that questions and searches come from a gateway, and vouches for
	// what was found; nil takes those that nobody signed, and signs nothing.
	Signer    *access.Signer
	Observer  worker.Observer
	Tracer    trace.Tracer
	Publisher worker.Publisher
}

// Service is a retriever. Make one with [New] and call Run once.
type Service struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	searcher *search.Searcher
	rewriter *question.Rewriter
	worker   *worker.Worker
}

// New returns a service that does nothing until Run.
func New(cfg Config, deps Deps) (*Service, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil || deps.JetStream == nil || deps.Catalog == nil || deps.Conversations == nil || deps.Index == nil || deps.Embedder == nil {
		return nil, errors.New("retriever: a dependency is missing")
	}
	log := deps.Log.With("part", Name)
	s := &Service{
		cfg: cfg, deps: deps, log: log, searcher: search.New(deps.Embedder, deps.Index, deps.Catalog), rewriter: question.NewRewriter(deps.Rewriter, log),
	}
	wc := worker.Config{
		Stream: broker.StreamChat, Consumer: broker.ConsumerRetriever, Name: Name, Slots: cfg.Slots,
		Grace: cfg.Grace, PullWait: cfg.PullWait, Timeout: attemptTimeout, MaxAttempts: maxAttempts, BackoffBase: 100 * time.Millisecond, BackoffMax: 5 * time.Second,
	}
	var err error
	s.worker, err = worker.New(deps.JetStream, wc,
		worker.Deps{Publisher: deps.Publisher, Log: log, Observer: deps.Observer, Tracer: deps.Tracer},
		worker.Handle(s.asked).Buried(s.buried).Urgent(func(q event.ChatAsked) bool { return !q.Background }))
	if err != nil {
		return nil, fmt.Errorf("retriever: %w", err)
	}
	return s, nil
}

// Ready returns nil while the service takes work: it runs, and the broker
// answers its pulls. It does not wait.
func (s *Service) Ready(ctx context.Context) error {
	return s.worker.Ready(ctx) //nolint:wrapcheck // says which worker
}

// Run works until ctx ends and returns when everything is finished or handed back.
func (s *Service) Run(ctx context.Context) error {
	return lifecycle.Run(ctx, s.log,
		lifecycle.Part{Name: "searches", Run: s.answerSearches},
		lifecycle.Part{Name: "questions", Run: s.worker.Run})
}

// asked finds passages for a question and passes both on.
func (s *Service) asked(ctx context.Context, d worker.Delivery[event.ChatAsked]) ([]event.Event, error) {
	started := time.Now()
	asked := d.Data
	// Before anything is done for it, or told to anybody.
	if err := s.deps.Signer.VerifyAsked(d.Event, asked); err != nil {
		return nil, err
	}
	scope, err := corpus.NewScope(d.Event.Tenant, asked.Principals...)
	if err != nil {
		return nil, err
	}
	history, err := s.history(ctx, d)
	if err != nil {
		return nil, err
	}
	query := s.rewriter.Standalone(ctx, history, asked.Question)
	found := search.Result{}
	if !question.Courtesy(asked.Question) { // "thanks!" asks nothing, and passages that say thanks answer nothing
		found, err = s.searcher.Search(ctx, search.Request{
			Scope: scope, Query: query, Collections: asked.Collections, Filter: asked.Filter, Mode: vector.Hybrid, Limit: s.cfg.Passages,
		})
		if err != nil {
			return nil, err
		}
	}
	w, err := reply.NewWriter(s.deps.JetStream.Conn(), d.Event.ReplyTo, asked.ID, reply.Retrieve, d.Attempt)
	if err != nil {
		return nil, err
	}
	passages, err := event.NewPassages(found.Passages)
	if err != nil {
		return nil, err
	}
	if !asked.Whole() {
		if err := w.For(d.StoredAt).Sources(passages.JSON()); err != nil {
			return nil, err
		}
	}
	return []event.Event{s.deps.Signer.Sign(d.Follow(event.ChatRetrieved{
		Asked: asked, SearchQuery: query, Passages: passages, Relevant: found.Relevant, History: history, Degraded: found.Degraded,
		QueueMS: milliseconds(started.Sub(d.StoredAt)), RetrieveMS: milliseconds(time.Since(started)),
	}))}, nil
}

// history returns the turns before this one, oldest first.
func (s *Service) history(ctx context.Context, d worker.Delivery[event.ChatAsked]) ([]event.Turn, error) {
	if !d.Data.Followup {
		return nil, nil
	}
	caller := conversation.Caller{Tenant: d.Event.Tenant, Owner: d.Data.Owner}
	turns, err := s.deps.Conversations.History(ctx, caller, d.Data.ConversationID, d.Data.ID, historyTurns)
	if err != nil {
		return nil, fmt.Errorf("read the conversation: %w", err)
	}
	out := make([]event.Turn, 0, 2*len(turns))
	for _, t := range turns {
		out = append(out, event.Turn{Role: "user", Content: t.Question.Text}, event.Turn{Role: "assistant", Content: clip(t.Answer.Answer)})
	}
	return out, nil
}

// buried ends a question that was given up: its asker must not wait for the deadline.
func (s *Service) buried(ctx context.Context, d worker.Delivery[event.ChatAsked], b worker.Burial) ([]event.Event, error) {
	asked := d.Data
	// Whatever it was given up for: what nobody vouches for is told nobody.
	if s.deps.Signer.VerifyAsked(d.Event, asked) != nil {
		return nil, nil //nolint:nilerr // the letter says why
	}
	caller := conversation.Caller{Tenant: d.Event.Tenant, Owner: asked.Owner}
	problem := conversation.Problem{Code: b.Code, Message: b.Message}
	answer, err := s.deps.Conversations.Finish(ctx, caller, conversation.Answer{
		ID: asked.ID, ConversationID: asked.ConversationID, Status: conversation.Failed, Citations: []conversation.Citation{},
		Sources: json.RawMessage("[]"), SearchQuery: asked.Question, Error: &problem, CreatedAt: asked.AskedAt,
		Timings: conversation.Timings{TotalMS: milliseconds(time.Since(asked.AskedAt))},
	})
	if err != nil {
		return nil, fmt.Errorf("record that a question failed: %w", err)
	}
	if err := reply.Abort(s.deps.JetStream.Conn(), d.Event.ReplyTo, asked.ID, reply.Retrieve, d.StoredAt, d.Attempt, problem); err != nil {
		return nil, err
	}
	return []event.Event{event.New(d.Event.Tenant, time.Now(), event.ChatAnswered{
		ID: asked.ID, ConversationID: asked.ConversationID, Status: string(answer.Status), TotalMS: answer.Timings.TotalMS,
	})}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
