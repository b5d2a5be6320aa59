package remote

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

// Defaults of [Settings].
const (
	DefaultConcurrency = 8
	DefaultTimeout     = 60 * time.Second
)

// What is assumed of a model that is not in the catalog, most likely a local
// one: small enough for nearly all, and a server that takes less says so and
// is sent less.
const (
	assumedTextTokens = 2048
	assumedBatchTexts = 32
	// assumedBatchTokens also keeps the request's body, a few bytes a token, small.
	assumedBatchTokens = 250_000
)

// Settings are what the configurations of all adapters share.
type Settings struct {
	Provider modelcatalog.Provider
	// Label names the provider for people.
	Label string

	APIKey, Model, BaseURL             string
	Dimensions, TextTokens, BatchTexts int
	Concurrency                        int
	Timeout                            time.Duration
}

// WithDefaults returns the settings with every unset field at its default,
// from the catalog of models as far as it knows the model.
func (s Settings) WithDefaults(baseURL string) Settings {
	set(&s.Model, modelcatalog.DefaultEmbedding(s.Provider))
	set(&s.BaseURL, baseURL)
	known, _ := modelcatalog.Embedding(s.Provider, s.Model)
	set(&s.Dimensions, known.DefaultDimensions)
	set(&s.TextTokens, known.InputTokens)
	set(&s.TextTokens, assumedTextTokens)
	set(&s.BatchTexts, known.BatchTexts)
	set(&s.BatchTexts, assumedBatchTexts)
	set(&s.Concurrency, DefaultConcurrency)
	set(&s.Timeout, DefaultTimeout)
	return s
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate returns everything that is wrong with the settings, joined. It
// repeats neither the key nor the URL.
func (s Settings) Validate() error {
	var errs []error
	if strings.ContainsFunc(s.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		errs = append(errs, fmt.Errorf("the %s API key holds characters that no key has", s.Label))
	}
	if !plainURL(s.BaseURL) {
		errs = append(errs, fmt.Errorf("the %s base URL is not a plain http or https URL without credentials", s.Label))
	}
	if s.Model == "" || strings.ContainsFunc(s.Model, func(r rune) bool { return r <= ' ' || r == '?' || r == '#' }) {
		errs = append(errs, fmt.Errorf("%q is no name of a model", s.Model))
	}
	known, ok := modelcatalog.Embedding(s.Provider, s.Model)
	switch {
	case s.Dimensions <= 0:
		errs = append(errs, fmt.Errorf("how many dimensions the vectors of the embedding model %s have is not known here; configure them", s.Model))
	case ok && !known.Allows(s.Dimensions):
		errs = append(errs, fmt.Errorf("the embedding model %s has no vectors of %d dimensions; %s", s.Model, s.Dimensions, choice(known)))
	}
	if s.TextTokens < 0 || s.BatchTexts < 0 || s.Concurrency < 0 || s.Timeout < 0 {
		errs = append(errs, fmt.Errorf("tokens a text (%d), texts a request (%d), concurrent requests (%d) and timeout (%s) must not be negative",
			s.TextTokens, s.BatchTexts, s.Concurrency, s.Timeout))
	}
	return errors.Join(errs...)
}

func choice(m modelcatalog.EmbeddingModel) string {
	if m.Dimensions == nil {
		return fmt.Sprintf("choose from %d to %d", m.MinDimensions, m.MaxDimensions)
	}
	return fmt.Sprintf("choose of %v", m.Dimensions)
}

// AsksDimensions reports whether requests should name the number of
// dimensions: the model is known to have a choice.
func (s Settings) AsksDimensions() bool {
	known, ok := modelcatalog.Embedding(s.Provider, s.Model)
	return ok && (known.Dimensions == nil || len(known.Dimensions) > 1)
}

// Limits returns the limits that follow from the settings.
func (s Settings) Limits() Limits {
	known, _ := modelcatalog.Embedding(s.Provider, s.Model)
	set(&known.BatchTokens, assumedBatchTokens)
	return Limits{
		Dimensions: s.Dimensions, BatchTexts: s.BatchTexts, BatchTokens: max(known.BatchTokens, s.TextTokens),
		TextTokens: s.TextTokens, Concurrency: s.Concurrency, Timeout: s.Timeout,
	}
}

// Profile returns the profile of the settings' model.
func (s Settings) Profile(prefix string) embed.Profile {
	known, _ := modelcatalog.Embedding(s.Provider, s.Model)
	// Without measurements of its own a model is fused half and half; one
	// trained on English alone counts less elsewhere, as measured with the built-in one.
	fusion := embed.Fusion{Method: embed.MinMax, DenseWeight: 0.5, ForeignDenseWeight: 0.5}
	if !known.Multilingual {
		fusion.ForeignDenseWeight = 0.2
	}
	return embed.Profile{Provider: string(s.Provider), Model: s.Model, Dimensions: s.Dimensions, Prefix: prefix, Fusion: fusion}
}
