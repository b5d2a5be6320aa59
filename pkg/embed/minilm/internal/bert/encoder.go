// Package bert is the forward pass of all-MiniLM-L6-v2: token ids go in, the
// mean of the last layer's states comes out as a unit vector. Weights are
// int8 with one scale for each output, arithmetic is float32.
package bert

import (
	"fmt"
	"math"

	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/kernel"
)

// The rows of a text are worked on in groups, so that what passes from one
// step to the next stays in the second-level cache.
const (
	scoreRows = 24
	rowGroup  = 48
)

// Encoder runs one text at a time through a model. It owns its scratch
// memory, about 3 MB, which is why it serves one goroutine only.
type Encoder struct {
	model   *Model
	backend kernel.Backend

	// state, mixed: tokens × Hidden; qkv: tokens × 3·Hidden.
	state, mixed, qkv []float32
	// inner: rowGroup × Inner; update: rowGroup × Hidden.
	inner, update []float32
	// scores: scoreRows × MaxTokens; keys, values: one head's panels.
	scores, keys, values []float32
	// scale and mask are the epilogue of a score, ones and zeros that of a mix.
	scale, mask, ones, zeros []float32
}

// NewEncoder returns an encoder for m that computes with backend.
func NewEncoder(m *Model, backend kernel.Backend) *Encoder {
	const rows = MaxTokens + kernel.PadRows
	e := &Encoder{
		model: m, backend: backend,
		state: make([]float32, rows*Hidden), mixed: make([]float32, rows*Hidden), qkv: make([]float32, rows*3*Hidden),
		inner: make([]float32, (rowGroup+kernel.PadRows)*Inner), update: make([]float32, (rowGroup+kernel.PadRows)*Hidden),
		scores: make([]float32, (scoreRows+kernel.PadRows)*MaxTokens),
		keys:   make([]float32, MaxTokens*HeadWidth), values: make([]float32, MaxTokens*HeadWidth),
		scale: make([]float32, MaxTokens), mask: make([]float32, MaxTokens),
		ones: make([]float32, HeadWidth), zeros: make([]float32, HeadWidth),
	}
	for i := range e.scale {
		e.scale[i] = float32(1 / math.Sqrt(HeadWidth))
	}
	for i := range e.ones {
		e.ones[i] = 1
	}
	return e
}

// Encode writes the vector of the tokens, 1 to MaxTokens of them and all
// below Vocabulary, into dst, which has Hidden elements. It calls pause
// several times in each layer, about every millisecond on a current machine,
// and gives up with its error when it has one.
func (e *Encoder) Encode(dst []float32, tokens []uint16, pause func() error) error {
	n := len(tokens)
	if n == 0 || n > MaxTokens {
		return fmt.Errorf("cannot encode %d tokens, want 1 to %d", n, MaxTokens)
	}
	for _, token := range tokens {
		if token >= Vocabulary {
			return fmt.Errorf("token %d is outside the vocabulary of %d", token, Vocabulary)
		}
	}
	for i := range e.mask {
		e.mask[i] = 0
		if i >= n {
			e.mask[i] = kernel.Masked
		}
	}
	e.lookUp(tokens)
	for i := range e.model.layers {
		if err := e.layer(&e.model.layers[i], n, pause); err != nil {
			return err
		}
	}
	pool(dst, e.state[:n*Hidden])
	return nil
}

// lookUp fills state with the embeddings of the tokens and their positions.
func (e *Encoder) lookUp(tokens []uint16) {
	for i, token := range tokens {
		row := e.state[i*Hidden:][:Hidden]
		scale := e.model.wordScale[token]
		for j, b := range []byte(e.model.words[int(token)*Hidden:][:Hidden]) {
			row[j] = float32(int8(b)) * scale
		}
		e.backend.AddNorm(row, e.model.positions[i*Hidden:][:Hidden], e.model.norm.gamma, e.model.norm.beta)
	}
}

