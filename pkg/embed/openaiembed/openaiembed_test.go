package openaiembed_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/embedtest"
	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
	"github.com/ragbus/ragbus/pkg/embed/openaiembed"
	"github.com/ragbus/ragbus/pkg/embed/openaiembed/openaiembedtest"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func open(t *testing.T, cfg openaiembed.Config) embed.Embedder {
	t.Helper()
	e, err := openaiembed.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// start starts an emulator and returns its base URL.
func start(t *testing.T, wire openaiembedtest.Wire) (*emulator.Server, string) {
	t.Helper()
	server := emulator.New(wire, nil)
	h := httptest.NewServer(server)
	t.Cleanup(h.Close)
	return server, h.URL + "/v1/"
}

func TestContract(t *testing.T) {
	t.Parallel()
	embedtest.RunRemote(t, embedtest.Adapter{
		Wire: openaiembedtest.Wire{}, SaysNoCredit: true,
		Open: func(t *testing.T, s embedtest.Setup) embed.Embedder {
			t.Helper()
			cfg := openaiembed.Config{
				APIKey: s.APIKey, Model: s.Model, BaseURL: s.BaseURL + "/v1", BatchTexts: s.BatchTexts, Concurrency: s.Concurrency, Timeout: s.Timeout,
			}
			if s.Model != "" {
				cfg.Dimensions = 1536
			}
			return open(t, cfg)
		},
	})
}

func TestLocalServersPassTheContract(t *testing.T) {
	t.Parallel()
	embedtest.RunRemote(t, embedtest.Adapter{
		Wire: openaiembedtest.Wire{Numbers: true, Dimensions: 384, TextTokens: 256, BatchTexts: 32}, SaysNoCredit: true,
		Open: func(t *testing.T, s embedtest.Setup) embed.Embedder {
			t.Helper()
			if s.Model == "" {
				s.Model = "all-minilm"
			}
			return open(t, openaiembed.Config{
				APIKey: s.APIKey, Model: s.Model, Dimensions: 384, BaseURL: s.BaseURL + "/v1", BatchTexts: min(s.BatchTexts, 32), Concurrency: s.Concurrency, Timeout: s.Timeout,
			})
		},
	})
}

func TestRequestOfAKnownModel(t *testing.T) {
	t.Parallel()
	server, url := start(t, openaiembedtest.Wire{})
	e := open(t, openaiembed.Config{APIKey: emulator.Key, BaseURL: url, Dimensions: 256})
	if _, err := e.Embed(t.Context(), embed.Query, []string{"a <b>", ""}); err != nil {
		t.Fatal(err)
	}
	const want = `{"input":["a <b>","-"],"model":"text-embedding-3-small","dimensions":256,"encoding_format":"base64"}`
	if got := canonical(t, server.Batches()[0].Body); got != canonical(t, []byte(want)) {
		t.Errorf("sent %s, want %s", got, want)
	}
}

// carrier keeps where requests go, and reaches nobody.
type carrier struct{ requests chan *http.Request }

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests <- r
	return nil, errors.New("nobody is there")
}

func TestTheRouteIsBelowTheBaseURL(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"":                                     "https://api.openai.com/v1/embeddings",
		"http://h":                             "http://h/embeddings",
		"http://h/v1":                          "http://h/v1/embeddings",
		"http://h/v1/":                         "http://h/v1/embeddings",
		"http://h/v1?":                         "http://h/v1/embeddings",
		"http://h/a//b/../v1":                  "http://h/a//v1/embeddings",
		"http://h/a%2Fb":                       "http://h/a%2Fb/embeddings",
		"https://x.openai.azure.com/openai/v1": "https://x.openai.azure.com/openai/v1/embeddings",
	} {
		c := carrier{make(chan *http.Request, 1)}
		e := open(t, openaiembed.Config{APIKey: emulator.Key, BaseURL: base, Transport: c})
		if _, err := e.Embed(t.Context(), embed.Query, []string{"a"}); !fault.Is(err, fault.Transient) {
			t.Errorf("%s: error %v, want a transient one", base, err)
		}
		r := <-c.requests
		if got := r.URL.String(); got != want {
			t.Errorf("%s became %s, want %s", base, got, want)
		}
		if diff := cmp.Diff(http.Header{
			"Authorization": {"Bearer " + emulator.Key}, "Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"ragbus"},
		}, r.Header); diff != "" {
			t.Error(diff)
		}
	}
}

