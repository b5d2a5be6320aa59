// Package openaitest is an HTTP server that speaks OpenAI's streaming chat
// completions as openai-go and its many imitators do, and does what a script
// tells it: answers, faults, pauses and cut connections. It is for tests.
package openaitest

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
const Key = "sk-test-0123456789"

// Reply is what the server does with one request. Fill Frames with [Role],
// [Text], [Finish], [Usage], [Failed] and [Done].
type Reply = playback.Reply

// Request is a request as it came.
type Request struct {
	Path   string
	Header http.Header
	// Raw is the body as it came, Body what it says.
	Raw  string
	Body Body
}

// Body is a chat completion request.
type Body struct {
	Model    string
	Messages []struct {
		Role    string
		Content string
	}
	Stream        bool
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           *int     `json:"max_tokens"`
	MaxCompletionTokens *int     `json:"max_completion_tokens"`
	Temperature         *float64 `json:"temperature"`
	ReasoningEffort     string   `json:"reasoning_effort"`
	Stop                any      `json:"stop"`
}

// Prompt returns the text of all messages.
func (b Body) Prompt() string {
	var all strings.Builder
	for _, m := range b.Messages {
		all.WriteString(m.Content)
		all.WriteByte('\n')
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

// Start runs a server until the test ends.
func Start(t testing.TB, script Script) *Server {
	t.Helper()
	s := New(Key, script)
	h := httptest.NewServer(s)
	s.URL = h.URL + "/v1"
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
	case r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions":
		playback.Play(w, r, Refuse(404, "invalid_request_error", "unknown_url", "Unknown request URL: "+r.Method+" "+r.URL.Path), s.Log.Abandoned)
	case s.key != "" && r.Header.Get("Authorization") != "Bearer "+s.key:
		// OpenAI masks the key it repeats; a careless proxy does not, and neither does this one.
		playback.Play(w, r, Refuse(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: "+r.Header.Get("Authorization")), s.Log.Abandoned)
	case err != nil:
		playback.Play(w, r, Refuse(400, "invalid_request_error", nil, "We could not parse the JSON body of your request."), s.Log.Abandoned)
	case !in.Body.Stream:
		playback.Play(w, r, Refuse(400, "invalid_request_error", nil, "this emulator only streams"), s.Log.Abandoned)
	default:
		playback.Play(w, r, s.script(in), s.Log.Abandoned)
	}
}

// Refuse returns an error as OpenAI sends it. The code may be a string, a number (llama.cpp) or nil.
func Refuse(status int, kind string, code any, message string) Reply {
	return Reply{Status: status, Body: Problem(kind, code, nil, message)}
}

// RefuseParameter returns the error for a parameter that the model does not take.
func RefuseParameter(name, message string) Reply {
	return Reply{Status: 400, Body: Problem("invalid_request_error", "unsupported_parameter", name, message)}
}

// Problem returns OpenAI's error object.
func Problem(kind string, code, param any, message string) string {
	return encode(map[string]any{"error": map[string]any{"message": message, "type": kind, "param": param, "code": code}})
}

// Role returns the first event of an answer: a role and no text yet. OpenAI
// sends "" for the text, llama.cpp null.
func Role(content any) string {
	return event([]any{choice(map[string]any{"role": "assistant", "content": content}, nil)}, nil)
}

// Text returns an event with a piece of the answer. Load tests send very many
// of them: only the text is encoded anew.
func Text(text string) string {
	const (
		head = `data: {"id":"chatcmpl-test","object":"chat.completion.chunk","created":1,"model":"test","choices":[{"index":0,"delta":{"content":`
		tail = `},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n"
	)
	return head + encode(text) + tail
}

// Delta returns an event with any delta, e.g. a refusal or a piece of reasoning.
func Delta(delta map[string]any) string { return event([]any{choice(delta, nil)}, nil) }

// Finish returns the event that ends an answer.
func Finish(reason string) string {
	return event([]any{choice(map[string]any{}, reason)}, nil)
}

// Usage returns the event that follows the end when stream_options ask for it.
func Usage(prompt, completion int) string {
	return event([]any{}, map[string]any{"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

// Failed returns an error inside a stream.
func Failed(kind string, code any, message string) string {
	return "data: " + Problem(kind, code, nil, message) + "\n\n"
}

// Done returns the last line of a stream.
func Done() string { return "data: [DONE]\n\n" }

// Raw returns an event with any data.
func Raw(data string) string { return "data: " + data + "\n\n" }

// Whole returns the frames of a complete answer.
func Whole(deltas []string, reason string, prompt, completion int) []string {
	frames := []string{Role("")}
	for _, d := range deltas {
		frames = append(frames, Text(d))
	}
	return append(frames, Finish(reason), Usage(prompt, completion), Done())
}

func choice(delta map[string]any, finish any) map[string]any {
	return map[string]any{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": finish}
}

func event(choices []any, usage any) string {
	return "data: " + encode(map[string]any{
		"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 1, "model": "test",
		"choices": choices, "usage": usage,
	}) + "\n\n"
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("openaitest: %v", err)) // maps of strings and numbers encode
	}
	return string(b)
}
