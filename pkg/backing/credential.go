package backing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/config"
)

// Credential is a key to a model's API, and where it is checked: each
// provider lists its models free of charge, to whoever has a valid key.
type Credential struct {
	// Variable is the setting that the key came with.
	Variable string
	Key      config.Secret
	url      string
	header   http.Header
	// refused reports whether an answer says that the key opens nothing.
	refused func(status int, body string) bool
}

// GeminiCredential is a key to the Gemini API below the base URL.
func GeminiCredential(key config.Secret, baseURL string) Credential {
	return Credential{
		Variable: "GEMINI_API_KEY", Key: key, url: below(baseURL, "v1beta/models?pageSize=1"),
		header: http.Header{"X-Goog-Api-Key": {key.Reveal()}},
		refused: func(status int, body string) bool {
			// A key that is unknown or expired is an invalid argument there.
			return status == http.StatusUnauthorized || status == http.StatusForbidden ||
				status == http.StatusBadRequest && strings.Contains(body, "API_KEY_INVALID")
		},
	}
}

// OpenAICredential is a key to OpenAI's API, or one that is like it, below
// the base URL.
func OpenAICredential(key config.Secret, baseURL string) Credential {
	return Credential{
		Variable: "OPENAI_API_KEY", Key: key, url: below(baseURL, "models"),
		header: http.Header{"Authorization": {"Bearer " + key.Reveal()}},
		refused: func(status int, body string) bool {
			// A restricted key may ask models what it may not list.
			return status == http.StatusUnauthorized && !strings.Contains(body, "Missing scopes")
		},
	}
}

// AnthropicCredential is a key to Anthropic's API below the base URL.
func AnthropicCredential(key config.Secret, baseURL string) Credential {
	return Credential{
		Variable: "ANTHROPIC_API_KEY", Key: key, url: below(baseURL, "v1/models?limit=1"),
		header:  http.Header{"X-Api-Key": {key.Reveal()}, "Anthropic-Version": {"2023-06-01"}},
		refused: unauthorized,
	}
}

// CohereCredential is a key to Cohere's API below the base URL.
func CohereCredential(key config.Secret, baseURL string) Credential {
	return Credential{
		Variable: "COHERE_API_KEY", Key: key, url: below(baseURL, "v1/models?page_size=1"),
		header:  http.Header{"Authorization": {"Bearer " + key.Reveal()}},
		refused: unauthorized,
	}
}

func unauthorized(status int, _ string) bool { return status == http.StatusUnauthorized }

func below(baseURL, path string) string { return strings.TrimRight(baseURL, "/") + "/" + path }

const (
	// credentialWait is how long a start waits for a provider.
	credentialWait = 3 * time.Second
	// credentialBody is how much of a refusal is read.
	credentialBody = 8 << 10
)

// CheckCredential asks the provider whether the key is valid, and returns an
// error that is [Unusable] when it says that it is not: expired, revoked or
// mistyped. A provider that is away, or answers otherwise, keeps nothing from
// starting: that is told in the log, and by health once the model is used.
// Without a key nobody is asked.
func (h Host) CheckCredential(ctx context.Context, c Credential) error {
	if c.Key == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, credentialWait)
	defer cancel()
	status, body, err := c.ask(ctx)
	switch {
	case err != nil:
		h.Log.WarnContext(ctx, "a key could not be checked", slog.String("variable", c.Variable), slog.Any("error", err))
	case c.refused(status, body):
		return Unusable(c.Variable, fmt.Errorf("the provider refuses the key with status %d; is it expired, revoked or another provider's?", status))
	}
	return nil
}

func (c Credential) ask(ctx context.Context) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
	if err != nil {
		return 0, "", errors.New("the base URL cannot be used")
	}
	r.Header = c.header
	client := http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true},
		// A key goes nowhere but where it was meant to go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err //nolint:wrapcheck // says what was asked; keys are in headers only, and base URLs hold no secrets
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, credentialBody))
	if err != nil {
		return 0, "", fmt.Errorf("read the answer: %w", err)
	}
	return resp.StatusCode, string(text), nil
}
