// Package modelserver is a language model behind HTTP for tests and load: it
// speaks OpenAI's, Anthropic's and Gemini's wire formats at once, answers the
// platform's own prompts with citations that hold, at a programmable pace and
// with programmable faults. It runs inside a test or as a process of its own
// (cmd/modelserver). It knows nothing and costs nothing.
package modelserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ragbus/ragbus/pkg/llm/anthropicllm/anthropictest"
	"github.com/ragbus/ragbus/pkg/llm/genaillm/genaitest"
	"github.com/ragbus/ragbus/pkg/llm/modelserver/internal/author"
	"github.com/ragbus/ragbus/pkg/llm/openaillm/openaitest"
)

// Fault is a way to fail.
type Fault string

// The faults.
const (
	// Healthy answers.
	Healthy Fault = ""
	// Throttle is 429, with a delay when Behaviour has one.
	Throttle Fault = "throttle"
	// Fail is 500, Overload 503.
	Fail     Fault = "fail"
	Overload Fault = "overload"
	// WrongKey is the refusal of the key, Overflow that of the prompt's size.
	WrongKey Fault = "wrong_key"
	Overflow Fault = "overflow"
	// Block is a refusal for the content, told as a finish reason.
	Block Fault = "block"
	// Cut breaks the connection, Malformed sends what is no JSON, EndEarly ends
	// without a reason, Hang goes silent: each after FaultAfter tokens.
	Cut       Fault = "cut"
	Malformed Fault = "malformed"
	EndEarly  Fault = "end_early"
	Hang      Fault = "hang"
)

// Behaviour is how the server answers. The zero value answers at once.
type Behaviour struct {
	// FirstTokenMS is the time to the first token, in milliseconds.
	FirstTokenMS int `json:"first_token_ms"`
	// TokensPerSecond is the pace after that; 0: at once.
	TokensPerSecond float64 `json:"tokens_per_second"`
	// Tokens is the length of an answer in words; 0: as long as it happens to be.
	Tokens int `json:"tokens"`
	// Say is the answer to everything; "": the sentences of the prompt's
	// sources that answer its question, cited.
	Say string `json:"say"`

	// Fault happens to every FaultEvery-th call (0 and 1: to each), counted
	// from the moment the behaviour was set, and FaultTimes times (0: for ever).
	Fault      Fault `json:"fault"`
	FaultEvery int   `json:"fault_every"`
	FaultTimes int   `json:"fault_times"`
	// FaultAfter is how many tokens come before a fault in the middle.
	FaultAfter int `json:"fault_after"`
	// RetryAfterS goes with Throttle and Overload, in seconds; 0: none.
	RetryAfterS int `json:"retry_after_s"`
}

// Validate returns what is wrong with a behaviour, joined.
func (b Behaviour) Validate() error {
	var errs []error
	if b.FirstTokenMS < 0 || b.TokensPerSecond < 0 || b.Tokens < 0 || b.Tokens > 1<<20 || b.FaultEvery < 0 || b.FaultTimes < 0 || b.FaultAfter < 0 || b.RetryAfterS < 0 {
		errs = append(errs, errors.New("a number is negative, or an answer longer than 1,048,576 tokens"))
	}
	switch b.Fault {
	case Healthy, Throttle, Fail, Overload, WrongKey, Overflow, Block, Cut, Malformed, EndEarly, Hang:
	default:
		errs = append(errs, fmt.Errorf("there is no fault %q", b.Fault))
	}
	return errors.Join(errs...)
}

// Stats counts what happened since the start.
type Stats struct {
	// Calls that were begun, Open ones, and those whose client left before the end.
	Calls     int64 `json:"calls"`
	Open      int64 `json:"open"`
	Abandoned int64 `json:"abandoned"`
	// MaxOpen is how many were open at once at most.
	MaxOpen int64 `json:"max_open"`
}

// Server is the model. Make one with [New]; it is an [http.Handler] with
//
//	POST /v1/chat/completions                                  OpenAI
//	POST /v1/messages                                          Anthropic
//	POST /v1beta/models/{model}:streamGenerateContent?alt=sse  Gemini
//	GET  /v1/models, /v1beta/models                            no models, but for a valid key only; not counted
//	GET  /health                                               200
//	GET  /stats                                                Stats
//	GET, PUT /behaviour                                        Behaviour
type Server struct {
	mux *http.ServeMux

	mu        sync.Mutex
	behaviour Behaviour
	since     int
	faults    int

	calls, open, maxOpen atomic.Int64
	// left tells for each format how many clients left before the end.
	left []func() int
}