func (e *Encoder) layer(l *layer, n int, pause func() error) error {
	for first := 0; first < n; first += rowGroup {
		if err := pause(); err != nil {
			return err
		}
		rows := min(rowGroup, n-first)
		e.backend.Linear(view(e.qkv, 3*Hidden).From(first, 0), view(e.state, Hidden).From(first, 0), rows, &l.qkv)
	}
	for head := range Heads {
		if err := pause(); err != nil {
			return err
		}
		e.attend(head, n)
	}
	for first := 0; first < n; first += rowGroup {
		if err := pause(); err != nil {
			return err
		}
		e.transform(l, first, min(rowGroup, n-first))
	}
	return nil
}

// attend writes one head's columns of mixed: softmax(q·kᵀ/√width)·v.
func (e *Encoder) attend(head, n int) {
	columns := (n + kernel.PanelWidth - 1) / kernel.PanelWidth * kernel.PanelWidth
	e.pack(head, n, columns)
	keys := kernel.Panels{Data: e.keys, K: HeadWidth, Cols: columns}
	values := kernel.Panels{Data: e.values, K: n, Cols: HeadWidth}
	scores := view(e.scores, columns)
	for first := 0; first < n; first += scoreRows {
		rows := min(scoreRows, n-first)
		e.backend.Product(scores, view(e.qkv, 3*Hidden).From(first, head*HeadWidth), rows, keys, e.scale, e.mask)
		e.backend.Softmax(scores, rows, columns)
		e.backend.Product(view(e.mixed, Hidden).From(first, head*HeadWidth), scores, rows, values, e.ones, e.zeros)
	}
}

// pack lays one head's keys and values out in panels; a panel of keys holds
// sixteen tokens, one of values sixteen of the head's columns.
func (e *Encoder) pack(head, n, columns int) {
	const width = kernel.PanelWidth
	clear(e.keys[:columns*HeadWidth])
	for token := range n {
		row := e.qkv[token*3*Hidden+Hidden+head*HeadWidth:]
		key, value := row[:HeadWidth], row[Hidden:][:HeadWidth]
		panel := e.keys[token/width*width*HeadWidth+token%width:]
		for i, k := range key {
			panel[i*width] = k
		}
		for i := 0; i < HeadWidth; i += width {
			copy(e.values[i*n+token*width:][:width], value[i:])
		}
	}
}

// transform takes rows from the mixed values to the layer's result in state.
func (e *Encoder) transform(l *layer, first, rows int) {
	state := e.state[first*Hidden:]
	update, inner := view(e.update, Hidden), view(e.inner, Inner)
	e.backend.Linear(update, view(e.mixed, Hidden).From(first, 0), rows, &l.attention)
	e.addNorm(state, rows, l.attentionNorm)
	e.backend.Linear(inner, view(state, Hidden), rows, &l.inner)
	for r := range rows {
		e.backend.GELU(e.inner[r*Inner:][:Inner], l.balance)
	}
	e.backend.Linear(update, inner, rows, &l.outer)
	e.addNorm(state, rows, l.outerNorm)
}

func (e *Encoder) addNorm(state []float32, rows int, n norm) {
	for r := range rows {
		e.backend.AddNorm(state[r*Hidden:][:Hidden], e.update[r*Hidden:][:Hidden], n.gamma, n.beta)
	}
}

// pool writes the mean of the states, scaled to length one.
func pool(dst, states []float32) {
	dst = dst[:Hidden]
	clear(dst)
	for len(states) > 0 {
		for i, v := range states[:Hidden] {
			dst[i] += v
		}
		states = states[Hidden:]
	}
	var squares float64
	for _, v := range dst {
		squares += float64(v) * float64(v)
	}
	inverse := float32(1 / math.Sqrt(max(squares, math.SmallestNonzeroFloat32)))
	for i := range dst {
		dst[i] *= inverse
	}
}

func view(data []float32, stride int) kernel.View { return kernel.View{Data: data, Stride: stride} }
