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
	"net/url"
	"strings"
	"time"

	"google.golang.org/genai"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
)

// DefaultModel is the model used when none is configured. This is the one place that names it.
const DefaultModel = "gemini-3.5-flash"

// Defaults of [Config].
const (
	DefaultBaseURL       = "https://generativelanguage.googleapis.com/"
	DefaultContextTokens = 1 << 20
	DefaultMaxTokens     = 4096
	DefaultSilence       = 60 * time.Second
)

// DefaultTemperature keeps answers close to their sources.
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
	// MaxTokens bounds an answer whose request does not say; thinking counts.
	MaxTokens int
	// Silence is how long the service may send nothing, the first token
	// included, before the call is given up as Transient.
	Silence time.Duration
	// Transport carries the calls; nil is a copy of http.DefaultTransport.
	Transport http.RoundTripper
}

// WithDefaults returns the configuration with every unset field at its default.
func (c Config) WithDefaults() Config {
	set(&c.Model, DefaultModel)
	set(&c.BaseURL, DefaultBaseURL)
	set(&c.ContextTokens, DefaultContextTokens)
	set(&c.MaxTokens, DefaultMaxTokens)
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
	if c.APIKey == "" || strings.ContainsAny(c.APIKey, " \r\n\t") {
		errs = append(errs, errors.New("the Gemini API key is empty or holds white space"))
	}
	if u, err := url.Parse(c.BaseURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		errs = append(errs, errors.New("the Gemini base URL is not an http or https URL without credentials"))
	}
	if c.Model == "" || strings.ContainsAny(c.Model, "/?# ") {
		errs = append(errs, fmt.Errorf("the model name %q is not one; give it without \"models/\"", c.Model))
	}
	if c.MaxTokens <= 0 || c.ContextTokens <= c.MaxTokens {
		errs = append(errs, fmt.Errorf("the answer's %d tokens do not fit into the context of %d", c.MaxTokens, c.ContextTokens))
	}
	if c.Silence < 0 {
		errs = append(errs, fmt.Errorf("the longest silence %s is negative", c.Silence))
	}
	return errors.Join(errs...)
}

// Model is Gemini. Make one with [New].
type Model struct {
	client *genai.Client
	cfg    Config
}

var _ llm.Model = (*Model)(nil)

// New returns a model without calling anybody. Every problem of the
// configuration is reported at once.
func New(ctx context.Context, cfg Config) (*Model, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	base := cfg.Transport
	if base == nil {
		base = defaultTransport()
	}
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		APIKey:  cfg.APIKey,
		Backend: genai.BackendGeminiAPI,
		HTTPClient: &http.Client{
			Transport: transport{base},
			// A redirect would carry the key to wherever it points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		// No Timeout: it would cut the stream. No RetryOptions: the caller retries.
		HTTPOptions: genai.HTTPOptions{BaseURL: cfg.BaseURL},
	})
	if err != nil {
		return nil, fmt.Errorf("set up gemini: %w", err)
	}
	return &Model{client: client, cfg: cfg}, nil
}

func defaultTransport() http.RoundTripper {
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		return t.Clone()
	}
	return http.DefaultTransport
}

// Info implements [llm.Model].
func (m *Model) Info() llm.Info {
	return llm.Info{Provider: "gemini", Name: m.cfg.Model, ContextTokens: m.cfg.ContextTokens}
}

// errSilence ends a call in which nothing came for too long.
var errSilence = errors.New("gemini sent nothing for too long")

// Stream implements [llm.Model].
func (m *Model) Stream(ctx context.Context, r llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		call, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		alarm := time.AfterFunc(m.cfg.Silence, func() { cancel(errSilence) })
		defer alarm.Stop()
		w := &wire{}
		call = context.WithValue(call, wireKey{}, w)

		var last llm.Delta
		for resp, err := range guarded(m.client.Models.GenerateContentStream(call, m.cfg.Model, contents(r), m.settings(r))) {
			if err == nil {
				err = problemOf(resp)
			}
			if err != nil {
				yield(llm.Delta{}, m.fail(call, w, err))
				return
			}
			text := note(&last, resp)
			// The caller may take its time; that is no silence of the service.
			alarm.Stop()
			if text != "" && !yield(llm.Delta{Text: text}, nil) {
				return
			}
			alarm.Reset(m.cfg.Silence)
		}
		if err := w.broken(); err != nil || call.Err() != nil {
			yield(llm.Delta{}, m.fail(call, w, err))
			return
		}
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

// fail classifies what ended a call. The end of the caller's context comes
// first: what the SDK makes of it says less.
func (m *Model) fail(ctx context.Context, w *wire, err error) error {
	if why := context.Cause(ctx); errors.Is(why, errSilence) {
		return fault.Transientf("model_unavailable", "the language model stopped answering").WithCause(why)
	} else if why != nil {
		return fault.As(fault.Transient, fmt.Errorf("gemini stream: %w", why))
	}
	if broken := w.broken(); broken != nil && !errors.As(err, new(genai.APIError)) {
		// The SDK saw a complete body and complains about its last, cut event.
		err = broken
	}
	return classify(err, w.retryAfter(), m.cfg.APIKey)
}

// problemOf returns an error for an event that is neither an answer nor a refusal.
func problemOf(resp *genai.GenerateContentResponse) error {
	if resp == nil {
		return errors.New("gemini sent an empty event")
	}
	return nil
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
