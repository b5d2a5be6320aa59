// Package scriptembed is an embedder for tests and benchmarks: hashed bags of
// words, deterministic, a few microseconds a text, with failures and delays
// where a test wants them. Texts that share words have similar vectors, and
// nothing else is promised about them.
package scriptembed

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/fault"
)

// DefaultDimensions is the size of a vector when Config does not say.
const DefaultDimensions = 384

// Config is the script. The zero value is an embedder that is instant and never fails.
type Config struct {
	// Dimensions of each vector; zero means DefaultDimensions.
	Dimensions int
	// Latency is how long each call of Embed takes at least, as a remote
	// model would. A context that ends cuts it short.
	Latency time.Duration
	// Fail, when set, is asked before each call that has texts, with the
	// number of that call, from 1. The error it returns is the call's. It
	// must be safe for concurrent use.
	Fail func(call int, purpose embed.Purpose, texts []string) error
}

// Embedder implements [embed.Embedder].
type Embedder struct {
	cfg          Config
	calls, texts atomic.Int64
}

var _ embed.Embedder = (*Embedder)(nil)

// New returns an embedder, or an Invalid fault for a negative size or latency.
func New(cfg Config) (*Embedder, error) {
	if cfg.Dimensions < 0 || cfg.Latency < 0 {
		return nil, fault.Invalidf("invalid_config", "dimensions are %d and latency is %s, want neither below zero", cfg.Dimensions, cfg.Latency)
	}
	if cfg.Dimensions == 0 {
		cfg.Dimensions = DefaultDimensions
	}
	return &Embedder{cfg: cfg}, nil
}

// Profile describes the vectors.
func (e *Embedder) Profile() embed.Profile {
	return embed.Profile{
		Provider:   "script",
		Model:      "hashed-words",
		Dimensions: e.cfg.Dimensions,
		Fusion:     embed.Fusion{Method: embed.ScaledMax, DenseWeight: 0.5, ForeignDenseWeight: 0.5},
	}
}

// Calls returns how many calls with texts were begun.
func (e *Embedder) Calls() int { return int(e.calls.Load()) }

// Texts returns how many texts those calls held.
func (e *Embedder) Texts() int { return int(e.texts.Load()) }

// Embed implements [embed.Embedder].
func (e *Embedder) Embed(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	if len(texts) == 0 {
		return [][]float32{}, nil
	}
	call := e.calls.Add(1)
	e.texts.Add(int64(len(texts)))
	if err := e.wait(ctx); err != nil {
		return nil, err
	}
	if e.cfg.Fail != nil {
		if err := e.cfg.Fail(int(call), purpose, texts); err != nil {
			return nil, err
		}
	}
	out := make([][]float32, len(texts))
	for i, text := range texts {
		out[i] = vector(text, e.cfg.Dimensions)
	}
	return out, nil
}

func (e *Embedder) wait(ctx context.Context) error {
	if e.cfg.Latency == 0 {
		return nil
	}
	timer := time.NewTimer(e.cfg.Latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("embed: %w", ctx.Err())
	}
}

// vector adds one to an element chosen by each word's hash. The first element
// is reserved for texts without words, which would have no direction else.
func vector(text string, dimensions int) []float32 {
	out := make([]float32, dimensions)
	var squares float64
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) {
		element := 0
		if dimensions > 1 {
			element = 1 + int(hash(word)%uint64(dimensions-1))
		}
		squares += float64(2*out[element] + 1)
		out[element]++
	}
	if squares == 0 {
		out[0] = 1
		return out
	}
	inverse := float32(1 / math.Sqrt(squares))
	for i := range out {
		out[i] *= inverse
	}
	return out
}

// hash is FNV-1a with 64 bits over the lowered characters.
func hash(word string) uint64 {
	h := uint64(14695981039346656037)
	for _, r := range word {
		h = (h ^ uint64(unicode.ToLower(r))) * 1099511628211
	}
	return h ^ h>>32
}
