package server

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/llm/genaillm"
	"github.com/ragbus/ragbus/pkg/telemetry"
	"github.com/ragbus/ragbus/services/gateway"
	"github.com/ragbus/ragbus/services/generator"
	"github.com/ragbus/ragbus/services/ingestor"
	"github.com/ragbus/ragbus/services/retriever"
)

// The ways to write answers.
const (
	llmExtractive = "extractive"
	llmGemini     = "gemini"
)

// Config is every setting of `ragbus serve`.
type Config struct {
	// DataDir holds everything that the embedded parts keep. One process at a time uses it.
	DataDir string `env:"RAGBUS_DATA_DIR" envDefault:"./data"`
	// NATSListen opens the embedded broker on a TCP address, for pipelines that publish events directly.
	NATSListen string `env:"RAGBUS_NATS_LISTEN"`
	// SyncAlways makes every message of the embedded broker survive a power cut, at a tenth of its speed.
	SyncAlways bool `env:"RAGBUS_NATS_SYNC_ALWAYS"`
	// Embedder makes the vectors. Only "builtin" exists in this version.
	Embedder string `env:"RAGBUS_EMBEDDER" envDefault:"builtin"`
	// LLM writes the answers: extractive or gemini. Empty: gemini when its key is set, else extractive.
	LLM string `env:"RAGBUS_LLM"`
	// LLMModel is the model's name; empty: the provider's current default.
	LLMModel string `env:"RAGBUS_LLM_MODEL"`
	// GeminiKey is the key of the Gemini API.
	GeminiKey config.Secret `env:"GEMINI_API_KEY,GOOGLE_API_KEY"`
	// GeminiBaseURL replaces the API's address, for proxies.
	GeminiBaseURL string `env:"RAGBUS_GEMINI_BASE_URL"`

	Broker    broker.Config
	Topology  broker.TopologyConfig
	Telemetry telemetry.Config
	Gateway   gateway.Config
	Retriever retriever.Config
	Generator generator.Config
	Ingestor  ingestor.Config
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	var problems []error
	if c.Embedder != "builtin" {
		problems = append(problems, fmt.Errorf("RAGBUS_EMBEDDER: %q is not available in this version; only builtin is", c.Embedder))
	}
	switch c.llm() {
	case llmExtractive:
		if c.LLMModel != "" {
			problems = append(problems, errors.New("RAGBUS_LLM_MODEL: the extractive writer has no models; set RAGBUS_LLM=gemini and GEMINI_API_KEY"))
		}
	case llmGemini:
		if c.GeminiKey == "" {
			problems = append(problems, errors.New("GEMINI_API_KEY: missing, RAGBUS_LLM=gemini needs it"))
			break
		}
		if err := c.gemini().WithDefaults().Validate(); err != nil {
			problems = append(problems, fmt.Errorf("RAGBUS_LLM=gemini: %w", err))
		}
	default:
		problems = append(problems, fmt.Errorf("RAGBUS_LLM: %q is not available in this version; use extractive or gemini", c.LLM))
	}
	if strings.TrimSpace(c.DataDir) == "" {
		problems = append(problems, errors.New("RAGBUS_DATA_DIR: empty"))
	}
	if c.Broker.URL != "" && c.NATSListen != "" {
		problems = append(problems, errors.New("RAGBUS_NATS_LISTEN: there is no embedded broker to open when RAGBUS_NATS_URL is set"))
	}
	return errors.Join(problems...)
}

// llm returns the way answers are written.
func (c Config) llm() string {
	switch {
	case c.LLM != "":
		return c.LLM
	case c.GeminiKey != "":
		return llmGemini
	}
	return llmExtractive
}

func (c Config) gemini() genaillm.Config {
	return genaillm.Config{APIKey: c.GeminiKey.Reveal(), Model: c.LLMModel, BaseURL: c.GeminiBaseURL}
}

// Settings returns the effective settings for people, with the problems that
// keep a server from starting on them.
func Settings(vars config.Vars) ([]config.Setting, error) {
	_, err := config.Load[Config](vars)
	return config.Describe[Config](vars), err
}
