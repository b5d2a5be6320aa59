// Package embedder opens the model that makes vectors.
package embedder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/coalesced"
	"github.com/ragbus/ragbus/pkg/embed/cohereembed"
	"github.com/ragbus/ragbus/pkg/embed/genaiembed"
	"github.com/ragbus/ragbus/pkg/embed/minilm"
	"github.com/ragbus/ragbus/pkg/embed/openaiembed"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/outbound"
)

// The choices of [Config].
const (
	Builtin = "builtin"
	Gemini  = "gemini"
	OpenAI  = "openai"
	Cohere  = "cohere"
)

// Config names the model that makes vectors.
type Config struct {
	// Embedder is builtin, gemini, openai or cohere. Another one, or another
	// model, is another index: run `ragbus reindex` afterwards.
	Embedder string `env:"RAGBUS_EMBEDDER" envDefault:"builtin"`
	// Model is the model's name; empty: the provider's current default.
	Model string `env:"RAGBUS_EMBEDDER_MODEL"`
	// Dimensions of the vectors; 0: the model's default.
	Dimensions int `env:"RAGBUS_EMBEDDER_DIMENSIONS" envZero:"the model's default"`
	// BaseURL is the API's address when it is not that of the model that writes.
	BaseURL config.URL `env:"RAGBUS_EMBEDDER_BASE_URL"`
	// The provider's limits for the key, shared by all replicas; 0 is none.
	RequestsPerMinute int `env:"RAGBUS_EMBEDDER_RPM" envZero:"no limit"`
	TokensPerMinute   int `env:"RAGBUS_EMBEDDER_TPM" envZero:"no limit"`
	// Concurrency is how many requests of one process are under way at most.
	Concurrency int `env:"RAGBUS_EMBEDDER_CONCURRENCY" envDefault:"8"`
}

// Effective returns c with what counts where it says nothing. The built-in
// model has neither a name nor dimensions to choose.
func (c Config) Effective(k backing.Keys) Config {
	switch c.Embedder {
	case Gemini:
		made := c.gemini(k).WithDefaults()
		c.Model, c.Dimensions = made.Model, made.Dimensions
	case OpenAI:
		made := c.openai(k).WithDefaults()
		c.Model, c.Dimensions = made.Model, made.Dimensions
	case Cohere:
		made := c.cohere(k).WithDefaults()
		c.Model, c.Dimensions = made.Model, made.Dimensions
	}
	return c
}

// Check returns what keeps these settings from working, by variable.
func (c Config) Check(k backing.Keys) error {
	missing := func(key string) error {
		return fmt.Errorf("%s: missing, RAGBUS_EMBEDDER=%s needs it", key, c.Embedder)
	}
	if c.RequestsPerMinute < 0 || c.TokensPerMinute < 0 || c.Concurrency < 1 || c.Concurrency > 1024 {
		return errors.New("RAGBUS_EMBEDDER_RPM, _TPM, _CONCURRENCY: use 0 or more, 0 or more, and 1 to 1024")
	}
	var err error
	switch c.Embedder {
	case Builtin:
		if c.Model != "" || c.Dimensions != 0 {
			return errors.New("RAGBUS_EMBEDDER_MODEL, RAGBUS_EMBEDDER_DIMENSIONS: the built-in embedder has one model of 384 dimensions; leave them out")
		}
	case Gemini:
		if k.Gemini == "" {
			return missing("GEMINI_API_KEY")
		}
		err = c.gemini(k).WithDefaults().Validate()
	case OpenAI:
		if k.OpenAI == "" && k.OpenAIBaseURL == "" && c.BaseURL == "" {
			return missing("OPENAI_API_KEY")
		}
		err = c.openai(k).WithDefaults().Validate()
	case Cohere:
		if k.Cohere == "" {
			return missing("COHERE_API_KEY")
		}
		err = c.cohere(k).WithDefaults().Validate()
	default:
		return fmt.Errorf("RAGBUS_EMBEDDER: %q is not known; use %s, %s, %s or %s", c.Embedder, Builtin, Gemini, OpenAI, Cohere)
	}
	if err != nil {
		return fmt.Errorf("RAGBUS_EMBEDDER=%s: %s", c.Embedder, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}

// Open returns the embedder. Its provider is asked whether the key is valid,
// and nothing else: see [backing.Host.CheckCredential].
func Open(ctx context.Context, h backing.Host, c Config, k backing.Keys) (embed.Embedder, error) {
	if err := c.Check(k); err != nil {
		return nil, err
	}
	e, key, err := c.open(ctx, h, k)
	if err != nil {
		return nil, fmt.Errorf("set up the embedder %s: %w", c.Embedder, err)
	}
	if c.Embedder == Builtin {
		h.OnHealth(backing.Well("embedder"))
		return e, nil
	}
	if err := h.CheckCredential(ctx, key); err != nil {
		return nil, err
	}
	profile := e.Profile()
	endpoint, err := h.Guard("embedder", profile.Provider, profile.Model, key.Key.Reveal(), backing.Limits{
		RequestsPerMinute: c.RequestsPerMinute, TokensPerMinute: c.TokensPerMinute, Concurrency: 2 * c.Concurrency,
	})
	if err != nil {
		return nil, err
	}
	h.OnHealth(lifecycle.Check{Name: "embedder", Probe: endpoint.Probe, Note: endpoint.Note})
	return coalesced.New(outbound.Embedder(e, endpoint), c.Concurrency), nil
}

func (c Config) open(ctx context.Context, h backing.Host, k backing.Keys) (e embed.Embedder, key backing.Credential, err error) {
	switch c.Embedder {
	case Gemini:
		cfg := c.gemini(k).WithDefaults()
		e, err = genaiembed.New(ctx, cfg)
		return e, backing.GeminiCredential(k.Gemini, cfg.BaseURL), err
	case OpenAI:
		cfg := c.openai(k).WithDefaults()
		e, err = openaiembed.New(cfg)
		return e, backing.OpenAICredential(k.OpenAI, cfg.BaseURL), err
	case Cohere:
		cfg := c.cohere(k).WithDefaults()
		e, err = cohereembed.New(cfg)
		return e, backing.CohereCredential(k.Cohere, cfg.BaseURL), err
	}
	local, err := minilm.New(minilm.Config{})
	if err != nil {
		return nil, key, err
	}
	h.OnClose(func(context.Context) error { return local.Close() })
	return local, key, nil
}

func (c Config) gemini(k backing.Keys) genaiembed.Config {
	return genaiembed.Config{APIKey: k.Gemini.Reveal(), Model: c.Model, Dimensions: c.Dimensions, BaseURL: cmp.Or(c.BaseURL, k.GeminiBaseURL).Reveal(), Concurrency: c.Concurrency}
}

func (c Config) openai(k backing.Keys) openaiembed.Config {
	return openaiembed.Config{APIKey: k.OpenAI.Reveal(), Model: c.Model, Dimensions: c.Dimensions, BaseURL: cmp.Or(c.BaseURL, k.OpenAIBaseURL).Reveal(), Concurrency: c.Concurrency}
}

func (c Config) cohere(k backing.Keys) cohereembed.Config {
	return cohereembed.Config{APIKey: k.Cohere.Reveal(), Model: c.Model, Dimensions: c.Dimensions, BaseURL: cmp.Or(c.BaseURL, k.CohereBaseURL).Reveal(), Concurrency: c.Concurrency}
}
