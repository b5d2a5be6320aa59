package openaillm_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	m, s := play(t, openaitest.Reply{Frames: openaitest.Whole([]string{"x"}, "stop", 1, 1)})
	r := llmtest.Question()
	r.Stop = []string{"END"}
	r.Messages = append(r.Messages, llm.Message{Role: llm.User, Text: "q3"})
	llmtest.Read(t.Context(), t, m, r)
	got := s.Requests()[0]
	want := `{"model":"local","messages":[{"content":"be brief","role":"system"},{"content":"q1","role":"user"},{"content":"a1","role":"assistant"},` +
		`{"content":"q2\n\nq3","role":"user"}],"max_tokens":64,"temperature":0.1,"stop":["END"],"stream_options":{"include_usage":true},"stream":true}`
	if diff := cmp.Diff(sorted(want), sorted(got.Raw)); diff != "" {
		t.Error(diff)
	}
	if got.Path != "/v1/chat/completions" || got.Header.Get("Authorization") != "Bearer "+openaitest.Key {
		t.Errorf("%s %v", got.Path, got.Header)
	}
}

// sorted makes the order of an object's top-level members irrelevant.
func sorted(object string) map[string]bool {
	parts := map[string]bool{}
	depth, start := 0, 1
	for i, c := range object {
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if c == ',' && depth == 1 || depth == 0 {
			parts[object[start:i]] = true
			start = i + 1
		}
	}
	return parts
}

func TestModelsThatThink(t *testing.T) {
	t.Parallel()
	s := openaitest.Start(t, func(openaitest.Request) openaitest.Reply {
		return openaitest.Reply{Frames: openaitest.Whole([]string{"x"}, "stop", 1, 1)}
	})
	m := open(t, s, func(c *openaillm.Config) { c.Model = modelcatalog.DefaultChat(modelcatalog.OpenAI) })
	llmtest.Read(t.Context(), t, m, llmtest.Question())
	b := s.Requests()[0].Body
	if b.MaxTokens != nil || b.MaxCompletionTokens == nil || *b.MaxCompletionTokens <= 64 || b.Temperature != nil || b.ReasoningEffort != "low" {
		t.Errorf("%+v", b)
	}
}

func TestASystemMessageIsAlwaysSent(t *testing.T) {
	t.Parallel()
	m, s := play(t, openaitest.Reply{Frames: openaitest.Whole([]string{"x"}, "stop", 1, 1)})
	llmtest.Read(t.Context(), t, m, llm.Request{Messages: []llm.Message{{Role: llm.User, Text: "q"}}})
	if b := s.Requests()[0].Body; len(b.Messages) != 2 || b.Messages[0].Role != "system" || b.Messages[0].Content == "" || *b.MaxTokens != 2048 {
		t.Errorf("%+v", b)
	}
}

func TestARefusedParameterIsLeftOutFromThenOn(t *testing.T) {
	t.Parallel()
	refusals := map[string]func(openaitest.Body) bool{
		`Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.`: func(b openaitest.Body) bool { return b.MaxTokens != nil },
		`[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}]`:  func(b openaitest.Body) bool { return b.StreamOptions != nil },
		`Unsupported value: 'temperature' does not support 0.1 with this model. Only the default (1) is supported.`:  func(b openaitest.Body) bool { return b.Temperature != nil },
	}
	s := openaitest.Start(t, func(r openaitest.Request) openaitest.Reply {
		for message, refused := range refusals {
			if refused(r.Body) {
				return openaitest.Refuse(400, "invalid_request_error", nil, message)
			}
		}
		return openaitest.Reply{Frames: []string{openaitest.Text("yes"), openaitest.Finish("stop"), openaitest.Done()}}
	})
	m := open(t, s, nil)
	for range 2 {
		if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Text != "yes" || got.Err != nil {
			t.Fatalf("%+v", got)
		}
	}
	if n, _ := s.Log.Calls(); n != 5 {
		t.Errorf("%d calls, want three refusals and two answers", n)
	}
	last := s.Requests()[4].Body
	if last.MaxTokens != nil || *last.MaxCompletionTokens != 64 || last.StreamOptions != nil || last.Temperature != nil {
		t.Errorf("%+v", last)
	}
}

