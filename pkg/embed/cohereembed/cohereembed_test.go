package cohereembed_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/cohereembed"
	"github.com/ragbus/ragbus/pkg/embed/cohereembed/cohereembedtest"
	"github.com/ragbus/ragbus/pkg/embed/embedtest"
	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
	"github.com/ragbus/ragbus/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func open(t *testing.T, cfg cohereembed.Config) embed.Embedder {
	t.Helper()
	e, err := cohereembed.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestContract(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"", "embed-english-light-v3.0"} {
		t.Run("model "+model, func(t *testing.T) {
			t.Parallel()
			embedtest.RunRemote(t, embedtest.Adapter{
				Wire: cohereembedtest.Wire{}, SaysNoCredit: true, QueryTask: "search_query", PassageTask: "search_document",
				Open: func(t *testing.T, s embedtest.Setup) embed.Embedder {
					t.Helper()
					cfg := cohereembed.Config{
						APIKey: s.APIKey, Model: s.Model, BaseURL: s.BaseURL, BatchTexts: s.BatchTexts, Concurrency: s.Concurrency, Timeout: s.Timeout,
					}
					if s.Model == "" {
						cfg.Model = model
					} else {
						cfg.Dimensions = 1024
					}
					return open(t, cfg)
				},
			})
		})
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	server := cohereembedtest.New(nil)
	h := httptest.NewServer(server)
	t.Cleanup(h.Close)
	e := open(t, cohereembed.Config{APIKey: emulator.Key, Model: "embed-v4.0", BaseURL: h.URL + "/", Dimensions: 512})
	if _, err := e.Embed(t.Context(), embed.Query, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	const want = `{"model":"embed-v4.0","input_type":"search_query","texts":["a"],"embedding_types":["float"],"output_dimension":512,"truncate":"END"}`
	if got := string(server.Batches()[0].Body); got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

func TestWrongConfigurationsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := cohereembed.New(cohereembed.Config{BaseURL: "https://me:hush@api.cohere.com", Model: "embed-v4.0", Dimensions: 300})
	for _, want := range []string{"API key is missing", "base URL", "choose of [256 512 1024 1536]"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("error %v, want it to tell of %q", err, want)
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	embedtest.BenchmarkBatch(b, cohereembedtest.Wire{}, func(t http.RoundTripper) (embed.Embedder, error) {
		return cohereembed.New(cohereembed.Config{APIKey: emulator.Key, Dimensions: 768, Transport: t})
	})
}
