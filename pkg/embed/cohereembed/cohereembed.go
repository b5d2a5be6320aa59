// Package cohereembed is the embed.Embedder of Cohere: texts go to its
// /v2/embed with their input type, and unit vectors come back. It calls once
// and never retries; whoever calls decides by the error's class.
//
// It is plain HTTP: the one route is smaller than its use through Cohere's
// SDK, whose newest version is a year behind the API, and which sleeps
// between tries of its own without heeding the context.
package cohereembed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/internal/remote"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

// DefaultBaseURL is Cohere's own.
const DefaultBaseURL = "https://api.cohere.com"

// Config is what New needs. Only APIKey has no default.
type Config struct {
	// APIKey is sent as a header and appears in no error.
	APIKey string
	// Model is a name as the API knows it. Default: the catalog's.
	Model string
	// Dimensions of the vectors. Default: the catalog's for the model.
	Dimensions int
	// BaseURL is the API's root, without "/v2".
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
		Provider: modelcatalog.Cohere, Label: "Cohere", APIKey: c.APIKey, Model: c.Model, BaseURL: c.BaseURL, Dimensions: c.Dimensions,
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
		err = errors.Join(err, errors.New("the Cohere API key is missing"))
	}
	return err
}

// Embedder implements [embed.Embedder]. Make one with [New].
type Embedder struct {
	batcher  *remote.Batcher
	settings remote.Settings
	client   *http.Client
	url      string
}

var (
	_ embed.Embedder = (*Embedder)(nil)
	_ embed.Counter  = (*Embedder)(nil)
)

// New returns an embedder without calling anybody. Every problem of the
// configuration is reported at once.
func New(cfg Config) (*Embedder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := cfg.settings()
	e := &Embedder{
		settings: s, client: remote.Client(cfg.Transport, 2*s.Concurrency),
		url: strings.TrimRight(s.BaseURL, "/") + "/v2/embed",
	}
	e.batcher = remote.New(s.Limits(), e.call)
	return e, nil
}

// Profile implements [embed.Embedder].
func (e *Embedder) Profile() embed.Profile { return e.settings.Profile("input-type") }

// Embed implements [embed.Embedder].
func (e *Embedder) Embed(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	return e.batcher.Embed(ctx, purpose, texts)
}

// Requests implements [embed.Counter].
func (e *Embedder) Requests(texts []string) int { return e.batcher.Requests(texts) }

// request and answer are the API's, as far as we use it (docs.cohere.com/reference/embed).
type request struct {
	Model          string   `json:"model"`
	InputType      string   `json:"input_type"`
	Texts          []string `json:"texts"`
	EmbeddingTypes []string `json:"embedding_types"`
	// OutputDimension is for models that have a choice; others refuse it.
	OutputDimension int `json:"output_dimension,omitempty"`
	// Truncate has the service cut what our estimate of tokens let pass.
	Truncate string `json:"truncate"`
}

type answer struct {
	Embeddings struct {
		Float []remote.Values `json:"float"`
	} `json:"embeddings"`
}

func (e *Embedder) call(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	in := request{Model: e.settings.Model, InputType: "search_document", Texts: texts, EmbeddingTypes: []string{"float"}, Truncate: "END"}
	if purpose == embed.Query {
		in.InputType = "search_query"
	}
	if e.settings.AsksDimensions() {
		in.OutputDimension = e.settings.Dimensions
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode a request to cohere: %w", err)
	}
	ctx, seen := remote.Watch(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return nil, remote.Unreachable("cohere", err)
	}
	r.Header.Set("Authorization", "Bearer "+e.settings.APIKey)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("X-Client-Name", "ragbus")
	resp, err := e.client.Do(r)
	if err != nil {
		return nil, remote.Unreachable("cohere", err)
	}
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, remote.Unreachable("cohere", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, problem(resp.StatusCode, seen.Pause(), read, e.settings.APIKey).Fault()
	}
	var got answer
	if err := json.Unmarshal(read, &got); err != nil {
		return nil, remote.Unreachable("cohere", err)
	}
	vectors := make([][]float32, len(got.Embeddings.Float))
	for i, v := range got.Embeddings.Float {
		vectors[i] = v
	}
	return vectors, nil
}

// problem reads an error of the API, which is an object with a message.
func problem(status int, pause time.Duration, body []byte, secret string) remote.Problem {
	p := remote.Problem{Provider: "cohere", Status: status, Pause: pause, Secret: secret, Message: string(body)}
	var object struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &object) == nil {
		p.Message = object.Message
	}
	message := strings.ToLower(p.Message)
	p.TooLong = strings.Contains(message, "too many tokens") || strings.Contains(message, "total number of tokens")
	p.WrongKey = strings.Contains(message, "invalid api token") || strings.Contains(message, "no api key")
	return p
}
