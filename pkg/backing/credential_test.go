package backing_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/config"
)

// What the providers answer to whoever lists their models, as their references say.
const (
	geminiExpired = `{"error":{"code":400,"message":"API key expired. Please renew the API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}`
	geminiBad     = `{"error":{"code":400,"message":"Invalid page size.","status":"INVALID_ARGUMENT"}}`
	openAIWrong   = `{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error","code":"invalid_api_key"}}`
	openAIScope   = `{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: api.model.read.","type":"invalid_request_error"}}`
	anthropicBad  = `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`
)

func TestKeysAreCheckedWhereTheyAreUsed(t *testing.T) {
	t.Parallel()
	const key = "sesame-1234"
	tests := map[string]struct {
		make    func(config.Secret, string) backing.Credential
		path    string
		header  string
		status  int
		body    string
		refused string
	}{
		"gemini":            {backing.GeminiCredential, "/v1beta/models", "X-Goog-Api-Key", 200, `{"models":[]}`, ""},
		"gemini expired":    {backing.GeminiCredential, "/v1beta/models", "X-Goog-Api-Key", 400, geminiExpired, "GEMINI_API_KEY"},
		"gemini blocked":    {backing.GeminiCredential, "/v1beta/models", "X-Goog-Api-Key", 403, `{}`, "GEMINI_API_KEY"},
		"gemini complains":  {backing.GeminiCredential, "/v1beta/models", "X-Goog-Api-Key", 400, geminiBad, ""},
		"openai":            {backing.OpenAICredential, "/models", "Authorization", 200, `{"data":[]}`, ""},
		"openai wrong":      {backing.OpenAICredential, "/models", "Authorization", 401, openAIWrong, "OPENAI_API_KEY"},
		"openai restricted": {backing.OpenAICredential, "/models", "Authorization", 401, openAIScope, ""},
		"openai forbidden":  {backing.OpenAICredential, "/models", "Authorization", 403, openAIScope, ""},
		"has no list":       {backing.OpenAICredential, "/models", "Authorization", 404, ``, ""},
		"is unwell":         {backing.OpenAICredential, "/models", "Authorization", 503, ``, ""},
		"redirects":         {backing.OpenAICredential, "/models", "Authorization", 302, ``, ""},
		"anthropic":         {backing.AnthropicCredential, "/v1/models", "X-Api-Key", 200, `{"data":[]}`, ""},
		"anthropic wrong":   {backing.AnthropicCredential, "/v1/models", "X-Api-Key", 401, anthropicBad, "ANTHROPIC_API_KEY"},
		"cohere":            {backing.CohereCredential, "/v1/models", "Authorization", 200, `{"models":[]}`, ""},
		"cohere wrong":      {backing.CohereCredential, "/v1/models", "Authorization", 401, `{"message":"invalid api token"}`, "COHERE_API_KEY"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				if r.URL.Path != tt.path || !strings.Contains(r.Header.Get(tt.header), key) || strings.Contains(r.URL.String(), key) {
					t.Errorf("asked %s with %s %q", r.URL, tt.header, r.Header.Get(tt.header))
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer server.Close()
			var logged bytes.Buffer
			h := backing.Host{Log: slog.New(slog.NewTextHandler(&logged, nil))}
			for _, base := range []string{server.URL, server.URL + "/"} {
				err := h.CheckCredential(t.Context(), tt.make(key, base))
				if backing.IsUnusable(err) != (tt.refused != "") || (err == nil) != (tt.refused == "") {
					t.Fatalf("got %v", err)
				}
				if err != nil && (!strings.HasPrefix(err.Error(), tt.refused+": ") || strings.Contains(err.Error(), key)) {
					t.Errorf("said: %v", err)
				}
			}
			if asked != 2 || strings.Contains(logged.String(), key) {
				t.Errorf("asked %d times, logged %s", asked, &logged)
			}
		})
	}
}

func TestAProviderThatIsAwayKeepsNothingFromStarting(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	var logged bytes.Buffer
	h := backing.Host{Log: slog.New(slog.NewTextHandler(&logged, nil))}
	if err := h.CheckCredential(t.Context(), backing.OpenAICredential("sesame-1234", server.URL)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(logged.String(), "variable=OPENAI_API_KEY") || strings.Contains(logged.String(), "sesame") {
		t.Errorf("logged: %s", &logged)
	}
	if err := h.CheckCredential(t.Context(), backing.OpenAICredential("", "http://127.0.0.1:1")); err != nil {
		t.Error(err)
	}
}
