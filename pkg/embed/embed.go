// Package embed is the port to text embedding models: texts go in, unit
// vectors come out. Adapters live beside it (minilm is built in); embedtest
// is the contract suite that each of them passes.
package embed

import (
	"context"
	"fmt"
)

// Purpose says what a text is embedded for. Models with asymmetric training
// treat the two differently, and queries go before passages in every queue.
type Purpose uint8

// The two purposes.
const (
	Passage Purpose = iota
	Query
)

// Embedder turns texts into vectors.
//
// All methods are safe for concurrent use. Embed is deterministic up to
// rounding, so repeating it is harmless.
type Embedder interface {
	// Profile describes the vectors. It never changes during the life of an Embedder.
	Profile() Profile

	// Embed returns one L2-normalised vector of Profile().Dimensions for each
	// text, in order. An empty slice of texts yields an empty result without
	// a call to any model. Text beyond the model's limit is cut, not refused.
	// Embed returns promptly when ctx ends. Errors are classified (package
	// fault): Throttled with its delay when the provider asked for a pause,
	// Transient when a retry may help, Permanent when it will not.
	Embed(ctx context.Context, purpose Purpose, texts []string) ([][]float32, error)
}

// Builtin is the provider of the embedder that computes in this process, on
// the cores that everything else needs too.
const Builtin = "builtin"

// Profile identifies an embedding space. Vectors of different profiles never
// meet: the profile's Key is part of every collection and point.
type Profile struct {
	Provider string
	Model    string
	// Dimensions of each vector.
	Dimensions int
	// Prefix names the scheme of texts put before queries and passages, "" for none.
	Prefix string
	// Fusion is how this model's scores combine with keyword scores. It is
	// measured for each model (docs/quality.md) and not a global default.
	Fusion Fusion
	// MinScore is the cosine below which a passage is certainly unrelated to
	// a query; it is a property of the model, used for abstention only.
	MinScore float64
}

// Key returns a stable name for the space: provider, model, dimensions and prefix scheme.
func (p Profile) Key() string {
	key := fmt.Sprintf("%s-%s-%d", p.Provider, p.Model, p.Dimensions)
	if p.Prefix != "" {
		key += "-" + p.Prefix
	}
	return key
}

// FusionMethod names a way to combine the scores of two legs.
type FusionMethod string

// The methods of fusion.
const (
	// ScaledMax: (1-w)·bm25/max(bm25) + w·cos/max(cos), over the union of both legs.
	ScaledMax FusionMethod = "scaled-max"
	// MinMax: each leg scaled to [0,1] by its least and greatest score.
	MinMax FusionMethod = "min-max"
	// RRF: reciprocal rank fusion, for where scores cannot be had.
	RRF FusionMethod = "rrf"
)

// Fusion is a method and the weight of the dense leg.
type Fusion struct {
	Method FusionMethod
	// DenseWeight w is in [0,1].
	DenseWeight float64
	// ForeignDenseWeight replaces DenseWeight for collections that are not
	// English; equal to it for multilingual models.
	ForeignDenseWeight float64
}
