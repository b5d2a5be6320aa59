// Package writer opens the model that writes answers.
package writer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/anthropicllm"
	"github.com/ragbus/ragbus/pkg/llm/genaillm"
	"github.com/ragbus/ragbus/pkg/llm/openaillm"
	"github.com/ragbus/ragbus/pkg/outbound"
)

// The choices of [Config].
const (
	Extractive = "extractive"
	Gemini     = "gemini"
	OpenAI     = "openai"
	Anthropic  = "anthropic"
)

// Config names the model that writes answers.
type Config struct {
	// LLM is extractive, gemini, openai or anthropic. Empty: the provider
	// whose key alone is set, else extractive.
	LLM string `env:"RAGBUS_LLM"`
	// Model is the model's name; empty: the provider's current default.
	Model string `env:"RAGBUS_LLM_MODEL"`
	// ContextTokens is how much the model reads and writes at most; 0: what is
	// known of it, and 8,192 for a model that is not known.
	ContextTokens int `env:"RAGBUS_LLM_CONTEXT_TOKENS" envZero:"what is known of the model"`
	// Fallback are the writers asked, in order, when the one before fails
	// before it has said anything, each with its provider's default model;
	// extractive can only be the last.
	Fallback []string `env:"RAGBUS_LLM_FALLBACK"`
	// The provider's limits for the key, shared by all replicas; 0 is none.
	RequestsPerMinute int `env:"RAGBUS_LLM_RPM" envZero:"no limit"`
	TokensPerMinute   int `env:"RAGBUS_LLM_TPM" envZero:"no limit"`
	// Concurrency is how many calls of one process are under way at most.
	Concurrency int `env:"RAGBUS_LLM_CONCURRENCY" envDefault:"256"`
}

// Writer is what answers.
type Writer struct {
	// Model is nil for the extractive writer.
	Model llm.Model
	// Rewriter is the same model for work that comes before the answer; nil without one.
	Rewriter llm.Model
	// Fallback says that the extractive writer answers when the model fails.
	Fallback bool
}

// Choice returns what LLM means with these keys.
func (c Config) Choice(k backing.Keys) string {
	if c.LLM != "" {
		return c.LLM
	}
	var set []string
	for name, key := range map[string]config.Secret{Gemini: k.Gemini, OpenAI: k.OpenAI, Anthropic: k.Anthropic} {
		if key != "" {
			set = append(set, name)
		}
	}
	if len(set) == 1 {
		return set[0]
	}
	return Extractive
}

// Effective returns c with what counts where it says nothing.
func (c Config) Effective(k backing.Keys) Config {
	c.LLM = c.Choice(k)
	switch c.LLM {
	case Gemini:
		made := c.gemini(k).WithDefaults()
		c.Model, c.ContextTokens = made.Model, made.ContextTokens
	case OpenAI:
		made := c.openai(k).WithDefaults()
		c.Model, c.ContextTokens = made.Model, made.ContextTokens
	case Anthropic:
		made := c.anthropic(k).WithDefaults()
		c.Model, c.ContextTokens = made.Model, made.ContextTokens
	}
	return c
}

// Check returns what keeps these settings from working, by variable.
func (c Config) Check(k backing.Keys) error {
	problems := []error{c.check(k)}
	if c.RequestsPerMinute < 0 || c.TokensPerMinute < 0 || c.Concurrency < 1 || c.Concurrency > 1<<14 {
		problems = append(problems, errors.New("RAGBUS_LLM_RPM, _TPM, _CONCURRENCY: use 0 or more, 0 or more, and 1 to 16384"))
	}
	for i, name := range c.Fallback {
		switch {
		case c.Choice(k) == Extractive:
			problems = append(problems, errors.New("RAGBUS_LLM_FALLBACK: the extractive writer does not fail; leave it out"))
		case name == c.Choice(k) || slices.Contains(c.Fallback[:i], name):
			problems = append(problems, fmt.Errorf("RAGBUS_LLM_FALLBACK: %q comes twice", name))
		case name == Extractive && i < len(c.Fallback)-1:
			problems = append(problems, errors.New("RAGBUS_LLM_FALLBACK: nothing comes after extractive, which does not fail"))
		default:
			if err := (Config{LLM: name}).check(k); err != nil {
				problems = append(problems, fmt.Errorf("RAGBUS_LLM_FALLBACK: %w", err))
			}
		}
	}
	return errors.Join(problems...)
}

