// Package embedserver is embedding models behind HTTP for tests and load: it
// speaks OpenAI's, Gemini's and Cohere's wire formats at once, returns bags of
// words as vectors, with a programmable latency a batch and programmable
// faults. It runs inside a test or as a process of its own (cmd/embedserver).
package embedserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/ragbus/ragbus/pkg/embed/cohereembed/cohereembedtest"
	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
	"github.com/ragbus/ragbus/pkg/embed/genaiembed/genaiembedtest"
	"github.com/ragbus/ragbus/pkg/embed/openaiembed/openaiembedtest"
)

// Behaviour is how the server answers. The zero value answers at once.
type Behaviour struct {
	// LatencyMS passes before each batch is answered, and TextLatencyMS more for each of its texts.
	LatencyMS     int `json:"latency_ms"`
	TextLatencyMS int `json:"text_latency_ms"`
	// Fault happens to every FaultEvery-th batch (0 and 1: to each), counted
	// from the moment the behaviour was set, and FaultTimes times (0: for ever).
	Fault      emulator.Failure `json:"fault"`
	FaultEvery int              `json:"fault_every"`
	FaultTimes int              `json:"fault_times"`
	// RetryAfterS goes with the faults that ask for a pause, in seconds; 0: none.
	RetryAfterS int `json:"retry_after_s"`
}

// Validate returns what is wrong with a behaviour, joined.
func (b Behaviour) Validate() error {
	var errs []error
	if b.LatencyMS < 0 || b.TextLatencyMS < 0 || b.FaultEvery < 0 || b.FaultTimes < 0 || b.RetryAfterS < 0 {
		errs = append(errs, errors.New("a number is negative"))
	}
	if !b.Fault.Known() {
		errs = append(errs, fmt.Errorf("there is no fault %q", b.Fault))
	}
	return errors.Join(errs...)
}

// Stats counts what happened since the start.
type Stats struct {
	// Batches and their Texts, and the Faults among the batches.
	Batches int `json:"batches"`
	Texts   int `json:"texts"`
	Faults  int `json:"faults"`
	// Widest is how many batches of one format were under way at once at most.
	Widest int `json:"widest"`
}

// Server is the models. Make one with [New]; it is an [http.Handler] with
//
//	POST /v1/embeddings                              OpenAI
//	POST /v1beta/models/{model}:batchEmbedContents   Gemini
//	POST /v2/embed                                   Cohere
//	GET  /health                                     200
//	GET  /stats                                      Stats
//	GET, PUT /behaviour                              Behaviour
type Server struct {
	mux       *http.ServeMux
	emulators []*emulator.Server

	mu        sync.Mutex
	behaviour Behaviour
	// since counts batches and faults since the behaviour was set.
	since Stats
	stats Stats
}

// New returns a server that asks for the key as each format sends it, "" for none.
func New(key string, b Behaviour) (*Server, error) {
	s := &Server{mux: http.NewServeMux()}
	if err := s.Set(b); err != nil {
		return nil, err
	}
	for route, wire := range map[string]emulator.Wire{
		"/v1/embeddings": openaiembedtest.Wire{Open: key == ""}, "/v1beta/": genaiembedtest.Wire{}, "/v2/embed": cohereembedtest.Wire{},
	} {
		e := emulator.New(wire, s.reply, emulator.WithKey(key), emulator.WithoutBatches())
		s.emulators = append(s.emulators, e)
		s.mux.Handle(route, e)
	}
	s.mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	s.mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, s.Stats()) })
	s.mux.HandleFunc("GET /behaviour", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, s.Behaviour()) })
	s.mux.HandleFunc("PUT /behaviour", s.put)
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Behaviour returns the current one.
func (s *Server) Behaviour() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour
}

// Set changes the behaviour for all batches that come from now on, and begins to count anew for faults.
func (s *Server) Set(b Behaviour) error {
	if err := b.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour, s.since = b, Stats{}
	return nil
}

// Stats returns what happened so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	out := s.stats
	s.mu.Unlock()
	for _, e := range s.emulators {
		out.Widest = max(out.Widest, e.Widest())
	}
	return out
}

// reply decides about a batch.
func (s *Server) reply(b emulator.Batch) emulator.Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Batches++
	s.stats.Texts += len(b.Texts)
	s.since.Batches++
	out := emulator.Reply{
		Latency: time.Duration(s.behaviour.LatencyMS+s.behaviour.TextLatencyMS*len(b.Texts)) * time.Millisecond,
		Pause:   time.Duration(s.behaviour.RetryAfterS) * time.Second,
	}
	due := s.since.Batches%max(1, s.behaviour.FaultEvery) == 0
	left := s.behaviour.FaultTimes == 0 || s.since.Faults < s.behaviour.FaultTimes
	if s.behaviour.Fault != emulator.None && due && left {
		s.since.Faults++
		s.stats.Faults++
		out.Failure = s.behaviour.Fault
	}
	return out
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
		write(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	write(w, http.StatusOK, b)
}

func write(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
