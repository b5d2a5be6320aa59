package outbound

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
)

// Chain is a model that asks the next of its models when one fails before
// it has said anything. The last delta of an answer names its writer when
// it was not the first.
type Chain struct {
	models  []llm.Model
	metrics *Metrics
	log     *slog.Logger
	// spare is how many further writers the caller has after the chain.
	spare int
}

var _ llm.Model = (*Chain)(nil)

// ChainConfig is what [NewChain] needs beside the models.
type ChainConfig struct {
	// Spare is how many writers the caller itself has after the chain, such
	// as the extractive one: time is left for them.
	Spare   int
	Metrics *Metrics
	Log     *slog.Logger
}

// NewChain returns a chain of at least one model, the preferred one first.
func NewChain(cfg ChainConfig, models ...llm.Model) (*Chain, error) {
	if len(models) == 0 {
		return nil, errors.New("a chain needs a model")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	return &Chain{models: models, metrics: cfg.Metrics, log: cfg.Log, spare: cfg.Spare}, nil
}

// Info implements [llm.Model]: the preferred model with the smallest context
// of all, for the prompt is written once.
func (c *Chain) Info() llm.Info {
	info := c.models[0].Info()
	for _, m := range c.models[1:] {
		info.ContextTokens = min(info.ContextTokens, m.Info().ContextTokens)
	}
	return info
}

// errSlow ends a call whose model has not begun while others could still answer.
var errSlow = errors.New("the model has not begun in its share of the time")

// Stream implements [llm.Model]. Each model gets an equal share of the time
// that is left to begin its answer. When all fail, the error is the preferred
// one's.
func (c *Chain) Stream(ctx context.Context, r llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		var first error
		for i, m := range c.models {
			begun, err := c.ask(ctx, i, r, yield)
			if err == nil {
				return
			}
			if first == nil {
				first = err
			}
			if begun || ctx.Err() != nil {
				yield(llm.Delta{}, err)
				return
			}
			if i+1 < len(c.models) {
				from, to := m.Info(), c.models[i+1].Info()
				c.metrics.fallbacks.WithLabelValues(from.Provider, to.Provider).Inc()
				c.log.WarnContext(ctx, "the next model of the chain is asked", slog.String("from", from.Name), slog.String("to", to.Name),
					slog.String("class", fault.Of(err).String()), slog.Any("error", err))
			}
		}
		yield(llm.Delta{}, first)
	}
}

// ask passes a model's answer on. It reports whether anything was passed on;
// an error has not been.
func (c *Chain) ask(ctx context.Context, i int, r llm.Request, yield func(llm.Delta, error) bool) (begun bool, err error) {
	m, writers := c.models[i], len(c.models)-i+c.spare
	call, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var alarm *time.Timer
	if deadline, ok := ctx.Deadline(); ok && writers > 1 {
		alarm = time.AfterFunc(time.Until(deadline)/time.Duration(writers), func() { cancel(errSlow) })
		defer alarm.Stop()
	}
	for delta, err := range m.Stream(call, r) {
		switch {
		case err != nil && errors.Is(context.Cause(call), errSlow) && ctx.Err() == nil:
			return begun, fault.Transientf("model_unavailable", "the language model took too long to begin").WithCause(err)
		case err != nil:
			return begun, err
		}
		if alarm != nil {
			alarm.Stop()
		}
		begun = true
		if delta.Finish != "" && delta.Model == "" && i > 0 {
			delta.Model = m.Info().Name
		}
		if !yield(delta, nil) {
			return true, nil
		}
	}
	return begun, nil
}
