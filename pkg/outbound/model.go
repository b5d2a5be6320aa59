package outbound

import (
	"context"
	"iter"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
)

// guardedModel is a model behind an endpoint.
type guardedModel struct {
	llm.Model

	endpoint *Endpoint
}

// Model returns m behind the endpoint. A call is repeated only as long as
// nothing of its answer has been passed on.
func Model(m llm.Model, endpoint *Endpoint) llm.Model {
	return &guardedModel{Model: m, endpoint: endpoint}
}

// assumedAnswer is how many tokens an answer is thought to have until it has
// ended, when its request sets no bound or a higher one.
const assumedAnswer = 1024

// Stream implements [llm.Model].
func (g *guardedModel) Stream(ctx context.Context, r llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		stopped := false
		err := g.endpoint.do(ctx, Interactive, modelCost(r), func(ctx context.Context, began func()) (int, bool, error) {
			tokens, passed := -1, false
			for delta, err := range g.Model.Stream(ctx, r) {
				if err != nil {
					return tokens, passed, err
				}
				began()
				passed = true
				if delta.Finish != "" && delta.Usage != (llm.Usage{}) {
					tokens = delta.Usage.PromptTokens + delta.Usage.CompletionTokens
				}
				if !yield(delta, nil) {
					stopped = true
					return tokens, true, nil
				}
				if delta.Finish != "" {
					return tokens, true, nil
				}
			}
			return tokens, passed, fault.Transientf("model_unavailable", "the language model gave no answer")
		})
		if err != nil && !stopped {
			yield(llm.Delta{}, err)
		}
	}
}

func modelCost(r llm.Request) Cost {
	cost := Cost{Requests: 1, Tokens: embed.EstimateTokens(r.System) + assumedAnswer}
	if r.MaxTokens > 0 && r.MaxTokens < assumedAnswer {
		cost.Tokens += r.MaxTokens - assumedAnswer
	}
	for _, m := range r.Messages {
		cost.Tokens += embed.EstimateTokens(m.Text)
	}
	return cost
}
