package reply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// WritingPrefix is followed by the request's token: asks whoever writes its
// answer to say so.
const WritingPrefix = "rag.writing.v1."

// answerWithin is how long a writer has to say that it writes. Whoever takes
// over from a worker that died waits for it in vain.
const answerWithin = 300 * time.Millisecond

// Writing knows which answers this process writes, and asks others for
// theirs: one subscription for the whole process. A worker that did not run
// for as long as its lease is taken for dead, and its work is given to another
// one; this is how that one learns better. It is safe for concurrent use.
type Writing struct {
	nc *nats.Conn

	mu  sync.Mutex
	sub *nats.Subscription
	// here counts the writers of each request.
	here map[string]int
}

// NewWriting returns one that tells nobody yet.
func NewWriting(nc *nats.Conn) *Writing { return &Writing{nc: nc, here: map[string]int{}} }

// Start subscribes and returns when the broker knows of it.
func (w *Writing) Start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sub != nil {
		return nil
	}
	sub, err := w.nc.Subscribe(WritingPrefix+"*", w.asked)
	if err != nil {
		return fmt.Errorf("subscribe to questions of who writes: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	if err := w.nc.FlushWithContext(ctx); err != nil {
		return errors.Join(fmt.Errorf("subscribe to questions of who writes: %w", err), sub.Unsubscribe())
	}
	w.sub = sub
	return nil
}

// Begin says that this process writes the answer of a request, until done is
// called: not before the answer is stored.
func (w *Writing) Begin(request string) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.here[request]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.here[request]--; w.here[request] == 0 {
			delete(w.here, request)
		}
	}
}

// Underway reports whether anybody, in this process or another, says that it
// writes the answer of a request. Nobody says so who is dead, stopped, or cut
// off for longer than a moment: false is no proof.
func (w *Writing) Underway(ctx context.Context, request string) bool {
	if corpus.CheckToken("request", request) != nil {
		return false
	}
	if w.writes(request) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	_, err := w.nc.RequestWithContext(ctx, WritingPrefix+request, nil)
	return err == nil
}

func (w *Writing) writes(request string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.here[request] > 0
}

func (w *Writing) asked(m *nats.Msg) {
	if w.writes(strings.TrimPrefix(m.Subject, WritingPrefix)) {
		_ = m.Respond(nil) // whoever asked goes on without an answer
	}
}

// Close ends the subscription. What is written is not ended.
func (w *Writing) Close() error {
	w.mu.Lock()
	sub := w.sub
	w.sub = nil
	w.mu.Unlock()
	if sub == nil {
		return nil
	}
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
		return fmt.Errorf("unsubscribe from questions of who writes: %w", err)
	}
	return nil
}
