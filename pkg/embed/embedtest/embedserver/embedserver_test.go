package embedserver_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/cohereembed"
	"github.com/ragbus/ragbus/pkg/embed/embedtest/embedserver"
	"github.com/ragbus/ragbus/pkg/embed/genaiembed"
	"github.com/ragbus/ragbus/pkg/embed/openaiembed"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func start(t *testing.T, key string, b embedserver.Behaviour) (*embedserver.Server, string) {
	t.Helper()
	s, err := embedserver.New(key, b)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL
}

func adapters(t *testing.T, key, url string) map[string]embed.Embedder {
	t.Helper()
	openai, err1 := openaiembed.New(openaiembed.Config{APIKey: key, BaseURL: url + "/v1"})
	gemini, err2 := genaiembed.New(t.Context(), genaiembed.Config{APIKey: key, BaseURL: url})
	cohere, err3 := cohereembed.New(cohereembed.Config{APIKey: key, BaseURL: url})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return map[string]embed.Embedder{"openai": openai, "gemini": gemini, "cohere": cohere}
}

func TestOneServerSpeaksAllFormats(t *testing.T) {
	t.Parallel()
	s, url := start(t, "sk-1", embedserver.Behaviour{LatencyMS: 20})
	for name, e := range adapters(t, "sk-1", url) {
		begun := time.Now()
		if v, err := e.Embed(t.Context(), embed.Passage, []string{"a", "b"}); err != nil || len(v) != 2 || time.Since(begun) < 20*time.Millisecond {
			t.Errorf("%s: %d vectors, %v, after %s", name, len(v), err, time.Since(begun))
		}
	}
	for name, e := range adapters(t, "sk-2", url) {
		if _, err := e.Embed(t.Context(), embed.Passage, []string{"a"}); !fault.Is(err, fault.Permanent) {
			t.Errorf("%s with a wrong key: %v", name, err)
		}
	}
	if got, want := s.Stats(), (embedserver.Stats{Batches: 3, Texts: 6, Widest: 1}); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}

func TestFaultsComeAsOftenAsTold(t *testing.T) {
	t.Parallel()
	s, url := start(t, "", embedserver.Behaviour{Fault: "throttled", FaultEvery: 2, FaultTimes: 2, RetryAfterS: 3})
	for name, e := range adapters(t, "any", url) {
		if err := s.Set(s.Behaviour()); err != nil {
			t.Fatal(err)
		}
		failed := 0
		for range 8 {
			_, err := e.Embed(t.Context(), embed.Passage, []string{"a"})
			if err != nil && fault.RetryAfter(err) != 3*time.Second {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil {
				failed++
			}
		}
		if failed != 2 {
			t.Errorf("%s: %d failures, want 2", name, failed)
		}
	}
}

func TestTheBehaviourIsChangedOverHTTP(t *testing.T) {
	t.Parallel()
	s, url := start(t, "", embedserver.Behaviour{})
	for body, status := range map[string]int{
		`{"latency_ms":7}`: http.StatusOK, `{"latency_ms":-1}`: http.StatusBadRequest, `{"fault":"moody"}`: http.StatusBadRequest,
		`{"unheard":1}`: http.StatusBadRequest, `nonsense`: http.StatusBadRequest,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/behaviour", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", body, resp.StatusCode, status)
		}
	}
	if got := s.Behaviour().LatencyMS; got != 7 {
		t.Errorf("the latency is %d ms, want 7", got)
	}
	resp, err := http.Get(url + "/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var stats embedserver.Stats
	if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil || stats.Batches != 0 {
		t.Errorf("stats are %+v, %v", stats, err)
	}
	http.DefaultClient.CloseIdleConnections()
}
