// Package emulator is the common part of the HTTP emulators of embedding
// APIs: a request of an API's real format comes in, a script says what shall
// become of it, and real vectors or one of the failures that such services
// have goes out. The format itself is a [Wire], one beside each adapter. A
// [Server] is a plain [http.Handler], for tests and for a process alike.
package emulator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
)

// Key is the API key that every emulator accepts.
const Key = "sk-emulator-0123456789"

// Failure is a way in which a service fails.
type Failure string

// The failures.
const (
	// None: vectors are returned.
	None Failure = ""
	// Throttled: 429, with the reply's Pause when it has one.
	Throttled Failure = "throttled"
	// ServerError: 500 in the API's format.
	ServerError Failure = "server_error"
	// Unavailable: 503 from something in between, in no format; with Pause also as Retry-After.
	Unavailable Failure = "unavailable"
	// NoCredit: the account is used up.
	NoCredit Failure = "no_credit"
	// Refused: 400 for a reason that is none of the others.
	Refused Failure = "refused"
	// TooLong: 400 for the number of tokens.
	TooLong Failure = "too_long"
	// Cut: the connection breaks in the middle of the body.
	Cut Failure = "cut"
	// Malformed: 200 with a body that is not JSON.
	Malformed Failure = "malformed"
	// OddShape: 200 with JSON of another shape.
	OddShape Failure = "odd_shape"
	// Empty: 200 with an empty object.
	Empty Failure = "empty"
	// TooFew and TooMany: a vector less or more than texts.
	TooFew  Failure = "too_few"
	TooMany Failure = "too_many"
	// WrongDimension: vectors one element too long.
	WrongDimension Failure = "wrong_dimension"
	// NaN and Zero: the last vector has no direction.
	NaN  Failure = "nan"
	Zero Failure = "zero"
	// Silent: nothing comes until the client leaves.
	Silent Failure = "silent"
	// Stalled: half of the body comes, then nothing until the client leaves.
	Stalled Failure = "stalled"
	// Redirect: 307 to another place.
	Redirect Failure = "redirect"
)

// Known reports whether there is such a failure.
func (f Failure) Known() bool {
	switch f {
	case None, Throttled, ServerError, Unavailable, NoCredit, Refused, TooLong, Cut, Malformed, OddShape, Empty, TooFew, TooMany,
		WrongDimension, NaN, Zero, Silent, Stalled, Redirect:
		return true
	}
	return false
}

// Reply says what becomes of a request.
type Reply struct {
	Failure Failure
	// Pause is what a throttled service asks for; zero: it does not say.
	Pause time.Duration
	// Latency passes before anything is answered, or until the client leaves.
	Latency time.Duration
}

// Script decides about each request, in the goroutine of its handler. It may
// block, and must be safe for concurrent use.
type Script func(Batch) Reply

// Batch is a request as it was read.
type Batch struct {
	// Call counts the requests, from 1.
	Call int
	// Task is what the request says that the texts are embedded for: an
	// input type, a task type or a prefix; "" where the API has none.
	Task string
	// Texts are without what a model's instructions put before them.
	Texts      []string
	Model      string
	Dimensions int
	// Key is the credential that came.
	Key    string
	Header http.Header
	Path   string
	Body   []byte
}

// Refusal is an error of an API before it has its format.
type Refusal struct {
	Status  int
	Failure Failure
	// WrongKey says that the credential was not accepted.
	WrongKey bool
	Message  string
	Pause    time.Duration
}

// Limits are those that the service enforces. Zero: none.
type Limits struct {
	BatchTexts, BatchTokens, TextTokens int
}

// Wire is an API's format.
type Wire interface {
	// Read returns what a request asks for, or why it is refused.
	Read(r *http.Request, body []byte) (Batch, *Refusal)
	// Answer returns the body with the vectors.
	Answer(b Batch, vectors [][]float32) []byte
	// Refuse returns the status and body, and may set headers.
	Refuse(h http.Header, r Refusal) (status int, body []byte)
	// Odd returns a body that is JSON and not the API's.
	Odd() []byte
	// Limits returns what the real service takes.
	Limits() Limits
}

// Server is an emulator.
type Server struct {
	wire   Wire
	script Script
	key    string
	keep   int
	closed chan struct{}

	mu               sync.Mutex
	batches          []Batch
	calls            int
	inFlight, widest int
}

var _ http.Handler = (*Server)(nil)

// remembered bounds what a server keeps of requests.
const remembered = 1024

// Option changes a server.
type Option func(*Server)

// WithKey sets the key to ask for; "" asks for none. The default is [Key].
func WithKey(key string) Option { return func(s *Server) { s.key = key } }

// WithoutBatches stops the server from remembering requests, as a load test wants.
func WithoutBatches() Option { return func(s *Server) { s.keep = 0 } }

// New returns an emulator. A nil script answers everything at once.
func New(wire Wire, script Script, options ...Option) *Server {
	if script == nil {
		script = func(Batch) Reply { return Reply{} }
	}
	s := &Server{wire: wire, script: script, key: Key, keep: remembered, closed: make(chan struct{}, remembered)}
	for _, o := range options {
		o(s)
	}
	return s
}

// Closed yields once for each request that its client abandoned.
func (s *Server) Closed() <-chan struct{} { return s.closed }

