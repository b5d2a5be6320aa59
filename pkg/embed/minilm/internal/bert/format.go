package bert

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/kernel"
)

// The shape of all-MiniLM-L6-v2. It is fixed: an asset of another shape is refused.
const (
	// Hidden is the width of a token's state and of the resulting vector.
	Hidden = 384
	// Inner is the width of the feed-forward layers.
	Inner = 1536
	// Layers is the number of encoder layers.
	Layers = 6
	// Heads is the number of attention heads, each HeadWidth wide.
	Heads     = 12
	HeadWidth = Hidden / Heads
	// Vocabulary is the number of word pieces.
	Vocabulary = 30522
	// MaxTokens is the published limit of the model, [CLS] and [SEP] included.
	MaxTokens = 256
)

// Magic begins every asset and names its version.
const Magic = "minilm-l6-int8/1"

// AssetSize is the exact length of an asset. An asset is, all numbers little
// endian and nothing between the parts:
//
//	Magic
//	word pieces: Vocabulary scales (float32), Vocabulary rows of Hidden int8
//	positions, token type 0 added: MaxTokens rows of Hidden float32
//	normalisation: gamma, beta (Hidden float32 each)
//	for each layer:
//	  query, key and value as one linear layer Hidden → 3·Hidden
//	  attention output, Hidden → Hidden; normalisation
//	  intermediate, Hidden → Inner
//	  balance: Inner float32, by which the activations are multiplied
//	  output, Inner → Hidden; normalisation
//
// where a linear layer is Out scales and Out biases (float32), then its int8
// weights in the panels of package kernel: Out/16 panels, in each for every
// input the weights of 16 consecutive outputs. The panels are read where they
// lie, so loading a model copies only scales, biases and positions.
const AssetSize = len(Magic) + Vocabulary*(4+Hidden) + 4*MaxTokens*Hidden + normSize + Layers*layerSize

const (
	normSize  = 2 * 4 * Hidden
	layerSize = 3*Hidden*(Hidden+8) + Hidden*(Hidden+8) + normSize +
		Inner*(Hidden+8) + 4*Inner + Hidden*(Inner+8) + normSize
)

// Model is a loaded asset: read-only, safe for concurrent use.
type Model struct {
	wordScale []float32
	words     string
	positions []float32
	norm      norm
	layers    [Layers]layer
}

type norm struct{ gamma, beta []float32 }

type layer struct {
	qkv, attention, inner, outer kernel.Linear
	attentionNorm, outerNorm     norm
	balance                      []float32
}

// Parse checks the asset and returns the model in it, which keeps asset alive.
func Parse(asset string) (*Model, error) {
	if len(asset) != AssetSize {
		return nil, fmt.Errorf("model asset has %d bytes, want %d", len(asset), AssetSize)
	}
	if asset[:len(Magic)] != Magic {
		return nil, fmt.Errorf("model asset begins with %q, want %q", asset[:len(Magic)], Magic)
	}
	r := reader{rest: asset[len(Magic):]}
	m := &Model{
		wordScale: r.floats(Vocabulary),
		words:     r.take(Vocabulary * Hidden),
		positions: r.floats(MaxTokens * Hidden),
		norm:      r.norm(),
	}
	for i := range m.layers {
		m.layers[i] = layer{
			qkv:           r.linear(Hidden, 3*Hidden),
			attention:     r.linear(Hidden, Hidden),
			attentionNorm: r.norm(),
			inner:         r.linear(Hidden, Inner),
			balance:       r.floats(Inner),
			outer:         r.linear(Inner, Hidden),
			outerNorm:     r.norm(),
		}
	}
	return m, nil
}

// reader takes parts off an asset whose size was checked.
type reader struct{ rest string }

func (r *reader) take(n int) string {
	part := r.rest[:n]
	r.rest = r.rest[n:]
	return part
}

func (r *reader) floats(n int) []float32 {
	bits := []byte(r.take(4 * n))
	out := make([]float32, n)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(bits[4*i:]))
	}
	return out
}

func (r *reader) norm() norm { return norm{gamma: r.floats(Hidden), beta: r.floats(Hidden)} }

func (r *reader) linear(in, out int) kernel.Linear {
	return kernel.Linear{In: in, Out: out, Scale: r.floats(out), Bias: r.floats(out), Panels: r.take(in * out)}
}