// New returns a server that asks for the key as each format sends it, "" for none.
func New(key string, b Behaviour) (*Server, error) {
	s := &Server{mux: http.NewServeMux()}
	if err := s.Set(b); err != nil {
		return nil, err
	}
	ai := openaitest.New(key, func(r openaitest.Request) openaitest.Reply { return s.openai(r) })
	claude := anthropictest.New(key, func(r anthropictest.Request) anthropictest.Reply { return s.anthropic(r) })
	gemini := genaitest.New(key, func(r genaitest.Request) genaitest.Reply { return s.gemini(r) })
	// A process that runs for days under load remembers no prompts.
	ai.Log.Keep, claude.Log.Keep = 1, 1
	s.left = []func() int{ai.Log.Left, claude.Log.Left, gemini.Left}
	s.mux.Handle("/v1/chat/completions", s.counted(ai))
	s.mux.Handle("/v1/messages", s.counted(claude))
	s.mux.Handle("/v1beta/", s.counted(gemini))
	list := func(w http.ResponseWriter, r *http.Request) { s.list(w, r, key) }
	s.mux.HandleFunc("GET /v1/models", list)
	s.mux.HandleFunc("GET /v1beta/models", list)
	s.mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	s.mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.Stats()) })
	s.mux.HandleFunc("GET /behaviour", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.Behaviour()) })
	s.mux.HandleFunc("PUT /behaviour", s.put)
	return s, nil
}

// list is asked by whoever wants to know whether a key is valid.
func (s *Server) list(w http.ResponseWriter, r *http.Request, key string) {
	for _, given := range []string{strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), r.Header.Get("X-Api-Key"), r.Header.Get("X-Goog-Api-Key")} {
		if key == "" || given == key {
			reply(w, http.StatusOK, map[string]any{"data": []any{}, "models": []any{}})
			return
		}
	}
	reply(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{"message": "the key is not valid", "type": "authentication_error"}})
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Behaviour returns the current one.
func (s *Server) Behaviour() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour
}

// Set changes the behaviour for all calls that come from now on, and begins to count anew for faults.
func (s *Server) Set(b Behaviour) error {
	if err := b.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour, s.since, s.faults = b, 0, 0
	return nil
}

// Stats returns what happened so far.
func (s *Server) Stats() Stats {
	stats := Stats{Calls: s.calls.Load(), Open: s.open.Load(), MaxOpen: s.maxOpen.Load()}
	for _, left := range s.left {
		stats.Abandoned += int64(left())
	}
	return stats
}

func (s *Server) put(w http.ResponseWriter, r *http.Request) {
	var b Behaviour
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	err := d.Decode(&b)
	if err == nil {
		err = s.Set(b)
	}
	if err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	reply(w, http.StatusOK, b)
}

func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// counted counts calls.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		open := s.open.Add(1)
		for most := s.maxOpen.Load(); open > most && !s.maxOpen.CompareAndSwap(most, open); most = s.maxOpen.Load() {
		}
		defer s.open.Add(-1)
		h.ServeHTTP(w, r)
	})
}

// answer is one call's plan, whatever the format.
type answer struct {
	Behaviour

	tokens []string
	// first and pause are the pace.
	first, pause time.Duration
	// whole says that the answer comes to its end.
	whole  bool
	prompt int
}

// plan decides what happens to a call.
func (s *Server) plan(prompt string) answer {
	s.mu.Lock()
	b := s.behaviour
	s.since++
	if b.Fault != Healthy {
		if s.since%max(1, b.FaultEvery) != 0 || b.FaultTimes > 0 && s.faults >= b.FaultTimes {
			b.Fault = Healthy
		} else {
			s.faults++
		}
	}
	s.mu.Unlock()

	text := b.Say
	if text == "" {
		text = author.Write(prompt)
	}
	a := answer{Behaviour: b, tokens: author.Tokens(text, b.Tokens), whole: true, prompt: strings.Count(prompt, " ") + 1}
	a.first = time.Duration(b.FirstTokenMS) * time.Millisecond
	if b.TokensPerSecond > 0 {
		a.pause = time.Duration(float64(time.Second) / b.TokensPerSecond)
	}
	switch b.Fault {
	case Cut, Malformed, EndEarly, Hang:
		a.tokens, a.whole = a.tokens[:min(b.FaultAfter, len(a.tokens))], false
	case Block:
		a.tokens = nil
	case Healthy, Throttle, Fail, Overload, WrongKey, Overflow:
	}
	return a
}

// refusal returns the status of a fault that sends no stream, or 0.
func (f Fault) refusal() int {
	switch f {
	case Throttle:
		return http.StatusTooManyRequests
	case Fail:
		return http.StatusInternalServerError
	case Overload:
		return http.StatusServiceUnavailable
	case WrongKey:
		return http.StatusUnauthorized
	case Overflow:
		return http.StatusBadRequest
	case Healthy, Block, Cut, Malformed, EndEarly, Hang:
	}
	return 0
}

// notJSON is what Malformed sends.
const notJSON = `{"choices":[{"delta":{"content":"`
