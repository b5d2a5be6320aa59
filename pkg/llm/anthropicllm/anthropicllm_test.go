package anthropicllm_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/anthropicllm"
	"github.com/ragbus/ragbus/pkg/llm/anthropicllm/anthropictest"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, s *anthropictest.Server, change func(*anthropicllm.Config)) *anthropicllm.Model {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := anthropicllm.Config{APIKey: anthropictest.Key, BaseURL: s.URL, Transport: transport}
	if change != nil {
		change(&cfg)
	}
	m, err := anthropicllm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func play(t *testing.T, r anthropictest.Reply) (*anthropicllm.Model, *anthropictest.Server) {
	t.Helper()
	s := anthropictest.Serve(t, func(anthropictest.Request) anthropictest.Reply { return r })
	return open(t, s, nil), s
}

// perform is the provider's half of a scenario.
func perform(s llmtest.Scenario) anthropictest.Reply {
	r := anthropictest.Reply{Frames: anthropictest.Start(s.Usage.PromptTokens, 0, 0)}
	for _, d := range s.Deltas {
		r.Frames = append(r.Frames, anthropictest.Text(d))
	}
	limited := anthropictest.Refuse(429, "rate_limit_error", "This request would exceed your organization's rate limit.")
	switch s.Failure {
	case llmtest.None, llmtest.Hasty:
		reason := map[llm.Finish]string{llm.Stopped: "end_turn", llm.Truncated: "max_tokens", llm.Filtered: "refusal"}[s.Finish]
		r.Frames = append(r.Frames, anthropictest.Stop(reason, s.Usage.CompletionTokens)...)
	case llmtest.Throttled:
		r = limited
		r.Header = http.Header{"Retry-After": {"7"}}
	case llmtest.ThrottledByDate:
		r = limited
		r.Header = http.Header{"Retry-After": {time.Now().Add(llmtest.Pause).UTC().Format(http.TimeFormat)}}
	case llmtest.ThrottledPlain:
		r = limited
	case llmtest.Refused, llmtest.NoModel:
		r = anthropictest.Refuse(404, "not_found_error", "model: claude-next")
	case llmtest.WrongKey:
		r = anthropictest.Refuse(401, "authentication_error", "invalid x-api-key: "+anthropictest.Key)
	case llmtest.Overflow:
		r = anthropictest.Refuse(400, "invalid_request_error", "prompt is too long: 200001 tokens > 199999 maximum")
	case llmtest.Internal:
		r = anthropictest.Refuse(500, "api_error", "Internal server error")
	case llmtest.Overloaded:
		r = anthropictest.Refuse(529, "overloaded_error", "Overloaded")
	case llmtest.BadGateway:
		r = anthropictest.Reply{Status: 502, Header: http.Header{"Content-Type": {"text/html"}}, Body: strings.Repeat("<p>", 1<<20)}
	case llmtest.Redirected:
		r = anthropictest.Reply{Status: 307, Header: http.Header{"Location": {"/elsewhere"}}}
	case llmtest.Unavailable:
		if len(s.Deltas) == 0 {
			r = anthropictest.Refuse(503, "api_error", "unavailable")
		}
		r.Cut = true
	case llmtest.Malformed:
		r.Frames = append(r.Frames, anthropictest.Raw("content_block_delta", `{"delta":{"text":"`+llmtest.Confidential))
	case llmtest.Failing:
		r.Frames = append(r.Frames, anthropictest.Failed("overloaded_error", "Overloaded"))
	case llmtest.EndsEarly:
	case llmtest.Silent, llmtest.Stalled:
		r.Hang = true
	case llmtest.Late:
		r = anthropictest.Reply{First: time.Hour, Frames: r.Frames, Ping: llmtest.Short / 10}
	case llmtest.Queued:
		r = anthropictest.Reply{First: time.Hour, HoldHeader: true, Frames: r.Frames}
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
		server := anthropictest.Serve(t, func(anthropictest.Request) anthropictest.Reply { return reply })
		m := open(t, server, func(c *anthropicllm.Config) {
			switch s.Failure {
			case llmtest.Stalled, llmtest.Hasty:
				c.Silence = llmtest.Short
			case llmtest.Late, llmtest.Queued:
				c.FirstToken = llmtest.Short
			}
		})
		return llmtest.Wire{Model: m, Closed: server.Closed(), Key: anthropictest.Key, Calls: func() int { n, _ := server.Log.Calls(); return n }}
	})
}

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	m, s := play(t, anthropictest.Reply{Frames: anthropictest.Whole([]string{"x"}, "end_turn", 1, 1)})
	r := llmtest.Question()
	r.Stop = []string{"END"}
	r.Messages = append([]llm.Message{{Role: llm.Assistant, Text: "a0"}}, r.Messages...)
	llmtest.Read(t.Context(), t, m, r)
	got := s.Requests()[0]
	var said []string
	for _, msg := range got.Body.Messages {
		said = append(said, msg.Role+": "+msg.Content[0].Text)
	}
	if diff := cmp.Diff([]string{"user: q1", "assistant: a1", "user: q2"}, said); diff != "" {
		t.Error(diff)
	}
	b := got.Body
	if b.Model != modelcatalog.DefaultChat(modelcatalog.Anthropic) || b.System[0].Text != "be brief" || b.MaxTokens <= 64 || b.Temperature != nil ||
		b.OutputConfig.Effort != "" && b.OutputConfig.Effort != "low" || !strings.Contains(got.Raw, `"output_config":{"effort":"low"}`) ||
		cmp.Diff([]string{"END"}, b.StopSequences) != "" || !b.Stream {
		t.Errorf("%s", got.Raw)
	}
	if got.Path != "/v1/messages" || got.Header.Get("X-Api-Key") != anthropictest.Key || got.Header.Get("Authorization") != "" {
		t.Errorf("%s %v", got.Path, got.Header)
	}
}

