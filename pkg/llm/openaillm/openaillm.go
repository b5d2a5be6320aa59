// Package openaillm is the llm.Model of everything that speaks OpenAI's chat
// completions: OpenAI itself, and with another base URL Ollama, vLLM,
// llama.cpp, LM Studio and the gateways. It never retries; whoever calls
// decides by the error's class. What differs from server to server it takes as
// it comes, and a parameter that a server refuses it leaves out from then on.
//
// Of OpenAI's SDK it uses the decoder of event streams (packages/ssestream) and
// nothing else. Importing the SDK's root package costs 20 MB in every program,
// of 90 for the whole of Ragbus, called or not: at its start it registers the
// types of every API that OpenAI has. The one request made here, and the few
// members of an answer that are read, are in internal/wire.
package openaillm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openai/openai-go/v3/packages/ssestream"

	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
	"github.com/ragbus/ragbus/pkg/llm/openaillm/internal/wire"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

// Defaults of [Config]; those of a model come from package modelcatalog.
const (
	DefaultBaseURL   = "https://api.openai.com/v1"
	DefaultMaxTokens = 4096
	DefaultSilence   = 30 * time.Second
	// DefaultFirstToken is for OpenAI, DefaultLocalFirstToken for other
	// servers: a small one works through long prompts for minutes and queues
	// what comes meanwhile.
	DefaultFirstToken      = 90 * time.Second
	DefaultLocalFirstToken = 5 * time.Minute
)

// DefaultTemperature keeps answers close to their sources.
const DefaultTemperature = 0.1

// Config is what New needs. The zero value lacks only the key.
type Config struct {
	// APIKey is sent as a bearer token and appears in no error. It may be
	// empty for servers other than OpenAI's.
	APIKey string
	// Model is a name as the server knows it. It has a default at OpenAI only.
	Model string
	// BaseURL is the API's root, usually ending in /v1.
	BaseURL string
	// ContextTokens bounds prompt and answer together. For a model that
	// package modelcatalog does not know the default is 8,192: set it to what
	// the server was started with.
	ContextTokens int
	// MaxTokens bounds an answer whose request does not say.
	MaxTokens int
	// FirstToken is how long the server may take to begin the answer, Silence
	// how long it may send nothing after that, before the call is given up as
	// Transient.
	FirstToken time.Duration
	Silence    time.Duration
	// Transport carries the calls; nil is one of its own.
	Transport http.RoundTripper
}

// WithDefaults returns the configuration with every unset field at its default.
func (c Config) WithDefaults() Config {
	set(&c.BaseURL, DefaultBaseURL)
	if c.official() {
		set(&c.Model, modelcatalog.DefaultChat(modelcatalog.OpenAI))
		set(&c.FirstToken, DefaultFirstToken)
	}
	set(&c.FirstToken, DefaultLocalFirstToken)
	set(&c.Silence, DefaultSilence)
	known, _ := modelcatalog.Chat(modelcatalog.OpenAI, c.Model)
	set(&c.ContextTokens, known.ContextTokens)
	set(&c.MaxTokens, min(DefaultMaxTokens, known.OutputTokens, max(1, c.ContextTokens/4)))
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// official reports whether the server is OpenAI's own, or Azure's copy of it.
func (c Config) official() bool {
	u, err := url.Parse(c.BaseURL)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return host == "openai.com" || strings.HasSuffix(host, ".openai.com") || strings.HasSuffix(host, ".openai.azure.com")
}

// Validate returns everything that is wrong with the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	errs = append(errs, upstream.CheckKey("OpenAI API key", c.APIKey, c.official()))
	errs = append(errs, upstream.CheckBaseURL("OpenAI base URL", c.BaseURL))
	switch {
	case c.Model == "":
		errs = append(errs, errors.New("the model is not named; servers other than OpenAI's have no default"))
	case strings.ContainsAny(c.Model, " \t\r\n"):
		errs = append(errs, fmt.Errorf("the model name %q holds white space", c.Model))
	}
	if c.MaxTokens <= 0 || c.ContextTokens <= c.MaxTokens {
		errs = append(errs, fmt.Errorf("the answer's %d tokens do not fit into the context of %d", c.MaxTokens, c.ContextTokens))
	}
	if c.Silence < 0 || c.FirstToken < 0 {
		errs = append(errs, fmt.Errorf("the longest silence %s or the wait for the first token %s is negative", c.Silence, c.FirstToken))
	}
	return errors.Join(errs...)
}

// Model is a chat completions model. Make one with [New].
type Model struct {
	api   *wire.API
	cfg   Config
	known modelcatalog.ChatModel
	// dialect is what the server was found to take.
	dialect atomic.Pointer[dialect]
}

