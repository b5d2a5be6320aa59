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
	"github.com/ragbus/ragbus/pkg/fault"
)

// ErrCancelled is the cause with which the context of cancelled work ends.
var ErrCancelled = errors.New("the request was cancelled")

// CancelPrefix is followed by the request's token.
const CancelPrefix = "rag.cancel.v1."

const (
	// rememberFor is how long a cancellation is held against work that has
	// not begun: between two hops nobody watches.
	rememberFor = 5 * time.Minute
	// rememberMost bounds the cancellations that are remembered.
	rememberMost = 8192
)

// Cancel tells all workers to give up the work of a request. It does not
// wait, and a request that is done is none the worse for it.
func Cancel(nc *nats.Conn, request string) error {
	if err := corpus.CheckToken("request", request); err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	if err := nc.Publish(CancelPrefix+request, nil); err != nil {
		return fault.Transientf("broker_unavailable", "the message broker cannot be reached").
			WithCause(fmt.Errorf("cancel: %w", err))
	}
	return nil
}

// CancelListener is a worker's side of cancelling: one subscription for the
// whole process. It is safe for concurrent use.
type CancelListener struct {
	nc  *nats.Conn
	now func() time.Time

	mu       sync.Mutex
	sub      *nats.Subscription
	watching map[string]map[*watch]struct{}
	// recent are the cancellations of the last minutes; order is the same, oldest first.
	recent map[string]time.Time
	order  []string
}

type watch struct{ cancel context.CancelCauseFunc }

// NewCancelListener returns a listener that does not listen yet.
func NewCancelListener(nc *nats.Conn) *CancelListener {
	return &CancelListener{
		nc: nc, now: time.Now,
		watching: map[string]map[*watch]struct{}{}, recent: map[string]time.Time{},
	}
}

// Start subscribes and returns when the broker knows of it.
func (l *CancelListener) Start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sub != nil {
		return nil
	}
	sub, err := l.nc.Subscribe(CancelPrefix+"*", l.receive)
	if err != nil {
		return fmt.Errorf("subscribe to cancellations: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	if err := l.nc.FlushWithContext(ctx); err != nil {
		return errors.Join(fmt.Errorf("subscribe to cancellations: %w", err), sub.Unsubscribe())
	}
	l.sub = sub
	return nil
}

// Watch returns a context that ends with the cause [ErrCancelled] when the
// request is cancelled, or was within the last minutes. Call stop when the
// work is done.
func (l *CancelListener) Watch(ctx context.Context, request string) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel}
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.recent[request]; ok && l.now().Sub(at) < rememberFor {
		cancel(ErrCancelled)
		return watched, func() {}
	}
	if l.watching[request] == nil {
		l.watching[request] = map[*watch]struct{}{}
	}
	l.watching[request][w] = struct{}{}
	return watched, func() {
		cancel(nil)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watching[request], w)
		if len(l.watching[request]) == 0 {
			delete(l.watching, request)
		}
	}
}

// Close ends the subscription. Watched contexts are left alone.
func (l *CancelListener) Close() error {
	l.mu.Lock()
	sub := l.sub
	l.sub = nil
	l.mu.Unlock()
	if sub == nil {
		return nil
	}
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
		return fmt.Errorf("unsubscribe from cancellations: %w", err)
	}
	return nil
}

func (l *CancelListener) receive(m *nats.Msg) {
	request := strings.TrimPrefix(m.Subject, CancelPrefix)
	if corpus.CheckToken("request", request) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(request)
	for w := range l.watching[request] {
		w.cancel(ErrCancelled)
	}
}

// remember notes a cancellation and forgets old ones. Call with the lock held.
func (l *CancelListener) remember(request string) {
	now := l.now()
	if _, ok := l.recent[request]; !ok {
		l.order = append(l.order, request)
	}
	l.recent[request] = now
	for len(l.order) > 0 && (len(l.order) > rememberMost || now.Sub(l.recent[l.order[0]]) >= rememberFor) {
		delete(l.recent, l.order[0])
		l.order = l.order[1:]
	}
}
