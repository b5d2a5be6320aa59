// Package anthropicllm is the llm.Model of Claude: a prompt goes to Anthropic's
// Messages API and its answer comes back as it is written. It calls once and
// never retries; whoever calls decides by the error's class.
//
// Of Anthropic's SDK programs have the decoder of event streams
// (packages/ssestream). The rest of it reads and writes JSON by reflection over
// all that the API knows: 1.8 ms of processor time for an answer of 200 pieces,
// of which internal/wire needs an eighth (BenchmarkStream), and 4.7 MB in every
// program. Tests hold requests and readings against the whole SDK's.
package anthropicllm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/anthropicllm/internal/wire"
	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

// Defaults of [Config]; those of a model come from package modelcatalog.
const (
	DefaultBaseURL    = "https://api.anthropic.com"
	DefaultMaxTokens  = 4096
	DefaultFirstToken = 90 * time.Second
	DefaultSilence    = 30 * time.Second
)

// DefaultTemperature keeps answers close to their sources; models that take none are sent none.
const DefaultTemperature = 0.1

// Config is what New needs. Only APIKey has no default.
type Config struct {
	// APIKey is sent as a header and appears in no error.
	APIKey string
	// Model is a name as the API knows it.
	Model string
	// BaseURL is the API's root, without /v1, for proxies and emulators.
	BaseURL string
	// ContextTokens bounds prompt and answer together.
	ContextTokens int
	// MaxTokens bounds an answer whose request does not say.
	MaxTokens int
	// FirstToken is how long the service may take to begin the answer, Silence
	// how long it may send nothing after that, before the call is given up as
	// Transient.
	FirstToken time.Duration
	Silence    time.Duration
	// Transport carries the calls; nil is one of its own.
	Transport http.RoundTripper
}

// WithDefaults returns the configuration with every unset field at its default.
func (c Config) WithDefaults() Config {
	set(&c.Model, modelcatalog.DefaultChat(modelcatalog.Anthropic))
	set(&c.BaseURL, DefaultBaseURL)
	known, _ := modelcatalog.Chat(modelcatalog.Anthropic, c.Model)
	set(&c.ContextTokens, known.ContextTokens)
	set(&c.MaxTokens, min(DefaultMaxTokens, known.OutputTokens, max(1, c.ContextTokens/4)))
	set(&c.FirstToken, DefaultFirstToken)
	set(&c.Silence, DefaultSilence)
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate returns everything that is wrong with the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	errs = append(errs, upstream.CheckKey("Anthropic API key", c.APIKey, true))
	errs = append(errs, upstream.CheckBaseURL("Anthropic base URL", c.BaseURL))
	if c.Model == "" || strings.ContainsAny(c.Model, " \t\r\n") {
		errs = append(errs, fmt.Errorf("the model name %q is not one", c.Model))
	}
	if c.MaxTokens <= 0 || c.ContextTokens <= c.MaxTokens {
		errs = append(errs, fmt.Errorf("the answer's %d tokens do not fit into the context of %d", c.MaxTokens, c.ContextTokens))
	}
	if c.Silence < 0 || c.FirstToken < 0 {
		errs = append(errs, fmt.Errorf("the longest silence %s or the wait for the first token %s is negative", c.Silence, c.FirstToken))
	}
	return errors.Join(errs...)
}

// Model is Claude. Make one with [New].
type Model struct {
	api   *wire.API
	cfg   Config
	known modelcatalog.ChatModel
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
		return nil, err //nolint:wrapcheck // says whose URL it is
	}
	known, _ := modelcatalog.Chat(modelcatalog.Anthropic, cfg.Model)
	return &Model{api: api, cfg: cfg, known: known}, nil
}

// Info implements [llm.Model].
func (m *Model) Info() llm.Info {
	return llm.Info{Provider: string(modelcatalog.Anthropic), Name: m.cfg.Model, ContextTokens: m.cfg.ContextTokens}
}

// Stream implements [llm.Model].
func (m *Model) Stream(ctx context.Context, r llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		calling, call := upstream.Begin(ctx, upstream.Limits{FirstToken: m.cfg.FirstToken, Silence: m.cfg.Silence}, r.Rest)
		defer call.End()
		stream := m.api.Stream(calling, m.request(r))
		defer func() { _ = stream.Close() }()

		var last llm.Delta
		for stream.Next() {
			text := note(&last, stream.Current())
			if last.Finish != "" {
				call.Whole()
			}
			if text != "" && !call.Deliver(func() bool { return yield(llm.Delta{Text: text}, nil) }) {
				return
			}
		}
		yield(m.end(ctx, call, last, stream.Err()))
	}
}

