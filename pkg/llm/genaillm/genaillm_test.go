package genaillm_test

import (
	"bytes"
	"context"
	"errors"
	"log"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/genaillm"
	"github.com/ragbus/ragbus/pkg/llm/genaillm/genaitest"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

func TestMain(m *testing.M) {
	// The SDK reports broken streams to the standard logger. The adapter's
	// promise is that it does not come to that.
	var said bytes.Buffer
	log.SetOutput(&said)
	goleak.VerifyTestMain(loud{m, &said})
}

type loud struct {
	m    *testing.M
	said *bytes.Buffer
}

func (l loud) Run() int {
	code := l.m.Run()
	if l.said.Len() > 0 {
		println("the standard logger was written to: " + l.said.String())
		return 1
	}
	return code
}

func open(t *testing.T, s *genaitest.Server, change func(*genaillm.Config)) *genaillm.Model {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := genaillm.Config{APIKey: genaitest.Key, BaseURL: s.URL, Transport: transport}
	if change != nil {
		change(&cfg)
	}
	m, err := genaillm.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func play(t *testing.T, r genaitest.Reply) (*genaillm.Model, *genaitest.Server) {
	t.Helper()
	s := genaitest.Start(t, func(genaitest.Request) genaitest.Reply { return r })
	return open(t, s, nil), s
}

// perform is the provider's half of a scenario.
func perform(s llmtest.Scenario) genaitest.Reply {
	r := genaitest.Reply{}
	for _, d := range s.Deltas {
		r.Events = append(r.Events, genaitest.Text(d))
	}
	refuse := func(e genaitest.Error) genaitest.Reply { return genaitest.Reply{Status: e.Code, Error: e} }
	switch s.Failure {
	case llmtest.None, llmtest.Hasty:
		reason := map[llm.Finish]string{llm.Stopped: "STOP", llm.Truncated: "MAX_TOKENS", llm.Filtered: "SAFETY"}[s.Finish]
		r.Events = append(r.Events, genaitest.Last(reason, s.Usage.PromptTokens, s.Usage.CompletionTokens, 0))
	case llmtest.Throttled:
		r = refuse(genaitest.Error{Code: 429, Status: "RESOURCE_EXHAUSTED", RetryDelay: "7s"})
	case llmtest.ThrottledByDate:
		r = refuse(genaitest.Error{Code: 429, Status: "RESOURCE_EXHAUSTED"})
		r.RetryAfter = time.Now().Add(llmtest.Pause).UTC().Format(http.TimeFormat)
	case llmtest.ThrottledPlain:
		r = refuse(genaitest.Error{Code: 429, Status: "RESOURCE_EXHAUSTED"})
	case llmtest.Refused:
		r = refuse(genaitest.Error{Code: 403, Status: "PERMISSION_DENIED"})
	case llmtest.NoModel:
		r = refuse(genaitest.Error{Code: 404, Status: "NOT_FOUND", Message: "models/x is not found"})
	case llmtest.WrongKey:
		r = refuse(genaitest.Error{Code: 400, Status: "INVALID_ARGUMENT", Reason: "API_KEY_INVALID", Message: "API key not valid: " + genaitest.Key})
	case llmtest.Overflow:
		r = refuse(genaitest.Error{Code: 400, Status: "INVALID_ARGUMENT", Message: "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."})
	case llmtest.Internal:
		r = refuse(genaitest.Error{Code: 500, Status: "INTERNAL"})
	case llmtest.Overloaded:
		r = refuse(genaitest.Error{Code: 503, Status: "UNAVAILABLE", Message: "The model is overloaded."})
	case llmtest.BadGateway:
		r = genaitest.Reply{Status: 502, Raw: strings.Repeat("<p>", 1<<20), Header: http.Header{"Content-Type": {"text/html"}}}
	case llmtest.Redirected:
		r = genaitest.Reply{Status: 307, Raw: "elsewhere", Header: http.Header{"Location": {"/elsewhere"}}}
	case llmtest.Unavailable:
		if len(s.Deltas) == 0 {
			r = refuse(genaitest.Error{Code: 503, Status: "UNAVAILABLE"})
		}
		r.Cut = true
	case llmtest.Malformed:
		r.Events = append(r.Events, `{"candidates": [{"content": {"parts": [{"text": "`+llmtest.Confidential)
	case llmtest.Failing:
		r.Events = append(r.Events, genaitest.Error{Code: 503, Status: "UNAVAILABLE"}.JSON())
	case llmtest.EndsEarly:
	case llmtest.Silent, llmtest.Stalled:
		r.Hang = true
	case llmtest.Late, llmtest.Queued:
		r.First, r.Queued = time.Hour, s.Failure == llmtest.Queued
	}
	return r
}

func TestContract(t *testing.T) {
	t.Parallel()
	llmtest.Run(t, func(t *testing.T, s llmtest.Scenario) (llm.Model, <-chan struct{}) {
		t.Helper()
		m, server := play(t, perform(s))
		return m, server.Closed
	})
}

func TestContractOnTheWire(t *testing.T) {
	t.Parallel()
	llmtest.RunWire(t, func(t *testing.T, s llmtest.Scenario) llmtest.Wire {
		t.Helper()
		reply := perform(s)
		server := genaitest.Start(t, func(genaitest.Request) genaitest.Reply { return reply })
		m := open(t, server, func(c *genaillm.Config) {
			switch s.Failure {
			case llmtest.Stalled, llmtest.Hasty:
				c.Silence = llmtest.Short
			case llmtest.Late, llmtest.Queued:
				c.FirstToken = llmtest.Short
			}
		})
		return llmtest.Wire{Model: m, Closed: server.Closed, Key: genaitest.Key, Calls: func() int { return len(server.Requests()) }}
	})
}

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	m, s := play(t, genaitest.Reply{Events: []string{genaitest.Last("STOP", 1, 1, 0)}})
	r := llmtest.Question()
	r.Stop = []string{"END"}
	llmtest.Read(t.Context(), t, m, r)
	got := s.Requests()
	if len(got) != 1 {
		t.Fatalf("%d requests, want 1", len(got))
	}
	if want := "/v1beta/models/" + modelcatalog.DefaultChat(modelcatalog.Gemini) + ":streamGenerateContent?alt=sse"; got[0].Path != want {
		t.Errorf("path %s, want %s", got[0].Path, want)
	}
	var said []string
	for _, c := range got[0].Body.Contents {
		said = append(said, c.Role+": "+c.Parts[0].Text)
	}
	if diff := cmp.Diff([]string{"user: q1", "model: a1", "user: q2"}, said); diff != "" {
		t.Error(diff)
	}
	g := got[0].Body.GenerationConfig
	if got[0].Body.SystemInstruction.Parts[0].Text != "be brief" || g.MaxOutputTokens <= 64 || g.Temperature != nil || len(g.StopSequences) != 1 {
		t.Errorf("settings %+v", got[0].Body)
	}
	if diff := cmp.Diff(map[string]any{"thinkingLevel": "LOW"}, g.ThinkingConfig); diff != "" {
		t.Error(diff)
	}
}

func TestParametersByGeneration(t *testing.T) {
	t.Parallel()
	for model, want := range map[string]struct {
		thinking    map[string]any
		temperature bool
		extra       bool
	}{
		"gemini-3.8-flash":      {map[string]any{"thinkingLevel": "LOW"}, false, true},
		"gemini-flash-latest":   {map[string]any{"thinkingLevel": "LOW"}, false, true},
		"gemini-9-flash":        {map[string]any{"thinkingLevel": "LOW"}, false, true},
		"gemini-2.5-flash-lite": {map[string]any{"thinkingBudget": 512.0}, true, true},
		"gemini-2.5-pro":        {map[string]any{"thinkingBudget": 512.0}, true, true},
		"gemini-2.0-flash":      {nil, true, false},
		"gemma-4-31b-it":        {nil, true, false},
	} {
		s := genaitest.Start(t, func(genaitest.Request) genaitest.Reply {
			return genaitest.Reply{Events: []string{genaitest.Last("STOP", 1, 1, 0)}}
		})
		m := open(t, s, func(c *genaillm.Config) { c.Model = model })
		llmtest.Read(t.Context(), t, m, llmtest.Question())
		g := s.Requests()[0].Body.GenerationConfig
		if diff := cmp.Diff(want.thinking, g.ThinkingConfig); diff != "" {
			t.Errorf("%s: %s", model, diff)
		}
		if (g.Temperature != nil) != want.temperature || g.Temperature != nil && (*g.Temperature < .09 || *g.Temperature > .11) {
			t.Errorf("%s: temperature %v", model, g.Temperature)
		}
		// Thinking counts against the limit, so there has to be room for it.
		if (g.MaxOutputTokens > 64) != want.extra {
			t.Errorf("%s: %d tokens", model, g.MaxOutputTokens)
		}
	}
}

func TestErrorsByStatus(t *testing.T) {
	t.Parallel()
	type verdict struct {
		Class string
		Code  string
		After time.Duration
	}
	unavailable := verdict{Class: "transient", Code: "model_unavailable"}
	tests := map[string]struct {
		reply genaitest.Reply
		want  verdict
	}{
		"429 with a delay": {
			genaitest.Reply{Status: 429, Error: genaitest.Error{Code: 429, RetryDelay: "34.5s"}},
			verdict{"throttled", "throttled", 34500 * time.Millisecond},
		},
		"429 with a header":      {genaitest.Reply{Status: 429, Error: genaitest.Error{Code: 429}, RetryAfter: "9"}, verdict{"throttled", "throttled", 9 * time.Second}},
		"429 without a delay":    {genaitest.Reply{Status: 429, Error: genaitest.Error{Code: 429}}, verdict{"throttled", "throttled", 0}},
		"429 with an absurd one": {genaitest.Reply{Status: 429, Error: genaitest.Error{Code: 429, RetryDelay: "90000s"}}, verdict{"throttled", "throttled", time.Hour}},
		"429 that is not JSON":   {genaitest.Reply{Status: 429, Raw: "<html>slow down"}, verdict{"throttled", "throttled", 0}},
		"500":                    {genaitest.Reply{Status: 500, Error: genaitest.Error{Code: 500, Status: "INTERNAL"}}, unavailable},
		"502 from a proxy":       {genaitest.Reply{Status: 502, Raw: "bad gateway"}, unavailable},
		"503":                    {genaitest.Reply{Status: 503, Error: genaitest.Error{Code: 503, Status: "UNAVAILABLE"}}, unavailable},
		"503 with a delay":       {genaitest.Reply{Status: 503, Error: genaitest.Error{Code: 503, RetryDelay: "2s"}}, verdict{"throttled", "throttled", 2 * time.Second}},
		"504":                    {genaitest.Reply{Status: 504, Error: genaitest.Error{Code: 504, Status: "DEADLINE_EXCEEDED"}}, unavailable},
		"a redirect":             {genaitest.Reply{Status: 307, Raw: "elsewhere"}, unavailable},
		"an error body of 1 MB":  {genaitest.Reply{Status: 500, Raw: strings.Repeat("x", 1<<20)}, unavailable},
		"401":                    {genaitest.Reply{Status: 401, Error: genaitest.Error{Code: 401}}, verdict{"permanent", "model_unauthorized", 0}},
		"403":                    {genaitest.Reply{Status: 403, Error: genaitest.Error{Code: 403}}, verdict{"permanent", "model_unauthorized", 0}},
		"404":                    {genaitest.Reply{Status: 404, Error: genaitest.Error{Code: 404, Message: "models/x is not found"}}, verdict{"permanent", "model_not_found", 0}},
		"400": {
			genaitest.Reply{Status: 400, Error: genaitest.Error{Code: 400, Status: "INVALID_ARGUMENT", Message: "Unknown name"}},
			verdict{"permanent", "model_refused", 0},
		},
		"context overflow": {
			genaitest.Reply{Status: 400, Error: genaitest.Error{Code: 400, Message: "The input token count (1200000) exceeds the maximum number of tokens allowed (1048575)."}},
			verdict{"permanent", "prompt_too_long", 0},
		},
		"an error event in the middle": {
			genaitest.Reply{Events: []string{genaitest.Text("a"), genaitest.Error{Code: 503, Status: "UNAVAILABLE"}.JSON()}},
			unavailable,
		},
		"throttled in the middle": {
			genaitest.Reply{Events: []string{genaitest.Text("a"), genaitest.Error{Code: 429, RetryDelay: "3s"}.JSON()}},
			verdict{"throttled", "throttled", 3 * time.Second},
		},
		"a malformed event":           {genaitest.Reply{Events: []string{genaitest.Text("a"), `{"candidates": [{"secret document text`}}, unavailable},
		"an event of the wrong shape": {genaitest.Reply{Events: []string{`{"candidates": "none"}`}}, unavailable},
		"a cut at once":               {genaitest.Reply{Cut: true}, unavailable},
		"a cut in the middle":         {genaitest.Reply{Events: []string{genaitest.Text("a")}, Cut: true}, unavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, s := play(t, tt.reply)
			out := llmtest.Read(t.Context(), t, m, llmtest.Question())
			if out.Err == nil {
				t.Fatalf("got %+v, want an error", out)
			}
			code, _ := fault.Public(out.Err)
			if diff := cmp.Diff(tt.want, verdict{fault.Of(out.Err).String(), code, fault.RetryAfter(out.Err)}); diff != "" {
				t.Errorf("%v (-want +got):\n%s", out.Err, diff)
			}
			if n := len(s.Requests()); n != 1 {
				t.Errorf("%d requests, want 1: the adapter does not retry", n)
			}
			if len(out.Err.Error()) > 400 || strings.Contains(out.Err.Error(), "secret") {
				t.Errorf("the error quotes what came: %v", out.Err)
			}
		})
	}
}

