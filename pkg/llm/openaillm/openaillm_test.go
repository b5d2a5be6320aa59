package openaillm_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
	"github.com/ragbus/ragbus/pkg/llm/openaillm"
	"github.com/ragbus/ragbus/pkg/llm/openaillm/openaitest"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, s *openaitest.Server, change func(*openaillm.Config)) *openaillm.Model {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := openaillm.Config{APIKey: openaitest.Key, BaseURL: s.URL, Model: "local", Transport: transport}
	if change != nil {
		change(&cfg)
	}
	m, err := openaillm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func play(t *testing.T, r openaitest.Reply) (*openaillm.Model, *openaitest.Server) {
	t.Helper()
	s := openaitest.Start(t, func(openaitest.Request) openaitest.Reply { return r })
	return open(t, s, nil), s
}

// perform is the provider's half of a scenario.
func perform(s llmtest.Scenario) openaitest.Reply {
	r := openaitest.Reply{Frames: []string{openaitest.Role(nil)}}
	for _, d := range s.Deltas {
		r.Frames = append(r.Frames, openaitest.Text(d))
	}
	switch s.Failure {
	case llmtest.None, llmtest.Hasty:
		reason := map[llm.Finish]string{llm.Stopped: "stop", llm.Truncated: "length", llm.Filtered: "content_filter"}[s.Finish]
		r.Frames = append(r.Frames, openaitest.Finish(reason), openaitest.Usage(s.Usage.PromptTokens, s.Usage.CompletionTokens), openaitest.Done())
	case llmtest.Throttled:
		r = openaitest.Refuse(429, "requests", "rate_limit_exceeded", "Rate limit reached.")
		r.Header = http.Header{"Retry-After": {"7"}}
	case llmtest.ThrottledByDate:
		r = openaitest.Refuse(429, "requests", "rate_limit_exceeded", "Rate limit reached.")
		r.Header = http.Header{"Retry-After": {time.Now().Add(llmtest.Pause).UTC().Format(http.TimeFormat)}}
	case llmtest.ThrottledPlain:
		r = openaitest.Refuse(429, "tokens", "rate_limit_exceeded", "Rate limit reached.")
	case llmtest.Refused, llmtest.NoModel:
		r = openaitest.Refuse(404, "invalid_request_error", "model_not_found", "The model `local` does not exist.")
	case llmtest.WrongKey:
		r = openaitest.Refuse(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: "+openaitest.Key)
	case llmtest.Overflow:
		r = openaitest.Refuse(400, "invalid_request_error", "context_length_exceeded", "Your input exceeds the context window of this model.")
	case llmtest.Internal:
		r = openaitest.Refuse(500, "server_error", nil, "The server had an error while processing your request.")
	case llmtest.Overloaded:
		r = openaitest.Refuse(503, "unavailable_error", 503, "Loading model")
	case llmtest.BadGateway:
		r = openaitest.Reply{Status: 502, Header: http.Header{"Content-Type": {"text/html"}}, Body: strings.Repeat("<p>", 1<<20)}
	case llmtest.Redirected:
		r = openaitest.Reply{Status: 307, Header: http.Header{"Location": {"/elsewhere"}}}
	case llmtest.Unavailable:
		if len(s.Deltas) == 0 {
			r = openaitest.Refuse(503, "server_error", nil, "The engine is currently overloaded.")
		}
		r.Cut = true
	case llmtest.Malformed:
		r.Frames = append(r.Frames, openaitest.Raw(`{"choices":[{"delta":{"content":"`+llmtest.Confidential), openaitest.Done())
	case llmtest.Failing:
		r.Frames = append(r.Frames, openaitest.Failed("server_error", nil, "The server had an error."), openaitest.Done())
	case llmtest.EndsEarly:
		r.Frames = append(r.Frames, openaitest.Done())
	case llmtest.Silent, llmtest.Stalled:
		r.Hang = true
	case llmtest.Late:
		r = openaitest.Reply{First: time.Hour, Frames: r.Frames, Ping: llmtest.Short / 10}
	case llmtest.Queued:
		r = openaitest.Reply{First: time.Hour, HoldHeader: true, Frames: r.Frames}
	}
	return r
}

func TestContract(t *testing.T) {
	t.Parallel()
	llmtest.Run(t, func(t *testing.T, s llmtest.Scenario) (llm.Model, <-chan struct{}) {
		t.Helper()
		m, server := play(t, perform(s))
		return m, server.Closed()
	})
}

func TestContractOnTheWire(t *testing.T) {
	t.Parallel()
	llmtest.RunWire(t, func(t *testing.T, s llmtest.Scenario) llmtest.Wire {
		t.Helper()
		reply := perform(s)
		server := openaitest.Start(t, func(openaitest.Request) openaitest.Reply { return reply })
		m := open(t, server, func(c *openaillm.Config) {
			switch s.Failure {
			case llmtest.Stalled, llmtest.Hasty:
				c.Silence = llmtest.Short
			case llmtest.Late, llmtest.Queued:
				c.FirstToken = llmtest.Short
			}
		})
		return llmtest.Wire{Model: m, Closed: server.Closed(), Key: openaitest.Key, Calls: func() int { n, _ := server.Log.Calls(); return n }}
	})
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	m, err := openaillm.New(openaillm.Config{BaseURL: "http://127.0.0.1:1/v1", Model: "x"})
	if err != nil {
		t.Fatal(err)
	}
	got := llmtest.Read(t.Context(), t, m, llmtest.Question())
	if code, _ := fault.Public(got.Err); !fault.Is(got.Err, fault.Transient) || code != "model_unavailable" {
		t.Errorf("got %v, want transient", got.Err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	official := openaillm.Config{APIKey: "k"}.WithDefaults()
	if err := official.Validate(); err != nil || official.Model != modelcatalog.DefaultChat(modelcatalog.OpenAI) || official.ContextTokens < 1_000_000 || official.FirstToken != openaillm.DefaultFirstToken {
		t.Errorf("%v, %+v", err, official)
	}
	local := openaillm.Config{BaseURL: "http://localhost:11434/v1", Model: "llama3.2"}.WithDefaults()
	if err := local.Validate(); err != nil || local.ContextTokens != modelcatalog.AssumedContextTokens || local.MaxTokens != 2048 || local.FirstToken != openaillm.DefaultLocalFirstToken {
		t.Errorf("%v, %+v", err, local)
	}
	for name, tt := range map[string]struct {
		cfg  openaillm.Config
		want []string
	}{
		"everything": {openaillm.Config{APIKey: "a b", BaseURL: "ftp://user:hush@x", MaxTokens: 9, ContextTokens: 9, Silence: -1}, []string{"API key", "base URL", "not named", "context of 9", "negative"}},
		"no key":     {openaillm.Config{}, []string{"API key is empty"}},
		"a name":     {openaillm.Config{APIKey: "k", Model: "gpt 6"}, []string{"white space"}},
	} {
		_, err := openaillm.New(tt.cfg)
		if err == nil {
			t.Errorf("%s: want an error", name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%s: %q does not name %q", name, err, want)
			}
		}
	}
}
