// Package genaillm is the llm.Model of Gemini, through Google's SDK: a prompt
// goes to the Gemini API and its answer comes back as it is written. It calls
// once and never retries; whoever calls decides by the error's class.
package genaillm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"google.golang.org/genai"

	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

// Defaults of [Config]; those of a model come from package modelcatalog.
const (
	DefaultBaseURL    = "https://generativelanguage.googleapis.com/"
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
	// Model is a name as the API knows it, without "models/".
	Model string
	// BaseURL is the API's root, for proxies and emulators.
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
	set(&c.Model, modelcatalog.DefaultChat(modelcatalog.Gemini))
	set(&c.BaseURL, DefaultBaseURL)
	known, _ := modelcatalog.Chat(modelcatalog.Gemini, c.Model)
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
	errs = append(errs, upstream.CheckKey("Gemini API key", c.APIKey, true))
	errs = append(errs, upstream.CheckBaseURL("Gemini base URL", c.BaseURL))
	if c.Model == "" || strings.ContainsAny(c.Model, "/?# \t\r\n") {
		errs = append(errs, fmt.Errorf("the model name %q is not one; give it without \"models/\"", c.Model))
	}
	if c.MaxTokens <= 0 || c.ContextTokens <= c.MaxTokens {
		errs = append(errs, fmt.Errorf("the answer's %d tokens do not fit into the context of %d", c.MaxTokens, c.ContextTokens))
	}
	if c.Silence < 0 || c.FirstToken < 0 {
		errs = append(errs, fmt.Errorf("the longest silence %s or the wait for the first token %s is negative", c.Silence, c.FirstToken))
	}
	return errors.Join(errs...)
}

// Model is Gemini. Make one with [New].
type Model struct {
	client *genai.Client
	cfg    Config
	known  modelcatalog.ChatModel
}

var _ llm.Model = (*Model)(nil)

// New returns a model without calling anybody. Every problem of the
// configuration is reported at once.
func New(ctx context.Context, cfg Config) (*Model, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		APIKey:     cfg.APIKey,
		Backend:    genai.BackendGeminiAPI,
		HTTPClient: upstream.Client(cfg.Transport),
		// No Timeout: it would cut the stream. No RetryOptions: the caller retries.
		HTTPOptions: genai.HTTPOptions{BaseURL: cfg.BaseURL},
	})
	if err != nil {
		return nil, errors.New("set up gemini: " + upstream.Redact(err.Error(), cfg.APIKey))
	}
	known, _ := modelcatalog.Chat(modelcatalog.Gemini, cfg.Model)
	return &Model{client: client, cfg: cfg, known: known}, nil
}

// Info implements [llm.Model].
func (m *Model) Info() llm.Info {
	return llm.Info{Provider: string(modelcatalog.Gemini), Name: m.cfg.Model, ContextTokens: m.cfg.ContextTokens}
}

// Stream implements [llm.Model].
func (m *Model) Stream(ctx context.Context, r llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		wire, call := upstream.Begin(ctx, upstream.Limits{FirstToken: m.cfg.FirstToken, Silence: m.cfg.Silence}, r.Rest)
		defer call.End()

		var last llm.Delta
		var failed error
		for resp, err := range guarded(m.client.Models.GenerateContentStream(wire, m.cfg.Model, contents(r), m.settings(r))) {
			if err == nil && resp == nil {
				err = errShape
			}
			if err != nil {
				failed = err
				break
			}
			text := note(&last, resp)
			if last.Finish != "" {
				call.Whole()
			}
			if text != "" && !call.Deliver(func() bool { return yield(llm.Delta{Text: text}, nil) }) {
				return
			}
		}
		failure := m.failure(call, failed)
		if failure != nil && (ctx.Err() != nil || last.Finish == "") {
			yield(llm.Delta{}, failure)
			return
		}
		// What fails after the answer is complete costs nothing any more.
		if last.Finish == "" {
			last.Finish = llm.Truncated
		}
		yield(last, nil)
	}
}

// errShape says that an event was JSON, but not what the SDK takes for granted.
var errShape = errors.New("gemini sent an event of an unknown shape")

// guarded turns a panic of the SDK, which asserts the types in an event
// unchecked (seen in 1.77 with "candidates" as a string), into an error. A
// panic of the loop's body passes through.
func guarded(events iter.Seq2[*genai.GenerateContentResponse, error]) iter.Seq2[*genai.GenerateContentResponse, error] {
	return func(yield func(*genai.GenerateContentResponse, error) bool) {
		inBody := false
		broken := func() (broken bool) {
			defer func() {
				if !inBody {
					broken = recover() != nil
				}
			}()
			for resp, err := range events {
				inBody = true
				more := yield(resp, err)
				inBody = false
				if !more {
					return false
				}
			}
			return false
		}()
		if broken {
			yield(nil, errShape)
		}
	}
}

// note adds what an event tells to the last delta and returns the event's text.
func note(last *llm.Delta, resp *genai.GenerateContentResponse) string {
	if u := resp.UsageMetadata; u != nil {
		last.Usage.PromptTokens = max(last.Usage.PromptTokens, int(u.PromptTokenCount+u.ToolUsePromptTokenCount))
		// Thinking is billed as output.
		last.Usage.CompletionTokens = max(last.Usage.CompletionTokens, int(u.CandidatesTokenCount+u.ThoughtsTokenCount))
	}
	if f := resp.PromptFeedback; f != nil && f.BlockReason != "" && f.BlockReason != genai.BlockedReasonUnspecified {
		last.Finish = llm.Filtered
	}
	if len(resp.Candidates) == 0 || resp.Candidates[0] == nil {
		return ""
	}
	c := resp.Candidates[0]
	if f := finish(c.FinishReason); f != "" {
		last.Finish = f
	}
	if c.Content == nil {
		return ""
	}
	var text strings.Builder
	for _, p := range c.Content.Parts {
		if p != nil && !p.Thought {
			text.WriteString(p.Text)
		}
	}
	return text.String()
}

// finish reads Gemini's finish reason; "" when the event has none.
func finish(reason genai.FinishReason) llm.Finish {
	// What is not named here ended the answer early for reasons of no use to the asker
	switch reason {
	case "", genai.FinishReasonUnspecified:
		return ""
	case genai.FinishReasonStop:
		return llm.Stopped
	case genai.FinishReasonSafety, genai.FinishReasonRecitation, genai.FinishReasonProhibitedContent, genai.FinishReasonSPII,
		genai.FinishReasonBlocklist, genai.FinishReasonLanguage, genai.FinishReasonImageSafety, genai.FinishReasonImageProhibitedContent,
		genai.FinishReasonImageRecitation:
		return llm.Filtered
	default:
		return llm.Truncated
	}
}
