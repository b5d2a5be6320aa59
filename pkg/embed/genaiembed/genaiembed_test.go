package genaiembed_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/embedtest"
	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
	"github.com/ragbus/ragbus/pkg/embed/genaiembed"
	"github.com/ragbus/ragbus/pkg/embed/genaiembed/genaiembedtest"
	"github.com/ragbus/ragbus/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func open(t *testing.T, cfg genaiembed.Config) embed.Embedder {
	t.Helper()
	e, err := genaiembed.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func config(s embedtest.Setup) genaiembed.Config {
	cfg := genaiembed.Config{
		APIKey: s.APIKey, Model: s.Model, BaseURL: s.BaseURL, BatchTexts: s.BatchTexts, Concurrency: s.Concurrency, Timeout: s.Timeout,
	}
	if s.Model == "no-such-model" {
		cfg.Dimensions = 768
	}
	return cfg
}

func TestContract(t *testing.T) {
	t.Parallel()
	embedtest.RunRemote(t, embedtest.Adapter{
		Wire: genaiembedtest.Wire{}, QueryTask: "task: search result | query: ", PassageTask: "title: none | text: ",
		Open: func(t *testing.T, s embedtest.Setup) embed.Embedder {
			t.Helper()
			return open(t, config(s))
		},
	})
}

func TestTheFirstGenerationPassesTheContract(t *testing.T) {
	t.Parallel()
	embedtest.RunRemote(t, embedtest.Adapter{
		Wire: genaiembedtest.Wire{}, QueryTask: "RETRIEVAL_QUERY", PassageTask: "RETRIEVAL_DOCUMENT",
		Open: func(t *testing.T, s embedtest.Setup) embed.Embedder {
			t.Helper()
			if s.Model == "" {
				s.Model = "gemini-embedding-001"
			}
			return open(t, config(s))
		},
	})
}

func TestOneContentATextWithWhatItsGenerationWants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ model, query, passage, task string }{
		{"gemini-embedding-2", "task: search result | query: a", "title: none | text: b", ""},
		{"gemini-embedding-001", "a", "b", "RETRIEVAL_"},
	} {
		server := genaiembedtest.New(nil)
		h := httptest.NewServer(server)
		t.Cleanup(h.Close)
		e := open(t, genaiembed.Config{APIKey: emulator.Key, Model: c.model, BaseURL: h.URL, Dimensions: 256})
		for purpose, text := range map[embed.Purpose]string{embed.Query: "a", embed.Passage: "b"} {
			if _, err := e.Embed(t.Context(), purpose, []string{text, text}); err != nil {
				t.Fatal(err)
			}
		}
		texts := map[string]bool{}
		for _, b := range server.Batches() {
			var in genaiembedtest.Request
			if err := json.Unmarshal(b.Body, &in); err != nil {
				t.Fatal(err)
			}
			if b.Path != "/v1beta/models/"+c.model+":batchEmbedContents" || len(in.Requests) != 2 {
				t.Errorf("%s with %d requests, want two", b.Path, len(in.Requests))
			}
			for _, r := range in.Requests {
				texts[r.Content.Parts[0].Text] = true
				if r.OutputDimensionality != 256 || !strings.HasPrefix(r.TaskType, c.task) || (r.TaskType == "") != (c.task == "") {
					t.Errorf("%s: %+v", c.model, r)
				}
			}
		}
		if diff := cmp.Diff(map[string]bool{c.query: true, c.passage: true}, texts); diff != "" {
			t.Errorf("%s: texts (-want +got):\n%s", c.model, diff)
		}
	}
}

func TestTheGenerationsAreDifferentSpaces(t *testing.T) {
	t.Parallel()
	first := open(t, genaiembed.Config{APIKey: "k", Model: "gemini-embedding-001"}).Profile()
	second := open(t, genaiembed.Config{APIKey: "k", Model: "gemini-embedding-2"}).Profile()
	if first.Prefix == second.Prefix || first.Key() == second.Key() {
		t.Errorf("keys are %q and %q", first.Key(), second.Key())
	}
}

func TestEachTextCountsAsARequest(t *testing.T) {
	t.Parallel()
	e, ok := open(t, genaiembed.Config{APIKey: "k"}).(embed.Counter)
	if !ok || e.Requests(make([]string, 150)) != 150 {
		t.Error("texts are not counted as requests")
	}
}

func TestWrongConfigurationsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := genaiembed.New(t.Context(), genaiembed.Config{Model: "models/gemini-embedding-2", BaseURL: "nowhere", Dimensions: 64})
	for _, want := range []string{"API key is missing", "base URL", "slash"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to tell of %q", err, want)
		}
	}
	if _, err := genaiembed.New(t.Context(), genaiembed.Config{APIKey: "k", Dimensions: 64}); err == nil || !strings.Contains(err.Error(), "choose from 128 to 3072") {
		t.Errorf("error %v, want the choice of dimensions", err)
	}
}

func BenchmarkBatch(b *testing.B) {
	embedtest.BenchmarkBatch(b, genaiembedtest.Wire{}, func(t http.RoundTripper) (embed.Embedder, error) {
		return genaiembed.New(b.Context(), genaiembed.Config{APIKey: emulator.Key, Dimensions: 768, Transport: t})
	})
}
