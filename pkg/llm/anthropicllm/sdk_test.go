package anthropicllm_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/quick"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/anthropicllm"
	"github.com/ragbus/ragbus/pkg/llm/anthropicllm/anthropictest"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
)

// carrier answers every request with the same stream, without a network.
type carrier struct {
	stream string

	mu   sync.Mutex
	last *http.Request
	body []byte
}

func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.body = r, body
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(c.stream)), Request: r}, nil
}

func (c *carrier) model(t testing.TB, name string) *anthropicllm.Model {
	t.Helper()
	m, err := anthropicllm.New(anthropicllm.Config{APIKey: anthropictest.Key, Model: name, Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sdk is Anthropic's SDK as the adapter would use it for the whole call.
func (c *carrier) sdk() anthropic.MessageService {
	return anthropic.NewMessageService(option.WithBaseURL(anthropicllm.DefaultBaseURL), option.WithAPIKey(anthropictest.Key),
		option.WithHTTPClient(&http.Client{Transport: c}), option.WithMaxRetries(0), option.WithoutOpenTelemetry())
}

// sent is a request without what may differ.
type sent struct {
	Method, URL, Key, Version, ContentType string
	Body                                   map[string]any
}

func (c *carrier) sent(t *testing.T) sent {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.last.Header
	s := sent{Method: c.last.Method, URL: c.last.URL.String(), Key: h.Get("X-Api-Key"), Version: h.Get("Anthropic-Version"), ContentType: h.Get("Content-Type")}
	if err := json.Unmarshal(c.body, &s.Body); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRequestsAreThoseOfTheSDK(t *testing.T) {
	t.Parallel()
	text := anthropic.NewTextBlock
	hot := 0.5
	for name, tt := range map[string]struct {
		model string
		asked llm.Request
		same  anthropic.MessageNewParams
	}{
		"the least": {
			"claude-of-tomorrow",
			llm.Request{Messages: []llm.Message{{Role: llm.User, Text: "q"}}, MaxTokens: 7},
			anthropic.MessageNewParams{MaxTokens: 7, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(text("q"))}},
		},
		"with everything": {
			"claude-haiku-4-5-20251001",
			llm.Request{
				System: "be <brief> & kind \u2028", MaxTokens: 9, Temperature: &hot, Stop: []string{"END", "\n"},
				Messages: []llm.Message{{Role: llm.User, Text: "q\xff1"}, {Role: llm.Assistant, Text: "a1 </x>"}, {Role: "tool", Text: "q2 東"}},
			},
			anthropic.MessageNewParams{
				MaxTokens: 9, System: []anthropic.TextBlockParam{{Text: "be <brief> & kind \u2028"}}, Temperature: anthropic.Float(hot), StopSequences: []string{"END", "\n"},
				Messages: []anthropic.MessageParam{anthropic.NewUserMessage(text("q\xff1")), anthropic.NewAssistantMessage(text("a1 </x>")), anthropic.NewUserMessage(text("q2 東"))},
			},
		},
	} {
		c := &carrier{stream: strings.Join(anthropictest.Whole([]string{"x"}, "end_turn", 1, 1), "")}
		llmtest.Read(t.Context(), t, c.model(t, tt.model), tt.asked)
		got := c.sent(t)
		tt.same.Model = tt.model
		s := c.sdk()
		stream := s.NewStreaming(t.Context(), tt.same)
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(c.sent(t), got); diff != "" {
			t.Errorf("%s (-SDK +own):\n%s", name, diff)
		}
	}
}

// TestAnswersAreReadAsTheSDKReadsThem is no fuzz target: these would have the
// whole SDK compiled anew for coverage, which takes minutes.
func TestAnswersAreReadAsTheSDKReadsThem(t *testing.T) {
	t.Parallel()
	same := func(first, second, reason string, prompt, completion uint16) bool {
		c := &carrier{stream: strings.Join(slices.Concat(
			anthropictest.Start(int(prompt), 7, 3), []string{anthropictest.Thinking("hm"), anthropictest.Text(first), anthropictest.Text(second)},
			anthropictest.Stop(reason, int(completion))), "")}
		text, usage := readWithSDK(t, c)
		got := llmtest.Read(t.Context(), t, c.model(t, "m"), llmtest.Question())
		if got.Err != nil || got.Text != text || got.Usage != usage {
			t.Errorf("got %+v, and by the SDK %q with %+v", got, text, usage)
			return false
		}
		return true
	}
	same("some ", "words", "end_turn", 1500, 3)
	same("\"quoted\" <b>&\n\t\x00\u2028", "東\xff\\u0041", "refusal", 0, 0)
	same("data: {}\n\nevent: error\r", "", "max_tokens", 1, 65535)
	if err := quick.Check(same, &quick.Config{MaxCount: 100}); err != nil {
		t.Error(err)
	}
}

func readWithSDK(t *testing.T, c *carrier) (string, llm.Usage) {
	t.Helper()
	var text strings.Builder
	var u anthropic.Usage
	s := c.sdk()
	stream := s.NewStreaming(t.Context(), anthropic.MessageNewParams{Model: "m", MaxTokens: 1, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("q"))}})
	for stream.Next() {
		event := stream.Current()
		if event.Type == "content_block_delta" && event.Delta.Type == "text_delta" {
			text.WriteString(event.Delta.Text)
		}
		if event.Type == "message_start" {
			u = event.Message.Usage
		}
		if event.Type == "message_delta" {
			u.OutputTokens = max(u.OutputTokens, event.Usage.OutputTokens)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return text.String(), llm.Usage{PromptTokens: int(u.InputTokens + u.CacheReadInputTokens + u.CacheCreationInputTokens), CompletionTokens: int(u.OutputTokens)}
}

// BenchmarkStream reads an answer of 200 pieces with the adapter and, in turns,
// with the SDK alone, which is not even watched for silences. The ratio is how
// many times more processor time the SDK takes, the collection of its garbage included.
func BenchmarkStream(b *testing.B) {
	const pieces, turns, piece = 200, 16, "some words "
	c := &carrier{stream: strings.Join(anthropictest.Whole(slices.Repeat([]string{piece}, pieces), "end_turn", 1500, pieces), "")}
	prompt := strings.Repeat("The keeper rows out to the island once a week. ", 150)
	m, s := c.model(b, ""), c.sdk()
	check := func(n int, err error) {
		if err != nil || n != pieces*len(piece) {
			b.Fatal(n, err)
		}
	}
	own := func() {
		n := 0
		for d, err := range m.Stream(b.Context(), llm.Request{System: "be brief", Messages: []llm.Message{{Role: llm.User, Text: prompt}}}) {
			check(pieces*len(piece), err)
			n += len(d.Text)
		}
		check(n, nil)
	}
	theirs := func() {
		n := 0
		stream := s.NewStreaming(b.Context(), anthropic.MessageNewParams{
			Model: "m", MaxTokens: 4096, System: []anthropic.TextBlockParam{{Text: "be brief"}},
			Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(prompt))},
		})
		for stream.Next() {
			n += len(stream.Current().Delta.Text)
		}
		check(n, stream.Err())
	}
	var mine, sdks time.Duration
	for b.Loop() {
		begin := spent(b)
		for range turns {
			own()
		}
		between := spent(b)
		for range turns {
			theirs()
		}
		mine, sdks = mine+between-begin, sdks+spent(b)-between
	}
	answers := float64(b.N * turns)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(mine.Microseconds())/answers, "own-cpu-µs/answer")
	b.ReportMetric(float64(sdks.Microseconds())/answers, "sdk-cpu-µs/answer")
	b.ReportMetric(float64(sdks)/float64(mine), "ratio")
}

// spent is the processor time of this process so far.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
