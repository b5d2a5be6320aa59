// Package openaiembed is the embed.Embedder of OpenAI and of every server
// that speaks its format, such as Ollama, vLLM, llama.cpp, LM Studio and
// text-embeddings-inference: texts go to /embeddings and unit vectors come
// back. It calls once and never retries; whoever calls decides by the error's
// class.
//
// It is plain HTTP: the one route is smaller than its use through OpenAI's SDK
// (github.com/openai/openai-go), whose root package costs 20 MB in every
// program, of 90 for the whole of Ragbus, called or not: at its start it
// registers the types of every API that OpenAI has.
package openaiembed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/internal/remote"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

// DefaultBaseURL is OpenAI's own.
const DefaultBaseURL = "https://api.openai.com/v1/"

// Config is what New needs. For OpenAI itself only APIKey has no default; for
// another server, BaseURL, Model and Dimensions are needed and most want no key.
type Config struct {
	// APIKey is sent as a header and appears in no error.
	APIKey string
	// Model is a name as the API knows it. Default: the catalog's.
	Model string
	// Dimensions of the vectors. Default: the catalog's for the model. For a
	// model that the catalog does not know it must be the model's own number,
	// which is then expected and not asked for.
	Dimensions int
	// BaseURL is the API's root, "/v1" included.
	BaseURL string
	// TextTokens bounds one text; longer ones are cut. Default: the
	// catalog's, else 2,048.
	TextTokens int
	// BatchTexts bounds the texts of a request. Default: the catalog's, else 32.
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
		Provider: modelcatalog.OpenAI, Label: "OpenAI", APIKey: c.APIKey, Model: c.Model, BaseURL: c.BaseURL, Dimensions: c.Dimensions,
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
	if s.APIKey == "" && s.BaseURL == DefaultBaseURL {
		err = errors.Join(err, errors.New("the OpenAI API key is missing"))
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
	route, err := join(s.BaseURL, "embeddings")
	if err != nil {
		return nil, err
	}
	e := &Embedder{settings: s, client: remote.Client(cfg.Transport, 2*s.Concurrency), url: route}
	e.batcher = remote.New(s.Limits(), e.call)
	return e, nil
}

// Profile implements [embed.Embedder].
func (e *Embedder) Profile() embed.Profile { return e.settings.Profile("") }

// Embed implements [embed.Embedder].
func (e *Embedder) Embed(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	return e.batcher.Embed(ctx, purpose, texts)
}

// Requests implements [embed.Counter].
func (e *Embedder) Requests(texts []string) int { return e.batcher.Requests(texts) }

// request and answer are the API's, as far as it is used
// (platform.openai.com/docs/api-reference/embeddings).
type request struct {
	Input []string `json:"input"`
	Model string   `json:"model"`
	// Dimensions is for models that have a choice; others refuse it.
	Dimensions     int    `json:"dimensions,omitempty"`
	EncodingFormat string `json:"encoding_format"`
}

type answer struct {
	Data []struct {
		Embedding remote.Values `json:"embedding"`
		Index     int           `json:"index"`
	} `json:"data"`
}

func (e *Embedder) call(ctx context.Context, _ embed.Purpose, texts []string) ([][]float32, error) {
	// Servers that do not know base64 send numbers, which are read as well.
	in := request{Input: texts, Model: e.settings.Model, EncodingFormat: "base64"}
	if e.settings.AsksDimensions() {
		in.Dimensions = e.settings.Dimensions
	}
	body, err := e.post(ctx, in)
	if err != nil {
		return nil, err
	}
	var got answer
	if err := json.Unmarshal(body, &got); err != nil {
		return nil, remote.Unreachable("openai", err)
	}
	if len(got.Data) != len(texts) {
		return nil, remote.Broken("openai: %d vectors for %d texts", len(got.Data), len(texts))
	}
	vectors := make([][]float32, len(texts))
	for _, d := range got.Data {
		if d.Index < 0 || d.Index >= len(vectors) || vectors[d.Index] != nil {
			return nil, remote.Broken("openai: the vector of text %d is there twice or belongs to no text", d.Index)
		}
		vectors[d.Index] = d.Embedding
	}
	return vectors, nil
}

// post returns the body of a good answer. Its errors are classified.
func (e *Embedder) post(ctx context.Context, in request) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // markup would be a third longer
	if err := encoder.Encode(in); err != nil {
		return nil, fmt.Errorf("encode a request to openai: %w", err)
	}
	ctx, seen := remote.Watch(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(out.Bytes()))
	if err != nil {
		return nil, remote.Unreachable("openai", err)
	}
	if e.settings.APIKey != "" {
		r.Header.Set("Authorization", "Bearer "+e.settings.APIKey)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "ragbus")
	resp, err := e.client.Do(r)
	if err != nil {
		return nil, remote.Unreachable("openai", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, remote.Unreachable("openai", err)
	case resp.StatusCode >= http.StatusBadRequest:
		return nil, problem(resp.StatusCode, seen.Pause(), body, e.settings.APIKey).Fault()
	case resp.StatusCode != http.StatusOK:
		// Nothing that such an answer says is an explanation.
		return nil, remote.Problem{Provider: "openai", Status: resp.StatusCode, Pause: seen.Pause()}.Fault()
	}
	return body, nil
}

// join returns a route below the base URL, which may end in a slash. Its error
// does not quote the URL, which may hold a secret.
func join(base, route string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", errors.New("the OpenAI base URL is no URL")
	}
	if !strings.HasSuffix(u.EscapedPath(), "/") {
		// Not JoinPath, which takes out slashes that are doubled.
		u.Path += "/"
		if u.RawPath != "" {
			u.RawPath += "/"
		}
	}
	return u.ResolveReference(&url.URL{Path: route}).String(), nil
}

// problem reads an error as OpenAI and its kin write it: the object under
// "error", at the top, or a mere text.
func problem(status int, pause time.Duration, body []byte, secret string) remote.Problem {
	p := remote.Problem{Provider: "openai", Status: status, Pause: pause, Secret: secret, Message: string(body)}
	type object struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		// Code is a text at OpenAI, and a number elsewhere.
		Code json.RawMessage `json:"code"`
	}
	var top struct {
		object

		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &top) == nil {
		found := top.object
		if json.Unmarshal(top.Error, &found) != nil && len(top.Error) > 0 {
			_ = json.Unmarshal(top.Error, &found.Message)
		}
		p.Message, p.Name = found.Message, strings.Trim(strings.TrimSpace(found.Type+" "+strings.Trim(string(found.Code), `"`)), " ")
	}
	message := strings.ToLower(p.Message)
	p.NoCredit = strings.Contains(p.Name, "insufficient_quota")
	p.TooLong = tooLong(status, p.Name, message)
	p.WrongKey = strings.Contains(p.Name, "invalid_api_key")
	return p
}

// tooLong knows how OpenAI, llama.cpp, vLLM and text-embeddings-inference say
// that a request holds too much.
func tooLong(status int, name, message string) bool {
	if status == http.StatusRequestEntityTooLarge || strings.Contains(name, "max_tokens_per_request") ||
		strings.Contains(name, "context_length_exceeded") || strings.Contains(name, "exceed_context_size") {
		return true
	}
	for _, words := range []string{
		"maximum context length", "tokens per request", "too many tokens", "input is too large to process", "exceeds the available context size",
		"must have less than", "maximum allowed batch size", "longer than the maximum model length", "exceeds maximum input length",
		"input length exceeds",
	} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}