func TestModelsThatTakeATemperature(t *testing.T) {
	t.Parallel()
	_, s := play(t, anthropictest.Reply{Frames: anthropictest.Whole([]string{"x"}, "end_turn", 1, 1)})
	older := open(t, s, func(c *anthropicllm.Config) { c.Model = "claude-haiku-4-5-20251001" })
	hot := 1.7
	r := llmtest.Question()
	for _, tt := range []struct {
		asked *float64
		want  float64
	}{{nil, anthropicllm.DefaultTemperature}, {&hot, 1}} {
		r.Temperature = tt.asked
		llmtest.Read(t.Context(), t, older, r)
		all := s.Requests()
		b := all[len(all)-1].Body
		if b.Temperature == nil || *b.Temperature != tt.want || b.MaxTokens != 64 || strings.Contains(all[len(all)-1].Raw, "effort") {
			t.Errorf("%+v", b)
		}
	}
}

func TestErrorsAsTheAPIWordsThem(t *testing.T) {
	t.Parallel()
	type verdict struct{ Class, Code string }
	for name, tt := range map[string]struct {
		reply anthropictest.Reply
		want  verdict
	}{
		"the answer does not fit": {anthropictest.Refuse(400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000"), verdict{"permanent", "prompt_too_long"}},
		"too many bytes":          {anthropictest.Refuse(413, "request_too_large", "Request exceeds the maximum size"), verdict{"permanent", "prompt_too_long"}},
		"no credit":               {anthropictest.Refuse(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."), verdict{"permanent", "model_no_credit"}},
		"billing":                 {anthropictest.Refuse(402, "billing_error", "billing"), verdict{"permanent", "model_no_credit"}},
		"no permission":           {anthropictest.Refuse(403, "permission_error", "no"), verdict{"permanent", "model_unauthorized"}},
		"a bad request":           {anthropictest.Refuse(400, "invalid_request_error", "temperature: not supported"), verdict{"permanent", "model_refused"}},
		"a timeout":               {anthropictest.Refuse(504, "timeout_error", "timed out"), verdict{"transient", "model_unavailable"}},
		"a page":                  {anthropictest.Reply{Body: "<html>", Header: http.Header{"Content-Type": {"text/html"}}}, verdict{"permanent", "model_protocol"}},
		"limited in the middle":   {anthropictest.Reply{Frames: []string{anthropictest.Text("a"), anthropictest.Failed("rate_limit_error", "slow")}}, verdict{"throttled", "throttled"}},
		"refused in the middle":   {anthropictest.Reply{Frames: []string{anthropictest.Text("a"), anthropictest.Failed("invalid_request_error", "no")}}, verdict{"permanent", "model_refused"}},
		"something in the middle": {anthropictest.Reply{Frames: []string{anthropictest.Text("a"), anthropictest.Raw("error", "oops")}}, verdict{"transient", "model_unavailable"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _ := play(t, tt.reply)
			got := llmtest.Read(t.Context(), t, m, llmtest.Question())
			code, _ := fault.Public(got.Err)
			if got.Err == nil {
				t.Fatalf("%+v", got)
			}
			if diff := cmp.Diff(tt.want, verdict{fault.Of(got.Err).String(), code}); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", got, diff)
			}
		})
	}
}

func TestStopReasons(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]llm.Finish{
		"end_turn": llm.Stopped, "stop_sequence": llm.Stopped, "max_tokens": llm.Truncated, "model_context_window_exceeded": llm.Truncated,
		"refusal": llm.Filtered, "tool_use": llm.Truncated, "pause_turn": llm.Truncated, "a_new_one": llm.Truncated,
	} {
		m, _ := play(t, anthropictest.Reply{Frames: anthropictest.Whole([]string{"x"}, reason, 5, 2)})
		got := llmtest.Read(t.Context(), t, m, llmtest.Question())
		if got.Err != nil || got.Finish != want || got.Usage != (llm.Usage{PromptTokens: 5, CompletionTokens: 2}) {
			t.Errorf("%s: got %+v, want %s and 5/2 tokens", reason, got, want)
		}
	}
}

func TestBlockedByPolicy(t *testing.T) {
	t.Parallel()
	const message = "Output blocked by content filtering policy"
	for name, reply := range map[string]anthropictest.Reply{
		"at once":       anthropictest.Refuse(400, "invalid_request_error", message),
		"in the middle": {Frames: append(anthropictest.Start(3, 0, 0), anthropictest.Failed("invalid_request_error", message))},
	} {
		m, _ := play(t, reply)
		if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Err != nil || got.Finish != llm.Filtered {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestUsageCountsTheCacheAndThinkingIsNotText(t *testing.T) {
	t.Parallel()
	frames := append(anthropictest.Start(10, 200, 30), anthropictest.Thinking("hm"), anthropictest.Text("yes"))
	m, _ := play(t, anthropictest.Reply{Frames: append(frames, anthropictest.Stop("end_turn", 55)...)})
	got := llmtest.Read(t.Context(), t, m, llmtest.Question())
	if got.Text != "yes" || got.Usage != (llm.Usage{PromptTokens: 240, CompletionTokens: 55}) {
		t.Errorf("%+v", got)
	}
}

func TestACompleteAnswerSurvivesACut(t *testing.T) {
	t.Parallel()
	whole := anthropictest.Whole([]string{"yes"}, "end_turn", 1, 1)
	for name, reply := range map[string]anthropictest.Reply{
		"cut": {Frames: whole[:len(whole)-1], Cut: true}, "silent": {Frames: whole[:len(whole)-1], Hang: true},
	} {
		s := anthropictest.Serve(t, func(anthropictest.Request) anthropictest.Reply { return reply })
		m := open(t, s, func(c *anthropicllm.Config) { c.Silence = llmtest.Short })
		if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Err != nil || got.Finish != llm.Stopped || got.Text != "yes" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	m, err := anthropicllm.New(anthropicllm.Config{APIKey: "k", BaseURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); !fault.Is(got.Err, fault.Transient) {
		t.Errorf("got %v, want transient", got.Err)
	}
}

func TestTheEnvironmentIsNotRead(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-from-the-environment")
	t.Setenv("ANTHROPIC_AUTH_TOKEN", "token-from-the-environment")
	t.Setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
	t.Setenv("ANTHROPIC_CUSTOM_HEADERS", "X-From: environment")
	m, s := play(t, anthropictest.Reply{Frames: anthropictest.Whole([]string{"x"}, "end_turn", 1, 1)})
	if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Err != nil {
		t.Fatal(got.Err)
	}
	for name, values := range s.Requests()[0].Header {
		if strings.Contains(strings.Join(values, " "), "environment") {
			t.Errorf("%s: %v", name, values)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := anthropicllm.New(anthropicllm.Config{BaseURL: "https://user:hush@x", Model: "a b", MaxTokens: 9, ContextTokens: 9, FirstToken: -1})
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{"API key", "base URL", "model name", "context of 9", "negative"} {
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q does not name the %s", err, want)
		}
	}
	if c := (anthropicllm.Config{APIKey: "k"}).WithDefaults(); c.Validate() != nil || c.ContextTokens != 1_000_000 || c.MaxTokens != anthropicllm.DefaultMaxTokens {
		t.Errorf("%+v", c)
	}
}
