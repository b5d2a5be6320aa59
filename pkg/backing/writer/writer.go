// Package writer opens the model that writes answers.
package writer

import (
	"context"
	"errors"
	"fmt"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/anthropicllm"
	"github.com/ragbus/ragbus/pkg/llm/genaillm"
	"github.com/ragbus/ragbus/pkg/llm/openaillm"
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

// Check returns what keeps these settings from working, by variable.
func (c Config) Check(k backing.Keys) error {
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
		return fmt.Errorf("RAGBUS_LLM=%s: %w", choice, err)
	}
	return nil
}

// Open returns the model, or nil for the extractive writer. It calls nobody.
func Open(ctx context.Context, h backing.Host, c Config, k backing.Keys) (llm.Model, error) {
	if err := c.Check(k); err != nil {
		return nil, err
	}
	var m llm.Model
	var err error
	switch c.Choice(k) {
	case Gemini:
		m, err = genaillm.New(ctx, c.gemini(k))
	case OpenAI:
		m, err = openaillm.New(c.openai(k))
	case Anthropic:
		m, err = anthropicllm.New(c.anthropic(k))
	default:
		return nil, nil //nolint:nilnil // no model is a way to answer
	}
	if err != nil {
		return nil, fmt.Errorf("set up the model %s: %w", c.Choice(k), err)
	}
	h.Log.InfoContext(ctx, "answers are written by a model", "provider", m.Info().Provider, "model", m.Info().Name)
	return m, nil
}

func (c Config) gemini(k backing.Keys) genaillm.Config {
	return genaillm.Config{APIKey: k.Gemini.Reveal(), Model: c.Model, BaseURL: k.GeminiBaseURL}
}

func (c Config) openai(k backing.Keys) openaillm.Config {
	return openaillm.Config{APIKey: k.OpenAI.Reveal(), Model: c.Model, BaseURL: k.OpenAIBaseURL}
}

func (c Config) anthropic(k backing.Keys) anthropicllm.Config {
	return anthropicllm.Config{APIKey: k.Anthropic.Reveal(), Model: c.Model, BaseURL: k.AnthropicBaseURL}
}
