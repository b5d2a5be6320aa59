// Package scriptllm is a language model that runs in the process and says
// what its script tells it: a request goes in, the scripted deltas, pauses and
// faults come out. It is for tests and for generating load; it keeps the
// contract of llm.Model and passes its suite.
package scriptllm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
)

// Reply is what the model does with one request.
type Reply struct {
	// Deltas are yielded one by one. Use [Words] to cut a text.
	Deltas []string
	// Finish ends the answer after the deltas; "" is llm.Stopped.
	Finish llm.Finish
	// Usage is reported with Finish. Nil counts words: those of the prompt and those said.
	Usage *llm.Usage
	// First is the pause before the first delta, Pause that before each other one.
	First time.Duration
	Pause time.Duration
	// Err, when set, ends the stream after the first After deltas instead of Finish.
	Err error
	// Hang, when set, says nothing more after the first After deltas until the context ends.
	Hang  bool
	After int
}

// Script decides what to say. It is called once for each request, concurrently.
type Script func(llm.Request) Reply

// Words cuts a text into deltas of one word each, spaces kept.
func Words(text string) []string {
	var out []string
	for text != "" {
		i := strings.IndexByte(strings.TrimLeft(text, " \n"), ' ')
		if i < 0 {
			return append(out, text)
		}
		i += len(text) - len(strings.TrimLeft(text, " \n"))
		out, text = append(out, text[:i]), text[i:]
	}
	return out
}

// Say returns a script that answers every request with the text, word by word.
func Say(text string) Script {
	deltas := Words(text)
	return func(llm.Request) Reply { return Reply{Deltas: deltas} }
}

// Sequence returns a script that gives the replies one after the other, the last one for ever.
func Sequence(replies ...Reply) Script {
	var next atomic.Int64
	return func(llm.Request) Reply {
		i := int(next.Add(1)) - 1
		return replies[min(i, len(replies)-1)]
	}
}

// Model plays a script. Make one with [New].
type Model struct {
	script Script
	info   llm.Info
	keep   bool

	calls  atomic.Int64
	closed atomic.Int64

	mu       sync.Mutex
	requests []llm.Request
}

var _ llm.Model = (*Model)(nil)

// Option changes a model.
type Option func(*Model)

// WithContextTokens sets the context size that Info tells; the default is 32,768.
func WithContextTokens(n int) Option { return func(m *Model) { m.info.ContextTokens = n } }

// WithoutRequests stops the model from remembering its requests, as a load test wants.
func WithoutRequests() Option { return func(m *Model) { m.keep = false } }

// New returns a model that plays the script.
func New(script Script, options ...Option) *Model {
	m := &Model{script: script, keep: true, info: llm.Info{Provider: "script", Name: "script", ContextTokens: 32768}}
	for _, o := range options {
		o(m)
	}
	return m
}

// Info implements [llm.Model].
func (m *Model) Info() llm.Info { return m.info }

// Calls returns how many streams were begun.
func (m *Model) Calls() int { return int(m.calls.Load()) }

// Closed returns how many streams ended before their script did, because the
// caller stopped reading or its context ended.
func (m *Model) Closed() int { return int(m.closed.Load()) }

// Requests returns what was asked so far, oldest first.
func (m *Model) Requests() []llm.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.requests)
}

// Stream implements [llm.Model].
func (m *Model) Stream(ctx context.Context, r llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		m.calls.Add(1)
		if m.keep {
			m.mu.Lock()
			m.requests = append(m.requests, r)
			m.mu.Unlock()
		}
		if err := m.play(ctx, r, yield); err != nil {
			if errors.Is(err, errLeft) {
				m.closed.Add(1)
				return
			}
			if ctx.Err() != nil {
				m.closed.Add(1)
			}
			yield(llm.Delta{}, err)
		}
	}
}

// errLeft says that the caller stopped the iteration: nothing may be yielded any more.
var errLeft = errors.New("scriptllm: the caller stopped reading")

func (m *Model) play(ctx context.Context, r llm.Request, yield func(llm.Delta, error) bool) error {
	reply := m.script(r)
	said := reply.Deltas
	if (reply.Err != nil || reply.Hang) && reply.After < len(said) {
		said = said[:reply.After]
	}
	pause := reply.First
	for i, text := range said {
		if i > 0 && pause > 0 && r.Rest != nil {
			r.Rest()
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
		if !yield(llm.Delta{Text: text}, nil) {
			return errLeft
		}
		pause = reply.Pause
	}
	switch {
	case reply.Hang:
		<-ctx.Done()
		return ended(ctx)
	case reply.Err != nil:
		return reply.Err
	}
	if err := wait(ctx, 0); err != nil {
		return err
	}
	if !yield(llm.Delta{Finish: reply.finish(), Usage: reply.usage(r)}, nil) {
		return errLeft
	}
	return nil
}

func (r Reply) finish() llm.Finish {
	if r.Finish == "" {
		return llm.Stopped
	}
	return r.Finish
}

func (r Reply) usage(asked llm.Request) llm.Usage {
	if r.Usage != nil {
		return *r.Usage
	}
	u := llm.Usage{PromptTokens: countWords(asked.System)}
	for _, msg := range asked.Messages {
		u.PromptTokens += countWords(msg.Text)
	}
	for _, d := range r.Deltas {
		u.CompletionTokens += max(1, countWords(d))
	}
	return u
}

// countWords counts spaces, which is near enough for a scripted bill and costs nothing.
func countWords(s string) int { return strings.Count(s, " ") + min(1, len(s)) }

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

func ended(ctx context.Context) error {
	return fault.As(fault.Transient, fmt.Errorf("scripted answer: %w", context.Cause(ctx)))
}
