// Package genaitest is an HTTP server that speaks the Gemini API's streaming
// generation as google.golang.org/genai uses it, and does what a script tells
// it: answers, faults, pauses and cut connections. It is for tests.
package genaitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Key is the API key that the server accepts.
const Key = "AIza-test-key"

// Reply is what the server does with one request.
type Reply struct {
	// Status other than 0 and 200 answers with Error instead of a stream.
	Status int
	Error  Error
	// RetryAfter is sent as a header when it is not "".
	RetryAfter string
	// Raw, when set, is the whole body sent in place of an error object.
	Raw string

	// Header is added to the answer's.
	Header http.Header

	// First is the pause before the first event. The header is sent before it,
	// unless Queued says after it.
	First  time.Duration
	Queued bool
	// Pause is the pause before each other event.
	Pause time.Duration
	// Events are sent one by one, each flushed. See [Text], [Last], [Blocked].
	Events []string
	// Cut breaks the connection after the events, in the middle of another one.
	Cut bool
	// Hang says nothing more after the events until the client leaves.
	Hang bool
}

// Error is the API's error object.
type Error struct {
	Code    int
	Status  string
	Message string
	// RetryDelay is a google.rpc.RetryInfo such as "34s"; "" for none.
	RetryDelay string
	// Reason is a google.rpc.ErrorInfo's; "" for none.
	Reason string
}

// JSON returns the error as the API sends it, in a body and in an event alike.
func (e Error) JSON() string {
	details := []map[string]any{}
	if e.Reason != "" {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": e.Reason})
	}
	if e.RetryDelay != "" {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": e.RetryDelay})
	}
	return encode(map[string]any{"error": map[string]any{"code": e.Code, "status": e.Status, "message": e.Message, "details": details}})
}

// Text returns an event with a piece of the answer.
func Text(text string) string {
	return encode(map[string]any{"candidates": []any{map[string]any{"content": content(map[string]any{"text": text})}}})
}

// Thought returns an event with a piece of the model's thinking.
func Thought(text string) string {
	return encode(map[string]any{"candidates": []any{map[string]any{"content": content(map[string]any{"text": text, "thought": true})}}})
}

// Last returns the event that ends an answer; the tokens are those of prompt, answer and thoughts.
func Last(finishReason string, prompt, answer, thoughts int) string {
	return encode(map[string]any{
		"candidates": []any{map[string]any{"content": content(map[string]any{"text": ""}), "finishReason": finishReason}},
		"usageMetadata": map[string]any{
			"promptTokenCount": prompt, "candidatesTokenCount": answer, "thoughtsTokenCount": thoughts,
			"totalTokenCount": prompt + answer + thoughts,
		},
	})
}

// Blocked returns the only event of a prompt that was refused.
func Blocked(reason string) string {
	return encode(map[string]any{"promptFeedback": map[string]any{"blockReason": reason}})
}

func content(part map[string]any) map[string]any {
	return map[string]any{"role": "model", "parts": []any{part}}
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("genaitest: %v", err)) // maps of strings and numbers encode
	}
	return string(b)
}

// Request is a request as it came.
type Request struct {
	Path   string
	Header http.Header
	Body   struct {
		Contents []struct {
			Role  string
			Parts []struct{ Text string }
		}
		SystemInstruction struct {
			Parts []struct{ Text string }
		}
		GenerationConfig struct {
			MaxOutputTokens int
			Temperature     *float64
			StopSequences   []string
			ThinkingConfig  map[string]any
		}
	}
}

// Server is the emulator.
type Server struct {
	// URL is the base URL for the adapter.
	URL string
	// Closed yields once for each stream that its client abandoned.
	Closed <-chan struct{}

	script   func(Request) Reply
	key      string
	closed   chan struct{}
	left     atomic.Int64
	mu       sync.Mutex
	requests []Request
}

// maxRequests bounds how many requests are remembered.
const maxRequests = 1024

// New returns a server that is not listening. It asks for the key; "" asks for none.
func New(key string, script func(Request) Reply) *Server {
	s := &Server{script: script, key: key, closed: make(chan struct{}, 1024)}
	s.Closed = s.closed
	return s
}

// Start runs a server until the test ends.
func Start(t testing.TB, script func(Request) Reply) *Server {
	t.Helper()
	s := New(Key, script)
	h := httptest.NewServer(s)
	s.URL = h.URL
	t.Cleanup(h.Close)
	return s
}

// Requests returns what came so far, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Left returns how many clients left before the end of their answer.
func (s *Server) Left() int { return int(s.left.Load()) }

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in := Request{Path: r.URL.RequestURI(), Header: r.Header}
	if err := json.NewDecoder(r.Body).Decode(&in.Body); err != nil {
		fail(w, Error{Code: 400, Status: "INVALID_ARGUMENT", Message: "Invalid JSON payload received."}, 400)
		return
	}
	s.mu.Lock()
	if len(s.requests) < maxRequests {
		s.requests = append(s.requests, in)
	}
	s.mu.Unlock()
	switch {
	case r.Method != http.MethodPost || !strings.HasPrefix(in.Path, "/v1beta/models/") || !strings.HasSuffix(in.Path, ":streamGenerateContent?alt=sse"):
		fail(w, Error{Code: 404, Status: "NOT_FOUND", Message: "Not Found"}, 404)
	case s.key != "" && r.Header.Get("X-Goog-Api-Key") != s.key:
		// The real service does not repeat the key; a careless proxy does, and so does this one.
		fail(w, Error{
			Code: 400, Status: "INVALID_ARGUMENT", Reason: "API_KEY_INVALID",
			Message: "API key not valid: " + r.Header.Get("X-Goog-Api-Key"),
		}, 400)
	default:
		s.play(w, r, s.script(in))
	}
}

func fail(w http.ResponseWriter, e Error, status int) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(e.JSON()))
}

func (s *Server) play(w http.ResponseWriter, r *http.Request, reply Reply) {
	maps.Copy(w.Header(), reply.Header)
	if reply.RetryAfter != "" {
		w.Header().Set("Retry-After", reply.RetryAfter)
	}
	if reply.Status != 0 && reply.Status != http.StatusOK {
		if reply.Raw == "" {
			fail(w, reply.Error, reply.Status)
			return
		}
		w.WriteHeader(reply.Status)
		_, _ = w.Write([]byte(reply.Raw))
		return
	}
	if reply.Queued && !s.pause(r, reply.First) {
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	if !reply.Queued && !s.pause(r, reply.First) {
		return
	}
	for i, e := range reply.Events {
		if i > 0 && reply.Pause > 0 && !s.pause(r, reply.Pause) {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\r\n\r\n", e); err != nil {
			s.abandoned()
			return
		}
		_ = flush.Flush()
	}
	switch {
	case reply.Hang:
		<-r.Context().Done()
		s.abandoned()
	case reply.Cut:
		_, _ = fmt.Fprint(w, `data: {"candidates": [{"content": {"parts": [{"te`)
		_ = flush.Flush()
		panic(http.ErrAbortHandler)
	}
}

// abandoned notes that a client left; what nobody takes is forgotten.
func (s *Server) abandoned() {
	s.left.Add(1)
	select {
	case s.closed <- struct{}{}:
	default:
	}
}

// pause waits and reports whether the client is still there.
func (s *Server) pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		s.abandoned()
		return false
	}
}