func TestAParameterThatIsNeverTakenIsARefusal(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"max_tokens", "messages"} {
		s := openaitest.Start(t, func(r openaitest.Request) openaitest.Reply {
			if name == "max_tokens" && r.Body.MaxCompletionTokens != nil {
				return openaitest.RefuseParameter("max_completion_tokens", "Unsupported parameter.")
			}
			return openaitest.RefuseParameter(name, "Unsupported parameter.")
		})
		got := llmtest.Read(t.Context(), t, open(t, s, nil), llmtest.Question())
		if code, _ := fault.Public(got.Err); code != "model_refused" {
			t.Errorf("%s: %v", name, got.Err)
		}
		if n, _ := s.Log.Calls(); n > 2 {
			t.Errorf("%s: %d calls", name, n)
		}
	}
}

func TestErrorsAsServersWordThem(t *testing.T) {
	t.Parallel()
	type verdict struct{ Class, Code string }
	tests := map[string]struct {
		status int
		body   string
		want   verdict
	}{
		"llama.cpp overflow":           {400, `{"error":{"code":400,"message":"request (12030 tokens) exceeds the available context size (8192 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":12030,"n_ctx":8192}}`, verdict{"permanent", "prompt_too_long"}},
		"llama.cpp loading":            {503, `{"error":{"message":"Loading model","type":"unavailable_error","code":503}}`, verdict{"transient", "model_unavailable"}},
		"llama.cpp key":                {401, `{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}`, verdict{"permanent", "model_unauthorized"}},
		"vLLM overflow":                {400, `{"object":"error","message":"This model's maximum context length is 8192 tokens. However, you requested 9000 tokens","type":"BadRequestError","param":null,"code":400}`, verdict{"permanent", "prompt_too_long"}},
		"Ollama no model":              {404, `{"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error","param":null,"code":null}}`, verdict{"permanent", "model_not_found"}},
		"a bare string":                {400, `{"error":"no model loaded"}`, verdict{"permanent", "model_refused"}},
		"FastAPI":                      {422, `{"detail":[{"loc":["body","n"],"msg":"bad"}]}`, verdict{"permanent", "model_refused"}},
		"no credit":                    {429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, verdict{"permanent", "model_no_credit"}},
		"a country":                    {403, `{"error":{"message":"Country not supported","type":"request_forbidden","code":"unsupported_country_region_territory"}}`, verdict{"permanent", "model_unauthorized"}},
		"payment required":             {402, `{"error":{"message":"Insufficient credits","code":402}}`, verdict{"permanent", "model_no_credit"}},
		"too large":                    {413, `<html>`, verdict{"permanent", "prompt_too_long"}},
		"a web page":                   {404, `404 page not found`, verdict{"permanent", "model_protocol"}},
		"an answer without a stream":   {200, `{"id":"x","choices":[{"message":{"content":"hi"}}]}`, verdict{"permanent", "model_protocol"}},
		"an error with a good status":  {200, `{"error":{"message":"Provider returned error","code":429}}`, verdict{"throttled", "throttled"}},
		"an error of an unknown shape": {400, `{"error":[1]}`, verdict{"permanent", "model_refused"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, s := play(t, openaitest.Reply{Status: tt.status, Body: tt.body})
			got := llmtest.Read(t.Context(), t, m, llmtest.Question())
			code, _ := fault.Public(got.Err)
			if diff := cmp.Diff(tt.want, verdict{fault.Of(got.Err).String(), code}); got.Err == nil || diff != "" {
				t.Errorf("%+v (-want +got):\n%s", got, diff)
			}
			if n, _ := s.Log.Calls(); n != 1 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

func TestErrorsInsideAStream(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		frame string
		class fault.Class
		code  string
	}{
		"a rate limit":        {openaitest.Failed("rate_limit_error", nil, "slow down"), fault.Throttled, "throttled"},
		"a status as code":    {openaitest.Failed("server_error", 503, "gone"), fault.Transient, "model_unavailable"},
		"a bad request":       {openaitest.Failed("invalid_request_error", nil, "bad"), fault.Permanent, "model_refused"},
		"nothing but words":   {openaitest.Raw(`{"error":"out of memory"}`), fault.Transient, "model_unavailable"},
		"the context is full": {openaitest.Failed("invalid_request_error", "context_length_exceeded", "too long"), fault.Permanent, "prompt_too_long"},
	} {
		m, _ := play(t, openaitest.Reply{Frames: []string{openaitest.Text("a"), tt.frame}})
		got := llmtest.Read(t.Context(), t, m, llmtest.Question())
		if code, _ := fault.Public(got.Err); !fault.Is(got.Err, tt.class) || code != tt.code || got.Text != "a" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAnEventOfTheWrongShapeEndsInTruncation(t *testing.T) {
	t.Parallel()
	// The SDK reads what it can of an event, so nothing is wrong but that no end comes.
	m, _ := play(t, openaitest.Reply{Frames: []string{openaitest.Text("a"), openaitest.Raw(`{"choices":"none"}`)}})
	if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Err != nil || got.Finish != llm.Truncated || got.Text != "a" {
		t.Errorf("%+v", got)
	}
}

func TestFinishReasons(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]llm.Finish{
		"stop": llm.Stopped, "eos": llm.Stopped, "length": llm.Truncated, "content_filter": llm.Filtered,
		"tool_calls": llm.Truncated, "abort": llm.Truncated, "a_new_one": llm.Truncated,
	} {
		m, _ := play(t, openaitest.Reply{Frames: openaitest.Whole([]string{"x"}, reason, 5, 2)})
		got := llmtest.Read(t.Context(), t, m, llmtest.Question())
		if got.Err != nil || got.Finish != want || got.Usage != (llm.Usage{PromptTokens: 5, CompletionTokens: 2}) {
			t.Errorf("%s: got %+v, want %s and 5/2 tokens", reason, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]openaitest.Reply{
		"as a delta": {Frames: []string{
			openaitest.Role(""), openaitest.Delta(map[string]any{"refusal": "I'm sorry, "}), openaitest.Delta(map[string]any{"refusal": "no."}),
			openaitest.Finish("stop"), openaitest.Done(),
		}},
		"as a delta without an end": {Frames: []string{openaitest.Delta(map[string]any{"refusal": "no"})}},
		"of the prompt, by status":  openaitest.Refuse(400, "invalid_request_error", "content_filter", "The response was filtered"),
		"inside the stream":         {Frames: []string{openaitest.Failed("content_filter", "content_filter", "filtered")}},
	} {
		m, _ := play(t, reply)
		if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Err != nil || got.Finish != llm.Filtered || got.Text != "" {
			t.Errorf("%s: got %+v, want filtered", name, got)
		}
	}
}

func TestThoughtsAreNotText(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		deltas []string
		want   string
	}{
		"a field of its own":     {nil, "yes"},
		"marked":                 {[]string{"<think>hm</think>\n\nyes"}, "yes"},
		"marked in pieces":       {[]string{"\n<th", "ink>", "h", "m </th", "ink>", "\n", "\n", "y", "es"}, "yes"},
		"never ended":            {[]string{"<think>", "hm"}, ""},
		"nothing after it":       {[]string{"<think>hm</think>"}, ""},
		"what only begins alike": {[]string{"<th", "e> yes"}, "<the> yes"},
		"what is cut off":        {[]string{" <thi"}, " <thi"},
		"in the middle":          {[]string{"a <think>b</think>"}, "a <think>b</think>"},
		"space before an answer": {[]string{" ", "yes"}, " yes"},
	} {
		frames := []string{openaitest.Role(nil), openaitest.Delta(map[string]any{"reasoning_content": "hm", "content": nil})}
		for _, d := range tt.deltas {
			frames = append(frames, openaitest.Text(d))
		}
		if tt.deltas == nil {
			frames = append(frames, openaitest.Text("yes"))
		}
		m, _ := play(t, openaitest.Reply{Frames: append(frames, openaitest.Finish("stop"), openaitest.Done())})
		if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Text != tt.want || got.Err != nil {
			t.Errorf("%s: got %+v, want %q", name, got, tt.want)
		}
	}
}

func TestACompleteAnswerSurvivesTheLossOfItsUsage(t *testing.T) {
	t.Parallel()
	frames := []string{openaitest.Text("yes"), openaitest.Finish("stop")}
	for name, reply := range map[string]openaitest.Reply{
		"never sent": {Frames: frames}, "cut": {Frames: frames, Cut: true}, "silent": {Frames: frames, Hang: true},
	} {
		s := openaitest.Start(t, func(openaitest.Request) openaitest.Reply { return reply })
		m := open(t, s, func(c *openaillm.Config) { c.Silence = llmtest.Short })
		if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Err != nil || got.Finish != llm.Stopped || got.Text != "yes" || got.Usage != (llm.Usage{}) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestPingsInAnAnswerAreNoSilence(t *testing.T) {
	t.Parallel()
	s := openaitest.Start(t, func(openaitest.Request) openaitest.Reply {
		return openaitest.Reply{Frames: openaitest.Whole([]string{"a", "b"}, "stop", 1, 2), Pause: 2 * llmtest.Short, Ping: llmtest.Short / 5}
	})
	m := open(t, s, func(c *openaillm.Config) { c.Silence = llmtest.Short })
	if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Text != "ab" || got.Err != nil {
		t.Errorf("got %+v", got)
	}
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

func TestTheEnvironmentIsNotRead(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-from-the-environment")
	t.Setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
	t.Setenv("OPENAI_ORG_ID", "org-from-the-environment")
	t.Setenv("OPENAI_CUSTOM_HEADERS", "X-From: environment")
	s := openaitest.Start(t, func(openaitest.Request) openaitest.Reply {
		return openaitest.Reply{Frames: openaitest.Whole([]string{"x"}, "stop", 1, 1)}
	})
	m := open(t, s, nil)
	llmtest.Read(t.Context(), t, m, llmtest.Question())
	for name, values := range s.Requests()[0].Header {
		if strings.Contains(strings.Join(values, " "), "environment") {
			t.Errorf("%s: %v", name, values)
		}
	}
	keyless := open(t, s, func(c *openaillm.Config) { c.APIKey = "" })
	if got := llmtest.Read(t.Context(), t, keyless, llmtest.Question()); !fault.Is(got.Err, fault.Permanent) {
		t.Errorf("without a key: %+v", got)
	}
	if h := s.Requests()[1].Header.Get("Authorization"); h != "" {
		t.Errorf("a key came from somewhere: %q", h)
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

func TestConcurrentCallsAgreeOnADialect(t *testing.T) {
	t.Parallel()
	s := openaitest.Start(t, func(r openaitest.Request) openaitest.Reply {
		if r.Body.StreamOptions != nil {
			return openaitest.RefuseParameter("stream_options", "Unknown parameter: 'stream_options'.")
		}
		return openaitest.Reply{Frames: []string{openaitest.Text("a"), openaitest.Finish("stop")}}
	})
	m := open(t, s, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan string, 16)
	for range cap(done) {
		go func() { done <- llmtest.Read(ctx, t, m, llmtest.Question()).Text }()
	}
	for range cap(done) {
		if got := <-done; got != "a" {
			t.Errorf("got %q", got)
		}
	}
}
