// Package coalesced embeds the questions of several at once: each request to
// an embedding API costs the same whatever it carries, and a question is one
// short text.
package coalesced

import (
	"context"
	"time"

	"github.com/ragbus/ragbus/pkg/coalesce"
	"github.com/ragbus/ragbus/pkg/embed"
)

const (
	// most is what every API takes in one request.
	most = 32
	// patience is how long a question waits for the others' request that is
	// under way. Models in the same rack answer within it.
	patience = 5 * time.Millisecond
)

// Embedder is an [embed.Embedder] that has queries of one text gather while
// a call is under way. All else goes straight to the embedder behind it, so that
// a query never waits for passages.
type Embedder struct {
	embed.Embedder

	queries *coalesce.Calls[string, []float32]
}

// New returns e with queries coalesced into at most concurrency calls at a time.
func New(e embed.Embedder, concurrency int) *Embedder {
	call := func(ctx context.Context, texts []string) ([][]float32, error) {
		return e.Embed(ctx, embed.Query, texts)
	}
	return &Embedder{e, coalesce.New(coalesce.Limits{Most: most, Width: concurrency, Patience: patience}, call)}
}

// Embed implements [embed.Embedder].
func (e *Embedder) Embed(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	if purpose != embed.Query || len(texts) != 1 {
		return e.Embedder.Embed(ctx, purpose, texts) //nolint:wrapcheck // it is the embedder's
	}
	vector, err := e.queries.Do(ctx, texts[0])
	if err != nil {
		return nil, err //nolint:wrapcheck // it is the embedder's
	}
	return [][]float32{vector}, nil
}