// end tells how a call ended: with the last delta or with an error.
func (m *Model) end(ctx context.Context, call *upstream.Call, last llm.Delta, err error) (llm.Delta, error) {
	blocked, failure := m.failure(call, err)
	switch {
	case blocked && ctx.Err() == nil:
		last.Finish = llm.Filtered
	case failure != nil && (ctx.Err() != nil || last.Finish == ""):
		return llm.Delta{}, failure
	case last.Finish == "":
		last.Finish = llm.Truncated
	}
	return last, nil
}

// failure classifies what went wrong, if anything did, and tells a refusal for the content apart.
func (m *Model) failure(call *upstream.Call, err error) (blocked bool, failure error) {
	if why := call.Interrupted(); why != nil {
		return false, why
	}
	if refusal := call.Refusal(); refusal != nil {
		p := readProblem(refusal.Body)
		if p.kind == "" && refusal.Status < http.StatusMultipleChoices {
			return false, upstream.NotTheAPI("it usually has no path", upstream.Describe("anthropic", refusal.Status, refusal.MediaType, "", m.cfg.APIKey))
		}
		return p.blocked(), p.fault(refusal.Status, refusal.Pause, m.cfg.APIKey)
	}
	if why := call.Broken(); why != nil {
		// The decoder saw a complete body and complains about its last, cut event, if at all.
		return false, upstream.Unavailable("the language model's answer broke off", fmt.Errorf("anthropic: %w", why))
	}
	if failed, ok := errors.AsType[*wire.StreamError](err); ok {
		p := readProblem(failed.Data)
		// The stream itself began well; its status says nothing.
		return p.blocked(), p.fault(http.StatusInternalServerError, 0, m.cfg.APIKey)
	}
	if err != nil {
		return false, upstream.Unavailable("the language model is not reachable or its answer cannot be read", readError(err, m.cfg.APIKey))
	}
	return false, nil
}

// readError keeps what says how a call failed, and drops the complaint about
// what could not be read: it may quote the answer.
func readError(err error, key string) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("anthropic: an event is not the JSON it should be, at byte %d", syntax.Offset)
	}
	return errors.New("anthropic: " + upstream.Redact(err.Error(), key))
}

func (m *Model) request(r llm.Request) wire.Request {
	answer := m.cfg.MaxTokens
	if r.MaxTokens > 0 {
		answer = r.MaxTokens
	}
	out := wire.Request{
		Model:         m.cfg.Model,
		MaxTokens:     m.known.Budget(answer),
		Messages:      []wire.Message{},
		StopSequences: r.Stop,
	}
	if r.System != "" {
		out.System = wire.Text(r.System)
	}
	for _, msg := range upstream.Alternate(r.Messages) {
		role := wire.User
		if msg.Role == llm.Assistant {
			role = wire.Assistant
		}
		out.Messages = append(out.Messages, wire.Message{Role: role, Content: wire.Text(msg.Text)})
	}
	if m.known.Temperature {
		temperature := DefaultTemperature
		if r.Temperature != nil {
			// The API's range ends at 1.
			temperature = min(1, *r.Temperature)
		}
		out.Temperature = &temperature
	}
	if m.known.Effort != "" {
		out.OutputConfig = &wire.OutputConfig{Effort: m.known.Effort}
	}
	return out
}

// note adds what an event tells to the last delta and returns the event's text.
func note(last *llm.Delta, event wire.Event) string {
	switch event.Type {
	case wire.MessageStart:
		u := event.Message.Usage
		last.Usage.PromptTokens = u.Prompt()
		last.Usage.CompletionTokens = int(u.OutputTokens)
	case wire.ContentBlockDelta:
		if event.Delta.Type == wire.TextDelta {
			return event.Delta.Text
		}
	case wire.MessageDelta:
		u := event.Usage
		last.Usage.PromptTokens = max(last.Usage.PromptTokens, u.Prompt())
		last.Usage.CompletionTokens = max(last.Usage.CompletionTokens, int(u.OutputTokens))
		if f := finish(event.Delta.StopReason); f != "" {
			last.Finish = f
		}
	}
	return ""
}

// finish reads a stop reason; "" when the event has none.
func finish(reason string) llm.Finish {
	switch reason {
	case "":
		return ""
	case "end_turn", "stop_sequence":
		return llm.Stopped
	case "refusal":
		return llm.Filtered
	default:
		// Ended early for reasons of no use to the asker.
		return llm.Truncated
	}
}
