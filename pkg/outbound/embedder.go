package outbound

import (
	"context"

	"github.com/ragbus/ragbus/pkg/embed"
)

// guardedEmbedder is an embedder behind an endpoint.
type guardedEmbedder struct {
	embed.Embedder

	endpoint *Endpoint
}

// Embedder returns e behind the endpoint. Queries are interactive, passages
// are bulk work: when the limit is used up or the endpoint is down they come
// back with a Throttled fault and its delay.
func Embedder(e embed.Embedder, endpoint *Endpoint) embed.Embedder {
	return &guardedEmbedder{Embedder: e, endpoint: endpoint}
}

// Requests implements [embed.Counter].
func (g *guardedEmbedder) Requests(texts []string) int {
	if c, ok := g.Embedder.(embed.Counter); ok {
		return c.Requests(texts)
	}
	return min(len(texts), 1)
}

// Embed implements [embed.Embedder].
func (g *guardedEmbedder) Embed(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	if len(texts) == 0 {
		return g.Embedder.Embed(ctx, purpose, texts)
	}
	lane := Bulk
	if purpose == embed.Query {
		lane = Interactive
	}
	cost := Cost{Requests: g.Requests(texts)}
	for _, text := range texts {
		cost.Tokens += embed.EstimateTokens(text)
	}
	var vectors [][]float32
	err := g.endpoint.do(ctx, lane, cost, func(ctx context.Context, _ func()) (int, bool, error) {
		var err error
		vectors, err = g.Embedder.Embed(ctx, purpose, texts)
		return -1, false, err
	})
	if err != nil {
		return nil, err
	}
	return vectors, nil
}