// Batches returns the last requests, oldest first.
func (s *Server) Batches() []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// Widest returns how many requests were under way at the same time at most.
func (s *Server) Widest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.widest
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
	if err != nil {
		s.refuse(w, Refusal{Status: http.StatusBadRequest, Failure: Refused, Message: "The body could not be read."})
		return
	}
	b, refusal := s.wire.Read(r, body)
	b.Header, b.Path, b.Body = r.Header, r.URL.RequestURI(), body
	b.Call = s.enter(b)
	defer s.leave()
	switch {
	case refusal != nil:
	case s.key != "" && b.Key != s.key:
		// The real services do not repeat the key; a careless proxy does, and so does this one.
		refusal = &Refusal{Status: http.StatusUnauthorized, WrongKey: true, Message: "Incorrect API key provided: " + b.Key}
	default:
		refusal = s.tooLarge(b.Texts)
	}
	if refusal != nil {
		s.refuse(w, *refusal)
		return
	}
	reply := s.script(b)
	if !s.pause(r.Context(), reply.Latency) {
		return
	}
	s.play(w, r, b, reply)
}

func (s *Server) enter(b Batch) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	b.Call = s.calls
	if s.keep > 0 {
		if len(s.batches) == s.keep {
			s.batches = append(s.batches[:0], s.batches[1:]...)
		}
		s.batches = append(s.batches, b)
	}
	s.inFlight++
	s.widest = max(s.widest, s.inFlight)
	return b.Call
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
}

// tooLarge enforces the service's own limits.
func (s *Server) tooLarge(texts []string) *Refusal {
	l, total := s.wire.Limits(), 0
	if l.BatchTexts > 0 && len(texts) > l.BatchTexts {
		return &Refusal{Status: http.StatusBadRequest, Failure: Refused, Message: fmt.Sprintf("at most %d requests can be in one batch", l.BatchTexts)}
	}
	for _, text := range texts {
		if text == "" {
			return &Refusal{Status: http.StatusBadRequest, Failure: Refused, Message: "the input cannot be an empty string"}
		}
		n := Tokens(text)
		total += n
		if l.TextTokens > 0 && n > l.TextTokens {
			return &Refusal{Status: http.StatusBadRequest, Failure: TooLong}
		}
	}
	if l.BatchTokens > 0 && total > l.BatchTokens {
		return &Refusal{Status: http.StatusBadRequest, Failure: TooLong}
	}
	return nil
}

// Tokens counts as the emulated services do: each four letters or digits of a
// word, and each other character, is a token, and so is each white space
// beyond the one between two words.
func Tokens(text string) int {
	tokens, letters, spaces := 2, 0, 0
	for _, r := range text {
		switch {
		case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			if letters%4 == 0 {
				tokens++
			}
			letters, spaces = letters+1, 0
		case unicode.IsSpace(r):
			if spaces > 0 {
				tokens++
			}
			letters, spaces = 0, spaces+1
		default:
			tokens, letters, spaces = tokens+1, 0, 0
		}
	}
	return tokens
}

func (s *Server) refuse(w http.ResponseWriter, r Refusal) {
	w.Header().Set("Content-Type", "application/json")
	status, body := s.wire.Refuse(w.Header(), r)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (s *Server) play(w http.ResponseWriter, r *http.Request, b Batch, reply Reply) {
	refusal := Refusal{Failure: reply.Failure, Pause: reply.Pause, Message: "scripted: " + string(reply.Failure)}
	switch reply.Failure {
	case Throttled, NoCredit:
		refusal.Status = http.StatusTooManyRequests
	case ServerError:
		refusal.Status = http.StatusInternalServerError
	case Refused, TooLong:
		refusal.Status = http.StatusBadRequest
	case Unavailable:
		if reply.Pause > 0 {
			w.Header().Set("Retry-After", fmt.Sprint(int(reply.Pause.Seconds())))
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<html>upstream connect error "+b.Key+"</html>")
		return
	case Redirect:
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		return
	case Silent:
		s.hang(r)
		return
	case Malformed:
		s.write(w, []byte(`{"embeddings": [[0.1, 0.`))
		return
	case OddShape:
		s.write(w, s.wire.Odd())
		return
	case Empty:
		s.write(w, []byte(`{}`))
		return
	default:
		s.answer(w, r, b, reply.Failure)
		return
	}
	s.refuse(w, refusal)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, b Batch, failure Failure) {
	vectors, err := vectors(r.Context(), b, failure)
	if err != nil {
		s.refuse(w, Refusal{Status: http.StatusBadRequest, Failure: Refused, Message: err.Error()})
		return
	}
	body := s.wire.Answer(b, vectors)
	switch failure {
	case Cut, Stalled:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		if failure == Cut {
			panic(http.ErrAbortHandler)
		}
		s.hang(r)
	default:
		s.write(w, body)
	}
}

func (s *Server) write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func (s *Server) hang(r *http.Request) {
	<-r.Context().Done()
	s.left()
}

// pause waits and reports whether the client is still there.
func (s *Server) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		s.left()
		return false
	}
}

// left notes a client that went away, as long as somebody counts.
func (s *Server) left() {
	select {
	case s.closed <- struct{}{}:
	default:
	}
}

// vectors embeds the texts as bags of words, not at unit length, as some services do.
func vectors(ctx context.Context, b Batch, failure Failure) ([][]float32, error) {
	dimensions := b.Dimensions
	if failure == WrongDimension {
		dimensions++
	}
	e, err := scriptembed.New(scriptembed.Config{Dimensions: dimensions})
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(b.Texts))
	for i, text := range b.Texts {
		texts[i] = strings.TrimSpace(text)
	}
	out, err := e.Embed(ctx, embed.Passage, texts)
	if err != nil {
		return nil, err
	}
	for _, v := range out {
		for i := range v {
			v[i] *= 3
		}
	}
	last := len(out) - 1
	switch failure {
	case TooFew:
		out = out[:last]
	case TooMany:
		out = append(out, out[last])
	case NaN:
		var zero float32
		out[last][0] = zero / zero
	case Zero:
		clear(out[last])
	default:
	}
	return out, nil
}
