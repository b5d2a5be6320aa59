// Package anthropictest is an HTTP server that speaks the streaming half of
// Anthropic's Messages API as anthropic-sdk-go uses it, and does what a script
// tells it: answers, faults, pauses and cut connections. It is for tests.
package anthropictest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/llm/internal/playback"
)

// Key is the API key that the server accepts.
const Key = "sk-ant-test-0123456789"

// Reply is what the server does with one request. Fill Frames with [Start],
// [Text], [Thinking], [Stop] and [Failed], or with [Whole].
type Reply = playback.Reply

// Request is a request as it came.
type Request struct {
	Path   string
	Header http.Header
	// Raw is the body as it came, Body what it says.
	Raw  string
	Body Body
}

// Body is a request for a message.
type Body struct {
	Model    string
	System   []struct{ Text string }
	Messages []struct {
		Role    string
		Content []struct{ Text string }
	}
	Stream        bool
	MaxTokens     int      `json:"max_tokens"`
	Temperature   *float64 `json:"temperature"`
	StopSequences []string `json:"stop_sequences"`
	OutputConfig  struct{ Effort string }
}

// Prompt returns the text of all messages.
func (b Body) Prompt() string {
	var all strings.Builder
	for _, m := range b.Messages {
		for _, c := range m.Content {
			all.WriteString(c.Text)
			all.WriteByte('\n')
		}
	}
	return all.String()
}

// Script decides what to do. It is called once for each accepted request, concurrently.
type Script func(Request) Reply

// Server is the emulator. It is an [http.Handler] for use without a test.
type Server struct {
	// URL is the base URL for the adapter, when the server was started with [Start].
	URL string
	// Log tells what came and who left.
	Log playback.Log[Request]

	script Script
	key    string
}

// New returns a server that is not listening. It asks for the key; "" asks for none.
func New(key string, script Script) *Server { return &Server{script: script, key: key} }

// Serve runs a server until the test ends.
func Serve(t testing.TB, script Script) *Server {
	t.Helper()
	s := New(Key, script)
	h := httptest.NewServer(s)
	s.URL = h.URL
	t.Cleanup(h.Close)
	return s
}

// Requests returns what came so far, oldest first.
func (s *Server) Requests() []Request { return s.Log.Requests() }

// Closed yields once for each stream that its client abandoned.
func (s *Server) Closed() <-chan struct{} { return s.Log.Closed() }

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in := Request{Path: r.URL.RequestURI(), Header: r.Header}
	var raw json.RawMessage
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 32<<20)).Decode(&raw)
	if err == nil {
		in.Raw = string(raw)
		err = json.Unmarshal(raw, &in.Body)
	}
	leave := s.Log.Enter(in)
	defer leave()
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/v1/messages":
		playback.Play(w, r, Refuse(404, "not_found_error", "Not Found"), s.Log.Abandoned)
	case s.key != "" && r.Header.Get("X-Api-Key") != s.key:
		// The real service does not repeat the key; a careless proxy does, and so does this one.
		playback.Play(w, r, Refuse(401, "authentication_error", "invalid x-api-key: "+r.Header.Get("X-Api-Key")), s.Log.Abandoned)
	case r.Header.Get("Anthropic-Version") == "":
		playback.Play(w, r, Refuse(400, "invalid_request_error", "anthropic-version: header is required"), s.Log.Abandoned)
	case err != nil || in.Body.MaxTokens < 1 || len(in.Body.Messages) == 0 || in.Body.Messages[0].Role != "user":
		playback.Play(w, r, Refuse(400, "invalid_request_error", "max_tokens and a first message of the user are required"), s.Log.Abandoned)
	case !in.Body.Stream:
		playback.Play(w, r, Refuse(400, "invalid_request_error", "this emulator only streams"), s.Log.Abandoned)
	default:
		playback.Play(w, r, s.script(in), s.Log.Abandoned)
	}
}

// Refuse returns an error as the API sends it.
func Refuse(status int, kind, message string) Reply {
	return Reply{Status: status, Body: problem(kind, message)}
}

func problem(kind, message string) string {
	return encode(map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": message}, "request_id": "req_test"})
}

// Start returns the frames that begin an answer: the message with the prompt's
// tokens, of which some come from or go to the cache, and a ping.
func Start(prompt, cacheRead, cacheWritten int) []string {
	return []string{
		frame("message_start", map[string]any{"message": map[string]any{
			"id": "msg_test", "type": "message", "role": "assistant", "model": "test", "content": []any{}, "stop_reason": nil, "stop_sequence": nil,
			"usage": map[string]any{"input_tokens": prompt, "cache_read_input_tokens": cacheRead, "cache_creation_input_tokens": cacheWritten, "output_tokens": 1},
		}}),
		frame("content_block_start", map[string]any{"index": 0, "content_block": map[string]any{"type": "text", "text": ""}}),
		frame("ping", map[string]any{}),
	}
}

// Text returns a frame with a piece of the answer. Load tests send very many
// of them: only the text is encoded anew.
func Text(text string) string {
	const (
		head = "event: content_block_delta\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":`
		tail = "}}\n\n"
	)
	return head + encode(text) + tail
}

// Thinking returns a frame with a piece of the model's thinking.
func Thinking(text string) string {
	return frame("content_block_delta", map[string]any{"index": 0, "delta": map[string]any{"type": "thinking_delta", "thinking": text}})
}

// Stop returns the frames that end an answer. A nil reason says nothing.
func Stop(reason any, completion int) []string {
	return []string{
		frame("content_block_stop", map[string]any{"index": 0}),
		frame("message_delta", map[string]any{
			"delta": map[string]any{"stop_reason": reason, "stop_sequence": nil},
			"usage": map[string]any{"output_tokens": completion},
		}),
		frame("message_stop", map[string]any{}),
	}
}

// Failed returns an error inside a stream.
func Failed(kind, message string) string {
	return "event: error\ndata: " + problem(kind, message) + "\n\n"
}

// Raw returns a frame with any data.
func Raw(event, data string) string { return "event: " + event + "\ndata: " + data + "\n\n" }

// Whole returns the frames of a complete answer.
func Whole(deltas []string, reason string, prompt, completion int) []string {
	frames := Start(prompt, 0, 0)
	for _, d := range deltas {
		frames = append(frames, Text(d))
	}
	return append(frames, Stop(reason, completion)...)
}

func frame(event string, data map[string]any) string {
	data["type"] = event
	return Raw(event, encode(data))
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("anthropictest: %v", err)) // maps of strings and numbers encode
	}
	return string(b)
}
