package minilm

import (
	"context"
	"runtime"
	"sync"

	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/bert"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/kernel"
)

// call is one call of Embed. Workers may still write into it after its caller
// has left, so the caller takes the vectors only when it is done.
type call struct {
	// cancelled is the Err method of the caller's context.
	cancelled func() error
	vectors   [][]float32
	// done is closed when every text has its vector, or one has failed.
	done chan struct{}

	mu   sync.Mutex
	left int
	err  error
}

func newCall(ctx context.Context, texts int) *call {
	return &call{cancelled: ctx.Err, vectors: make([][]float32, texts), done: make(chan struct{}), left: texts}
}

// finish records the end of one text.
func (c *call) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	c.left--
	if c.left == 0 || err != nil {
		close(c.done)
	}
}

// result is what the call came to; it is valid once done is closed.
func (c *call) result() ([][]float32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	return c.vectors, nil
}

// task is one text of a call.
type task struct {
	call  *call
	index int
	text  string
}

// worker encodes one text at a time, but for queries that interrupt a passage.
type worker struct {
	model             *model
	queries, passages <-chan task
	stop              <-chan struct{}

	// current serves the text the worker took, urgent the queries that
	// interrupt it; both are made when first needed.
	current, urgent *scratch
}

// scratch is the memory that one text needs while it is worked on.
type scratch struct {
	encoder *bert.Encoder
	tokens  []uint16
}

func newWorker(m *model, queries, passages <-chan task, stop <-chan struct{}) *worker {
	return &worker{model: m, queries: queries, passages: passages, stop: stop}
}

func (w *worker) scratch(s **scratch) *scratch {
	if *s == nil {
		*s = &scratch{
			encoder: bert.NewEncoder(w.model.weights, kernel.Best()),
			tokens:  make([]uint16, 0, bert.MaxTokens),
		}
	}
	return *s
}

// run serves both queues until stop is closed.
func (w *worker) run() {
	for {
		// A select chooses at random among what is ready: queries are asked
		// for alone first.
		select {
		case <-w.stop:
			return
		case t := <-w.queries:
			w.encode(t, w.scratch(&w.current), w.pauseOf(t))
			continue
		default:
		}
		select {
		case <-w.stop:
			return
		case t := <-w.queries:
			w.encode(t, w.scratch(&w.current), w.pauseOf(t))
		case t := <-w.passages:
			w.encode(t, w.scratch(&w.current), w.yieldingPauseOf(t))
		}
	}
}

func (w *worker) encode(t task, s *scratch, pause func() error) {
	err := pause()
	if err == nil {
		s.tokens = w.model.tokenizer.Append(s.tokens[:0], t.text, bert.MaxTokens)
		vector := make([]float32, bert.Hidden)
		if err = s.encoder.Encode(vector, s.tokens, pause); err == nil {
			t.call.vectors[t.index] = vector
		}
	}
	t.call.finish(err)
}

// pauseOf returns the check that a text makes while it is worked on: whether
// it is still wanted.
func (w *worker) pauseOf(t task) func() error {
	return func() error {
		select {
		case <-w.stop:
			return errClosed()
		default:
			return t.call.cancelled()
		}
	}
}

// yieldingPauseOf returns the check of a passage, which lets waiting queries
// and then other goroutines go first. The scheduler would give them the
// processor only after ten milliseconds.
func (w *worker) yieldingPauseOf(t task) func() error {
	wanted := w.pauseOf(t)
	return func() error {
		for {
			if err := wanted(); err != nil {
				return err
			}
			select {
			case query := <-w.queries:
				w.encode(query, w.scratch(&w.urgent), w.pauseOf(query))
			default:
				runtime.Gosched()
				return nil
			}
		}
	}
}
