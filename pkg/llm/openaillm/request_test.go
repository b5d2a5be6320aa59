package openaillm_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
	"github.com/ragbus/ragbus/pkg/llm/openaillm"
	"github.com/ragbus/ragbus/pkg/llm/openaillm/openaitest"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

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
	if got.Path != "/v1/chat/completions" || got.Header.Get("Authorization") != "Bearer "+openaitest.Key || got.Header.Get("Content-Type") != "application/json" {
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
