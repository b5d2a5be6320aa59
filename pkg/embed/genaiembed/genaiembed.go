// Package genaiembed is the embed.Embedder of Gemini, through Google's SDK:
// texts go to the Gemini API, one content each, and unit vectors come back. It
// calls once and never retries; whoever calls decides by the error's class.
package genaiembed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/genai"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/internal/remote"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

// DefaultBaseURL is Google's own.
const DefaultBaseURL = "https://generativelanguage.googleapis.com/"

// Config is what New needs. Only APIKey has no default.
type Config struct {
	// APIKey is sent as a header and appears in no error.
	APIKey string
	// Model is a name as the API knows it, without "models/". Default: the catalog's.
	Model string
	// Dimensions of the vectors. Default: the catalog's for the model.
	Dimensions int
	// BaseURL is the API's root, for proxies and emulators.
	BaseURL string
	// TextTokens bounds one text; longer ones are cut. Default: the catalog's.
	TextTokens int
	// BatchTexts bounds the texts of a request. Default: the catalog's.
	BatchTexts int
	// Concurrency is how many requests for passages, and as many for queries,
	// are under way at most. Default 8.
	Concurrency int
	// Timeout bounds one request. Default 60 s.
	Timeout time.Duration
	// Transport carries the calls; nil is a copy of http.DefaultTransport.
	Transport http.RoundTripper
}

func (c Config) settings() remote.Settings {
	return remote.Settings{
		Provider: modelcatalog.Gemini, Label: "Gemini", APIKey: c.APIKey, Model: c.Model, BaseURL: c.BaseURL, Dimensions: c.Dimensions,
		TextTokens: c.TextTokens, BatchTexts: c.BatchTexts, Concurrency: c.Concurrency, Timeout: c.Timeout,
	}.WithDefaults(DefaultBaseURL)
}

// WithDefaults returns the configuration with every unset field at its default.
func (c Config) WithDefaults() Config {
	s := c.settings()
	c.Model, c.BaseURL, c.Dimensions = s.Model, s.BaseURL, s.Dimensions
	c.TextTokens, c.BatchTexts, c.Concurrency, c.Timeout = s.TextTokens, s.BatchTexts, s.Concurrency, s.Timeout
	return c
}

// Validate returns everything that is wrong with the configuration, joined.
func (c Config) Validate() error {
	s := c.settings()
	err := s.Validate()
	if s.APIKey == "" {
		err = errors.Join(err, errors.New("the Gemini API key is missing"))
	}
	if strings.Contains(s.Model, "/") {
		err = errors.Join(err, fmt.Errorf("the model name %q holds a slash; give it without \"models/\"", s.Model))
	}
	return err
}

// Embedder implements [embed.Embedder]. Make one with [New].
type Embedder struct {
	batcher  *remote.Batcher
	settings remote.Settings
	client   *genai.Client
}

var (
	_ embed.Embedder = (*Embedder)(nil)
	_ embed.Counter  = (*Embedder)(nil)
)

// New returns an embedder without calling anybody. Every problem of the
// configuration is reported at once.
func New(ctx context.Context, cfg Config) (*Embedder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := cfg.settings()
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		APIKey: s.APIKey, Backend: genai.BackendGeminiAPI, HTTPClient: remote.Client(cfg.Transport, 2*s.Concurrency),
		// No RetryOptions: the caller retries.
		HTTPOptions: genai.HTTPOptions{BaseURL: s.BaseURL},
	})
	if err != nil {
		return nil, fmt.Errorf("set up gemini: %w", err)
	}
	e := &Embedder{settings: s, client: client}
	e.batcher = remote.New(s.Limits(), e.call)
	return e, nil
}

// The schemes in the names of profiles.
const (
	schemeTasks  = "retrieval-task"
	schemePrefix = "search-prefix"
)

// Profile implements [embed.Embedder].
func (e *Embedder) Profile() embed.Profile {
	if takesTasks(e.settings.Model) {
		return e.settings.Profile(schemeTasks)
	}
	return e.settings.Profile(schemePrefix)
}

// Embed implements [embed.Embedder].
func (e *Embedder) Embed(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	return e.batcher.Embed(ctx, purpose, texts)
}