func TestKeyIsInNoError(t *testing.T) {
	t.Parallel()
	s := genaitest.Start(t, func(genaitest.Request) genaitest.Reply { return genaitest.Reply{} })
	const wrong = "AIza-wrong-key"
	m := open(t, s, func(c *genaillm.Config) { c.APIKey = wrong })
	out := llmtest.Read(t.Context(), t, m, llmtest.Question())
	if code, _ := fault.Public(out.Err); code != "model_unauthorized" || !fault.Is(out.Err, fault.Permanent) {
		t.Errorf("got %v, want a permanent model_unauthorized", out.Err)
	}
	for err := out.Err; err != nil; err = errors.Unwrap(err) {
		if strings.Contains(err.Error(), wrong) {
			t.Errorf("the key is in %q", err)
		}
	}
}

func TestFinishReasons(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]llm.Finish{
		"STOP": llm.Stopped, "MAX_TOKENS": llm.Truncated, "SAFETY": llm.Filtered, "RECITATION": llm.Filtered,
		"PROHIBITED_CONTENT": llm.Filtered, "SPII": llm.Filtered, "BLOCKLIST": llm.Filtered, "LANGUAGE": llm.Filtered,
		"OTHER": llm.Truncated, "MALFORMED_FUNCTION_CALL": llm.Truncated, "A_NEW_ONE": llm.Truncated, "FINISH_REASON_UNSPECIFIED": llm.Truncated,
	} {
		m, _ := play(t, genaitest.Reply{Events: []string{genaitest.Text("x"), genaitest.Last(reason, 5, 2, 3)}})
		got := llmtest.Read(t.Context(), t, m, llmtest.Question())
		if got.Err != nil || got.Finish != want || got.Usage != (llm.Usage{PromptTokens: 5, CompletionTokens: 5}) {
			t.Errorf("%s: got %+v, want %s and 5/5 tokens", reason, got, want)
		}
	}
}