func canonical(t *testing.T, body []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(out))
}

func TestALocalServerIsAskedForNoDimensionsAndNoKey(t *testing.T) {
	t.Parallel()
	server, url := start(t, openaiembedtest.Wire{Numbers: true, Dimensions: 768, Open: true})
	e := open(t, openaiembed.Config{BaseURL: url, Model: "nomic-embed-text:latest", Dimensions: 768})
	if _, err := e.Embed(t.Context(), embed.Query, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	got := server.Batches()[0]
	if strings.Contains(string(got.Body), "dimensions") || got.Header.Get("Authorization") != "" {
		t.Errorf("sent %s with authorization %q", got.Body, got.Header.Get("Authorization"))
	}
	if key := e.Profile().Key(); key != "openai-nomic-embed-text:latest-768" {
		t.Errorf("the profile's key is %q", key)
	}
}

// OpenAI's own clients read these; nothing but the configuration may count.
func TestTheEnvironmentIsNotRead(t *testing.T) {
	t.Setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/")
	t.Setenv("OPENAI_API_KEY", "sk-of-the-environment")
	t.Setenv("OPENAI_ORG_ID", "org-of-the-environment")
	server, url := start(t, openaiembedtest.Wire{})
	e := open(t, openaiembed.Config{APIKey: emulator.Key, BaseURL: url})
	if _, err := e.Embed(t.Context(), embed.Query, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if got := server.Batches()[0].Header.Get("Openai-Organization"); got != "" {
		t.Errorf("the organisation %q was sent", got)
	}
}

func TestWrongConfigurationsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	const key = "sk-secret\n"
	_, err := openaiembed.New(openaiembed.Config{
		APIKey: key, BaseURL: "ftp://user:hush@host/", Model: "text-embedding-3-small", Dimensions: 4000, Concurrency: -1,
	})
	for _, want := range []string{"API key", "base URL", "choose from 1 to 1536", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to tell of %q", err, want)
		}
	}
	if err != nil && (strings.Contains(err.Error(), "sk-secret") || strings.Contains(err.Error(), "hush")) {
		t.Errorf("the error holds a secret: %v", err)
	}
	for _, c := range []struct {
		cfg  openaiembed.Config
		want string
	}{
		{openaiembed.Config{}, "API key is missing"},
		{openaiembed.Config{BaseURL: "http://localhost:11434/v1", Model: "bge-m3"}, "not known here"},
		{openaiembed.Config{BaseURL: "http://localhost:11434/v1", Model: "two words", Dimensions: 3}, "no name"},
	} {
		if _, err := openaiembed.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.cfg, err, c.want)
		}
	}
}

func TestDefaultsAreTheCatalogs(t *testing.T) {
	t.Parallel()
	got := openaiembed.Config{APIKey: "k"}.WithDefaults()
	if got.Model == "" || got.Dimensions == 0 || got.TextTokens == 0 || got.BatchTexts == 0 || got.BaseURL != openaiembed.DefaultBaseURL {
		t.Errorf("defaults are %+v", got)
	}
}

func BenchmarkBatch(b *testing.B) {
	embedtest.BenchmarkBatch(b, openaiembedtest.Wire{}, func(t http.RoundTripper) (embed.Embedder, error) {
		return openaiembed.New(openaiembed.Config{APIKey: emulator.Key, Dimensions: 768, Transport: t})
	})
}
