// Package remote is what the adapters to embedding APIs have in common: texts
// go in, an adapter's call is made for each batch that the API takes, and
// checked unit vectors come out in order. How one batch is written to the
// wire, and what its errors mean, is the adapter's.
package remote

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Limits are those of one API and model.
type Limits struct {
	// Dimensions that every vector must have.
	Dimensions int
	// BatchTexts and BatchTokens bound one request.
	BatchTexts, BatchTokens int
	// TextTokens bounds one text; longer ones are cut.
	TextTokens int
	// Concurrency is how many requests for passages are under way at most, and again as many for queries.
	Concurrency int
	// Timeout bounds one request.
	Timeout time.Duration
}

// Call makes one request to the API and returns its vectors in the texts'
// order. Its errors are classified; a [Problem] that is too long is mended by sending less.
type Call func(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error)

// Batcher turns calls of Embed into requests. Make one with [New].
type Batcher struct {
	limits Limits
	call   Call
	// Passages never take the slots of queries, so a bulk import does not hold a question up.
	passages, queries chan struct{}
}

// New returns a batcher. Every limit must be positive.
func New(limits Limits, call Call) *Batcher {
	return &Batcher{
		limits: limits, call: call,
		passages: make(chan struct{}, limits.Concurrency), queries: make(chan struct{}, limits.Concurrency),
	}
}

// Embed is [embed.Embedder.Embed] over the API.
func (b *Batcher) Embed(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	if len(texts) == 0 {
		return [][]float32{}, nil
	}
	sent := make([]string, len(texts))
	for i, text := range texts {
		sent[i] = clean(cut(text, b.limits.TextTokens))
	}
	vectors := make([][]float32, 0, len(texts))
	batches := b.split(sent)
	if len(batches) == 1 {
		return b.send(ctx, purpose, batches[0])
	}
	results := make([][][]float32, len(batches))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(b.limits.Concurrency)
	for i, batch := range batches {
		group.Go(func() (err error) {
			results[i], err = b.send(inner, purpose, batch)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, ended(ctx)
		}
		return nil, err
	}
	for _, r := range results {
		vectors = append(vectors, r...)
	}
	return vectors, nil
}

// Requests returns how many requests Embed will make for the texts.
func (b *Batcher) Requests(texts []string) int {
	requests, count, tokens := 0, 0, 0
	for _, text := range texts {
		cost := min(embed.EstimateTokens(text), b.limits.TextTokens)
		if count == 0 || count == b.limits.BatchTexts || tokens+cost > b.limits.BatchTokens {
			requests, count, tokens = requests+1, 0, 0
		}
		count, tokens = count+1, tokens+cost
	}
	return requests
}

// split cuts the texts into batches that one request may hold.
func (b *Batcher) split(texts []string) [][]string {
	var batches [][]string
	from, tokens := 0, 0
	for i, text := range texts {
		cost := min(embed.EstimateTokens(text), b.limits.TextTokens)
		if i > from && (i-from == b.limits.BatchTexts || tokens+cost > b.limits.BatchTokens) {
			batches = append(batches, texts[from:i])
			from, tokens = i, 0
		}
		tokens += cost
	}
	return append(batches, texts[from:])
}

// send embeds one batch when there is a slot for it.
func (b *Batcher) send(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	slots := b.passages
	if purpose == embed.Query {
		slots = b.queries
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, ended(ctx)
	}
	return b.fit(ctx, purpose, texts)
}

// fit embeds one batch. Token counts are estimates, so an API may find a
// batch too long that was thought to fit: it is halved until the texts that
// are too long stand alone, and those are cut to what fits for certain.
func (b *Batcher) fit(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	vectors, err := b.ask(ctx, purpose, texts)
	switch {
	case ctx.Err() != nil:
		return nil, ended(ctx)
	case err == nil:
		return b.checked(vectors, len(texts))
	case !errors.Is(err, errTooLong):
		return nil, err
	}
	if len(texts) == 1 {
		shorter := cutBytes(texts[0], b.limits.TextTokens)
		if len(shorter) == len(texts[0]) {
			// The model's limit is below what we were told, as with local models.
			shorter = boundary(shorter, len(shorter)/2)
		}
		if len(shorter) < leastBytes {
			return nil, err
		}
		return b.fit(ctx, purpose, []string{shorter})
	}
	half := len(texts) / 2
	left, err := b.fit(ctx, purpose, texts[:half])
	if err != nil {
		return nil, err
	}
	right, err := b.fit(ctx, purpose, texts[half:])
	if err != nil {
		return nil, err
	}
	return append(left, right...), nil
}

// leastBytes is where cutting ends: a model that does not take this little takes nothing.
const leastBytes = 64

func (b *Batcher) ask(ctx context.Context, purpose embed.Purpose, texts []string) ([][]float32, error) {
	ctx, cancel := context.WithTimeout(ctx, b.limits.Timeout)
	defer cancel()
	return b.call(ctx, purpose, texts)
}

func ended(ctx context.Context) error {
	return fault.As(fault.Transient, fmt.Errorf("embed: %w", context.Cause(ctx)))
}

// checked refuses what would poison an index, and scales the rest to unit length.
func (b *Batcher) checked(vectors [][]float32, texts int) ([][]float32, error) {
	if len(vectors) != texts {
		return nil, Broken("%d vectors for %d texts", len(vectors), texts)
	}
	for i, v := range vectors {
		if len(v) != b.limits.Dimensions {
			return nil, fault.Permanentf("embedder_dimensions",
				"the embedding model returns vectors of %d dimensions where %d are configured; set the model's own number", len(v), b.limits.Dimensions)
		}
		var squares float64
		for _, x := range v {
			squares += float64(x) * float64(x)
		}
		if math.IsNaN(squares) || math.IsInf(squares, 0) || squares == 0 {
			return nil, Broken("vector %d of %d has no direction", i+1, texts)
		}
		scale := 1 / math.Sqrt(squares)
		for j := range v {
			v[j] = float32(float64(v[j]) * scale)
		}
	}
	return vectors, nil
}

// Broken is the fault of an answer that nobody can use. Another try may bring a better one.
func Broken(format string, args ...any) error {
	return fault.Transientf("embedder_unavailable", "the embedding model gave an answer that cannot be used").WithCause(fmt.Errorf(format, args...))
}
