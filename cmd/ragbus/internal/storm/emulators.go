package storm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
	"github.com/ragbus/ragbus/pkg/embed/embedtest/embedserver"
	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
	"github.com/ragbus/ragbus/pkg/llm/modelserver"
)

// models are the emulators of a writer and of an embedder, with a record of
// what they were paid for.
type models struct {
	writer   *modelserver.Server
	embedder *embedserver.Server
	quests   *regexp.Regexp

	servers []*http.Server
	// writerAt and embedderAt are their addresses.
	writerAt, embedderAt string

	mu sync.Mutex
	// paid are the times of calls that were not refused, by question.
	paid map[string][]time.Time
	// embedded counts how often a text was embedded.
	embedded map[string]int
	texts    int
}

// calm is how the writer behaves between faults: like a quick model.
func calm() modelserver.Behaviour {
	return modelserver.Behaviour{FirstTokenMS: 40, TokensPerSecond: 60}
}

func startModels(ctx context.Context) (*models, error) {
	m := &models{quests: questPattern(), paid: map[string][]time.Time{}, embedded: map[string]int{}}
	var err1, err2 error
	m.writer, err1 = modelserver.New(stack.ModelKey, calm())
	m.embedder, err2 = embedserver.New(stack.ModelKey, embedserver.Behaviour{LatencyMS: 5})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	var err error
	if m.writerAt, err = m.serve(ctx, m.recordPaid(m.writer)); err == nil {
		m.embedderAt, err = m.serve(ctx, m.recordTexts(m.embedder))
	}
	if err != nil {
		m.stop()
		return nil, err
	}
	return m, nil
}

func (m *models) serve(ctx context.Context, h http.Handler) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for an emulator: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	m.servers = append(m.servers, s)
	go func() { _ = s.Serve(l) }() // ends with Close
	return l.Addr().String(), nil
}

func (m *models) stop() {
	for _, s := range m.servers {
		_ = s.Close()
	}
}

// verdict sees whether a call was refused.
type verdict struct {
	http.ResponseWriter

	status int
}

// WriteHeader implements [http.ResponseWriter].
func (v *verdict) WriteHeader(status int) {
	v.status = status
	v.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] flush.
func (v *verdict) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// Flush implements [http.Flusher], which some emulators ask for.
func (v *verdict) Flush() { _ = http.NewResponseController(v.ResponseWriter).Flush() }

// recorded hands the body to note when the call was not refused.
func recorded(h http.Handler, note func(body []byte, began time.Time)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			h.ServeHTTP(w, r)
			return
		}
		began := time.Now()
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		v := &verdict{ResponseWriter: w, status: http.StatusOK}
		// An answer that is cut in the middle ends in a panic, and was paid for.
		defer func() {
			if v.status < http.StatusBadRequest {
				note(body, began)
			}
		}()
		h.ServeHTTP(v, r)
	})
}

func (m *models) recordPaid(h http.Handler) http.Handler {
	return recorded(h, func(body []byte, began time.Time) {
		quest := string(m.quests.Find(body))
		m.mu.Lock()
		defer m.mu.Unlock()
		m.paid[quest] = append(m.paid[quest], began)
	})
}

func (m *models) recordTexts(h http.Handler) http.Handler {
	return recorded(h, func(body []byte, _ time.Time) {
		var in struct {
			Input []string `json:"input"`
		}
		if json.Unmarshal(body, &in) != nil {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.texts += len(in.Input)
		for _, text := range in.Input {
			m.embedded[text]++
		}
	})
}

// payments returns the times at which a question was paid for.
func (m *models) payments(quest string) []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paid[quest]
}

// embeddings returns how often each text was embedded, and all together.
func (m *models) embeddings() (byText map[string]int, all int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.embedded), m.texts
}

// heal makes both models well again.
func (m *models) heal() error {
	return errors.Join(m.writer.Set(calm()), m.embedder.Set(embedserver.Behaviour{LatencyMS: 5}))
}

// faults are what models do on bad days.
func (m *models) faults() []fault {
	writer := func(kind string, b modelserver.Behaviour) fault {
		return fault{kind: "model: " + kind, target: "model", weight: 2, hits: []string{hitModel}, run: func(ctx context.Context, rnd *rand.Rand) error {
			b := b
			b.FirstTokenMS, b.TokensPerSecond = calm().FirstTokenMS, calm().TokensPerSecond
			b.FaultEvery, b.FaultAfter = 1+rnd.IntN(3), rnd.IntN(6)
			long := time.Duration(500+rnd.IntN(2500)) * time.Millisecond
			if err := m.writer.Set(b); err != nil {
				return fmt.Errorf("disturb the model: %w", err)
			}
			pause(ctx, long)
			return m.writer.Set(calm())
		}}
	}
	embedder := func(kind string, f emulator.Failure, pauseS int) fault {
		return fault{kind: "embedder: " + kind, target: "embedder", weight: 2, hits: []string{hitEmbedder}, run: func(ctx context.Context, rnd *rand.Rand) error {
			b := embedserver.Behaviour{LatencyMS: 5, Fault: f, FaultEvery: 1 + rnd.IntN(3), RetryAfterS: pauseS}
			long := time.Duration(500+rnd.IntN(2500)) * time.Millisecond
			if err := m.embedder.Set(b); err != nil {
				return fmt.Errorf("disturb the embedder: %w", err)
			}
			pause(ctx, long)
			return m.embedder.Set(embedserver.Behaviour{LatencyMS: 5})
		}}
	}
	return []fault{
		writer("429", modelserver.Behaviour{Fault: modelserver.Throttle, RetryAfterS: 1}),
		writer("500", modelserver.Behaviour{Fault: modelserver.Fail}),
		writer("503", modelserver.Behaviour{Fault: modelserver.Overload}),
		writer("hangs", modelserver.Behaviour{Fault: modelserver.Hang}),
		writer("cut streams", modelserver.Behaviour{Fault: modelserver.Cut}),
		writer("no JSON", modelserver.Behaviour{Fault: modelserver.Malformed}),
		embedder("429", emulator.Throttled, 1),
		embedder("500", emulator.ServerError, 0),
		embedder("503", emulator.Unavailable, 0),
		embedder("silent", emulator.Silent, 0),
		embedder("cut answers", emulator.Cut, 0),
		embedder("no JSON", emulator.Malformed, 0),
	}
}