// Requests implements [embed.Counter]. Gemini counts each text of a batch as
// a request against its limit a minute (seen by others: a batch of 100 uses
// up a limit of 100).
func (e *Embedder) Requests(texts []string) int { return len(texts) }

// takesTasks reports whether a model is of the generation that is told by a
// task type what a text is for. Later ones are told in the text, and ignore
// or refuse the task type (ai.google.dev/gemini-api/docs/embeddings).
func takesTasks(model string) bool {
	return strings.HasPrefix(model, "gemini-embedding-0") || strings.HasPrefix(model, "text-embedding-") || strings.HasPrefix(model, "embedding-0")
}

// instruct puts before a text what the later generation wants to read there.
func instruct(purpose embed.Purpose, text string) string {
	if purpose == embed.Query {
		return "task: search result | query: " + text
	}
	return "title: none | text: " + text
}

func (e *Embedder) call(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	dimensions := int32(e.settings.Dimensions)
	settings := &genai.EmbedContentConfig{OutputDimensionality: &dimensions}
	tasks := takesTasks(e.settings.Model)
	if tasks {
		settings.TaskType = "RETRIEVAL_DOCUMENT"
		if purpose == embed.Query {
			settings.TaskType = "RETRIEVAL_QUERY"
		}
	}
	// One content a text: a single content of many parts would become one vector.
	contents := make([]*genai.Content, len(texts))
	for i, text := range texts {
		if !tasks {
			text = instruct(purpose, text)
		}
		contents[i] = &genai.Content{Parts: []*genai.Part{{Text: text}}}
	}
	ctx, seen := remote.Watch(ctx)
	resp, err := e.ask(ctx, contents, settings)
	if err != nil {
		return nil, e.classify(err, seen)
	}
	vectors := make([][]float32, 0, len(resp.Embeddings))
	for _, v := range resp.Embeddings {
		if v == nil {
			return nil, remote.Broken("gemini: an embedding is null")
		}
		vectors = append(vectors, v.Values)
	}
	return vectors, nil
}

// errShape says that an answer was JSON, but not what the SDK takes for granted.
var errShape = errors.New("gemini sent an answer of an unknown shape")

// ask turns a panic of the SDK, which asserts the types in an answer
// unchecked, into an error.
func (e *Embedder) ask(ctx context.Context, contents []*genai.Content, settings *genai.EmbedContentConfig) (resp *genai.EmbedContentResponse, err error) {
	defer func() {
		if recover() != nil {
			resp, err = nil, errShape
		}
	}()
	resp, err = e.client.Models.EmbedContent(ctx, e.settings.Model, contents, settings)
	if err == nil && resp == nil {
		err = errShape
	}
	return resp, err //nolint:wrapcheck // classified by the caller
}

func (e *Embedder) classify(err error, seen *remote.Exchange) error {
	var api genai.APIError
	if !errors.As(err, &api) {
		if status := seen.Status(); status >= http.StatusMultipleChoices {
			return remote.Problem{Provider: "gemini", Status: status, Pause: seen.Pause()}.Fault()
		}
		return remote.Unreachable("gemini", err)
	}
	message := strings.ToLower(api.Message)
	return remote.Problem{
		Provider: "gemini", Status: seen.Status(), Pause: max(seen.Pause(), retryInfo(api)), Secret: e.settings.APIKey,
		Name: api.Status, Message: api.Message,
		TooLong:  strings.Contains(message, "token count") || strings.Contains(message, "number of tokens") || strings.Contains(message, "payload size exceeds"),
		WrongKey: reason(api) == "API_KEY_INVALID" || strings.Contains(message, "api key"),
	}.Fault()
}

// retryInfo returns the delay of a google.rpc.RetryInfo detail, else zero.
func retryInfo(e genai.APIError) time.Duration {
	for _, d := range e.Details {
		kind, _ := d["@type"].(string)
		delay, _ := d["retryDelay"].(string)
		if !strings.HasSuffix(kind, "google.rpc.RetryInfo") {
			continue
		}
		if pause, err := time.ParseDuration(delay); err == nil && pause > 0 {
			return pause
		}
	}
	return 0
}

// reason returns the reason of a google.rpc.ErrorInfo detail, else "".
func reason(e genai.APIError) string {
	for _, d := range e.Details {
		if text, ok := d["reason"].(string); ok {
			return text
		}
	}
	return ""
}
