package openaillm_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
	"github.com/ragbus/ragbus/pkg/llm/openaillm"
	"github.com/ragbus/ragbus/pkg/llm/openaillm/openaitest"
)

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
	// What can be read of an event is read, so nothing is wrong but that no end comes.
	m, _ := play(t, openaitest.Reply{Frames: []string{openaitest.Text("a"), openaitest.Raw(`{"choices":"none"}`)}})
	if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Err != nil || got.Finish != llm.Truncated || got.Text != "a" {
		t.Errorf("%+v", got)
	}
}

func TestAnEventThatIsNoObjectEndsInAFailureWithoutItsText(t *testing.T) {
	t.Parallel()
	m, _ := play(t, openaitest.Reply{Frames: []string{openaitest.Text("a"), openaitest.Raw(`"` + llmtest.Confidential + `"`)}})
	got := llmtest.Read(t.Context(), t, m, llmtest.Question())
	if !fault.Is(got.Err, fault.Transient) || got.Text != "a" || strings.Contains(got.Err.Error(), llmtest.Confidential) {
		t.Errorf("%+v", got)
	}
}

func TestTextInPartsIsTextAndThinkingInPartsIsNot(t *testing.T) {
	t.Parallel()
	thinking := map[string]any{"type": "thinking", "thinking": []any{map[string]any{"type": "text", "text": "hm"}}}
	part := func(text string) map[string]any { return map[string]any{"type": "text", "text": text} }
	m, _ := play(t, openaitest.Reply{Frames: []string{
		openaitest.Delta(map[string]any{"content": []any{thinking}}), openaitest.Delta(map[string]any{"content": []any{thinking, part("y")}}),
		openaitest.Delta(map[string]any{"content": []any{part("e"), part("s")}}), openaitest.Text("!"), openaitest.Finish("stop"), openaitest.Done(),
	}})
	if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Text != "yes!" || got.Finish != llm.Stopped || got.Err != nil {
		t.Errorf("got %+v", got)
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