var _ llm.Model = (*Model)(nil)

// New returns a model without calling anybody. Every problem of the
// configuration is reported at once.
func New(cfg Config) (*Model, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	api, err := wire.NewAPI(cfg.BaseURL, cfg.APIKey, upstream.Client(cfg.Transport))
	if err != nil {
		return nil, err
	}
	known, _ := modelcatalog.Chat(modelcatalog.OpenAI, cfg.Model)
	m := &Model{api: api, cfg: cfg, known: known}
	m.dialect.Store(firstDialect(cfg, known))
	return m, nil
}

// Info implements [llm.Model].
func (m *Model) Info() llm.Info {
	return llm.Info{Provider: string(modelcatalog.OpenAI), Name: m.cfg.Model, ContextTokens: m.cfg.ContextTokens}
}

// Stream implements [llm.Model]. A server that refuses one of the optional
// parameters is asked again without it, before anything was written.
func (m *Model) Stream(ctx context.Context, r llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		for {
			d := m.dialect.Load()
			next := m.call(ctx, r, d, yield)
			if next == nil {
				return
			}
			// Of several calls at once the first to find out wins; the others ask with what it found.
			m.dialect.CompareAndSwap(d, next)
		}
	}
}

// call asks once. It returns another dialect to ask in when the server refused
// this one, else nil: everything was yielded.
func (m *Model) call(ctx context.Context, r llm.Request, d *dialect, yield func(llm.Delta, error) bool) *dialect {
	watched, call := upstream.Begin(ctx, upstream.Limits{FirstToken: m.cfg.FirstToken, Silence: m.cfg.Silence}, r.Rest)
	defer call.End()
	stream := m.api.Stream(watched, m.request(r, d))
	defer func() { _ = stream.Close() }()

	var a answer
	for stream.Next() {
		text := a.note(stream.Current())
		if a.last.Finish != "" {
			call.Whole()
		}
		if text != "" && !call.Deliver(func() bool { return yield(llm.Delta{Text: text}, nil) }) {
			return nil
		}
	}
	if text := a.rest(); text != "" && !yield(llm.Delta{Text: text}, nil) {
		return nil
	}
	last, next, err := m.end(ctx, call, &a, stream.Err(), d)
	if next == nil {
		yield(last, err)
	}
	return next
}

// end tells how a call ended: with the last delta, with an error, or not yet.
func (m *Model) end(ctx context.Context, call *upstream.Call, a *answer, err error, d *dialect) (llm.Delta, *dialect, error) {
	if refusal := call.Refusal(); refusal != nil && ctx.Err() == nil {
		p := wire.ReadProblem(refusal.Body)
		if next := d.without(refusal.Status, p); next != nil {
			return llm.Delta{}, next, nil
		}
		if p.Filtered() {
			return llm.Delta{Finish: llm.Filtered}, nil, nil
		}
		return llm.Delta{}, nil, p.Fault(refusal, m.cfg.APIKey)
	}
	failure := m.failure(call, a, err)
	if failure != nil && (ctx.Err() != nil || a.last.Finish == "") {
		return llm.Delta{}, nil, failure
	}
	// What fails after the answer is complete costs only its counting.
	if a.last.Finish == "" {
		a.last.Finish = llm.Truncated
	}
	return a.last, nil, nil
}

// failure classifies what went wrong after the stream had begun; nil when nothing did.
func (m *Model) failure(call *upstream.Call, a *answer, err error) error {
	if why := call.Interrupted(); why != nil {
		return why
	}
	if why := call.Broken(); why != nil {
		// The decoder saw a complete body and complains about its last, cut event, if at all.
		return upstream.Unavailable("the language model's answer broke off", fmt.Errorf("openai: %w", why))
	}
	if failed, ok := errors.AsType[*ssestream.StreamError](err); ok {
		p := wire.ReadProblem(failed.Event.Data)
		if p.Filtered() {
			a.last.Finish = llm.Filtered
			return nil
		}
		return p.StreamFault(m.cfg.APIKey)
	}
	if err != nil {
		return upstream.Unavailable("the language model is not reachable or its answer cannot be read", readError(err, m.cfg.APIKey))
	}
	return nil
}

// readError keeps what says how a call failed, and drops the complaint about
// what could not be read: it may quote the answer.
func readError(err error, key string) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("openai: an event is not the JSON it should be, at byte %d", syntax.Offset)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("openai: %w", err)
	}
	return errors.New("openai: " + upstream.Redact(err.Error(), key))
}