func TestCleanEndWithoutReasonIsTruncated(t *testing.T) {
	t.Parallel()
	for name, events := range map[string][]string{"with text": {genaitest.Text("half")}, "with nothing": nil} {
		m, _ := play(t, genaitest.Reply{Events: events})
		if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Err != nil || got.Finish != llm.Truncated {
			t.Errorf("%s: got %+v, want truncated", name, got)
		}
	}
}

func TestBlockedPrompt(t *testing.T) {
	t.Parallel()
	m, _ := play(t, genaitest.Reply{Events: []string{genaitest.Blocked("PROHIBITED_CONTENT")}})
	if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Err != nil || got.Finish != llm.Filtered || got.Text != "" {
		t.Errorf("got %+v, want filtered", got)
	}
}

func TestThoughtsAreNotText(t *testing.T) {
	t.Parallel()
	m, _ := play(t, genaitest.Reply{Events: []string{genaitest.Thought("hmm"), genaitest.Text("yes"), genaitest.Last("STOP", 1, 1, 9)}})
	if got := llmtest.Read(t.Context(), t, m, llmtest.Question()); got.Text != "yes" || got.Usage.CompletionTokens != 10 {
		t.Errorf("got %+v, want yes and 10 tokens", got)
	}
}

func TestSilenceIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]genaitest.Reply{
		"before the first token": {First: time.Hour},
		"in the middle":          {Events: []string{genaitest.Text("a")}, Hang: true},
	} {
		s := genaitest.Start(t, func(genaitest.Request) genaitest.Reply { return reply })
		m := open(t, s, func(c *genaillm.Config) { c.Silence, c.FirstToken = llmtest.Short, llmtest.Short })
		out := llmtest.Read(t.Context(), t, m, llmtest.Question())
		if code, _ := fault.Public(out.Err); code != "model_unavailable" || !fault.Is(out.Err, fault.Transient) {
			t.Errorf("%s: got %v, want a transient model_unavailable", name, out.Err)
		}
		<-s.Closed
	}
}

func TestDeadlineWhileWaitingForTheFirstToken(t *testing.T) {
	t.Parallel()
	m, s := play(t, genaitest.Reply{First: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if out := llmtest.Read(ctx, t, m, llmtest.Question()); !errors.Is(out.Err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", out.Err)
	}
	<-s.Closed
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	m, err := genaillm.New(t.Context(), genaillm.Config{APIKey: genaitest.Key, BaseURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if out := llmtest.Read(t.Context(), t, m, llmtest.Question()); !fault.Is(out.Err, fault.Transient) {
		t.Errorf("got %v, want transient", out.Err)
	}
}

func TestConfigReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := genaillm.New(t.Context(), genaillm.Config{BaseURL: "ftp://x", Model: "models/x", MaxTokens: 9, ContextTokens: 9, Silence: -1, APIKey: "not a key"})
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{"API key", "base URL", "model name", "context of 9", "silence"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name the %s", err, want)
		}
	}
}