func (c Config) check(k backing.Keys) error {
	choice := c.Choice(k)
	var err error
	switch choice {
	case Extractive:
		if c.Model != "" {
			return errors.New("RAGBUS_LLM_MODEL: the extractive writer has no models; set RAGBUS_LLM and a key, or leave it out")
		}
		return nil
	case Gemini:
		if k.Gemini == "" {
			return errors.New("GEMINI_API_KEY: missing, RAGBUS_LLM=gemini needs it")
		}
		err = c.gemini(k).WithDefaults().Validate()
	case OpenAI:
		if k.OpenAI == "" && k.OpenAIBaseURL == "" {
			return errors.New("OPENAI_API_KEY: missing, RAGBUS_LLM=openai needs it (a server of your own needs RAGBUS_OPENAI_BASE_URL instead)")
		}
		err = c.openai(k).WithDefaults().Validate()
	case Anthropic:
		if k.Anthropic == "" {
			return errors.New("ANTHROPIC_API_KEY: missing, RAGBUS_LLM=anthropic needs it")
		}
		err = c.anthropic(k).WithDefaults().Validate()
	default:
		return fmt.Errorf("RAGBUS_LLM: %q is not known; use %s, %s, %s or %s", c.LLM, Extractive, Gemini, OpenAI, Anthropic)
	}
	if err != nil {
		return fmt.Errorf("RAGBUS_LLM=%s: %s", choice, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}

// Open returns what answers. The providers are asked whether their keys are
// valid, and nothing else: see [backing.Host.CheckCredential].
func Open(ctx context.Context, h backing.Host, c Config, k backing.Keys) (Writer, error) {
	if err := c.Check(k); err != nil {
		return Writer{}, err
	}
	if c.Choice(k) == Extractive {
		h.OnHealth(backing.Well("llm"))
		return Writer{}, nil
	}
	var w Writer
	var chain []llm.Model
	for i, name := range append([]string{c.Choice(k)}, c.Fallback...) {
		if name == Extractive {
			w.Fallback = true
			break
		}
		one := Config{LLM: name, RequestsPerMinute: c.RequestsPerMinute, TokensPerMinute: c.TokensPerMinute, Concurrency: c.Concurrency}
		if i == 0 {
			one.Model, one.ContextTokens = c.Model, c.ContextTokens
		}
		// Each model has a breaker of its own, told apart in metrics and logs.
		part := "llm"
		if i > 0 {
			part += "_" + name
		}
		m, endpoint, err := one.open(ctx, h, k, part)
		if err != nil {
			return Writer{}, fmt.Errorf("set up the model %s: %w", name, err)
		}
		if i == 0 {
			w.Rewriter = m
			h.OnHealth(lifecycle.Check{Name: "llm", Probe: endpoint.Probe, Note: endpoint.Note})
		}
		chain = append(chain, m)
	}
	spare := 0
	if w.Fallback {
		spare = 1
	}
	m, err := outbound.NewChain(outbound.ChainConfig{Spare: spare, Metrics: h.Outbound, Log: h.Log}, chain...)
	if err != nil {
		return Writer{}, err
	}
	w.Model = m
	h.Log.InfoContext(ctx, "answers are written by a model", "provider", m.Info().Provider, "model", m.Info().Name)
	return w, nil
}

// open returns one model behind its endpoint.
func (c Config) open(ctx context.Context, h backing.Host, k backing.Keys, part string) (m llm.Model, endpoint *outbound.Endpoint, err error) {
	var key backing.Credential
	switch c.LLM {
	case Gemini:
		cfg := c.gemini(k).WithDefaults()
		key = backing.GeminiCredential(k.Gemini, cfg.BaseURL)
		m, err = genaillm.New(ctx, cfg)
	case OpenAI:
		cfg := c.openai(k).WithDefaults()
		key = backing.OpenAICredential(k.OpenAI, cfg.BaseURL)
		m, err = openaillm.New(cfg)
	default:
		cfg := c.anthropic(k).WithDefaults()
		key = backing.AnthropicCredential(k.Anthropic, cfg.BaseURL)
		m, err = anthropicllm.New(cfg)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := h.CheckCredential(ctx, key); err != nil {
		return nil, nil, err
	}
	info := m.Info()
	endpoint, err = h.Guard(part, info.Provider, info.Name, key.Key.Reveal(), backing.Limits{
		RequestsPerMinute: c.RequestsPerMinute, TokensPerMinute: c.TokensPerMinute, Concurrency: c.Concurrency,
	})
	if err != nil {
		return nil, nil, err
	}
	return outbound.Model(m, endpoint), endpoint, nil
}

func (c Config) gemini(k backing.Keys) genaillm.Config {
	return genaillm.Config{APIKey: k.Gemini.Reveal(), Model: c.Model, BaseURL: k.GeminiBaseURL.Reveal(), ContextTokens: c.ContextTokens}
}

func (c Config) openai(k backing.Keys) openaillm.Config {
	return openaillm.Config{APIKey: k.OpenAI.Reveal(), Model: c.Model, BaseURL: k.OpenAIBaseURL.Reveal(), ContextTokens: c.ContextTokens}
}

func (c Config) anthropic(k backing.Keys) anthropicllm.Config {
	return anthropicllm.Config{APIKey: k.Anthropic.Reveal(), Model: c.Model, BaseURL: k.AnthropicBaseURL.Reveal(), ContextTokens: c.ContextTokens}
}
