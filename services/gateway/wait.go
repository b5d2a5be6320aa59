package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// maxWait bounds ?wait=.
const maxWait = time.Minute

// A waiter looks by itself as well, in case the news of the broker is lost:
// first after waitFirst, then less and less often.
const (
	waitFirst = 250 * time.Millisecond
	waitLast  = 5 * time.Second
)

func parseWait(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, fault.Invalidf("invalid_wait", "wait is a duration from 0s to 60s, such as 30s").WithField("wait")
	}
	return d, nil
}

// waitSettled returns a document as soon as nothing more happens to it by
// itself, at the latest after wait or when the server stops.
func (s *Service) waitSettled(ctx context.Context, scope corpus.Scope, id string, wait time.Duration) (corpus.Document, error) {
	doc, err := s.deps.Catalog.Get(ctx, scope, id)
	if err != nil || wait == 0 || doc.Status.Settled() {
		return doc, err
	}
	if err := s.waits.take(scope.Tenant()); err != nil {
		return doc, err
	}
	defer s.waits.give(scope.Tenant())
	news, leave := s.news.listen(scope.Tenant(), id)
	defer leave()
	end := time.NewTimer(wait)
	defer end.Stop()
	pause := waitFirst
	for {
		// Asked again after listening began, so that no news falls between.
		if doc, err = s.deps.Catalog.Get(ctx, scope, id); err != nil || doc.Status.Settled() {
			return doc, err
		}
		look := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // jitter is no secret
		select {
		case <-news:
		case <-look.C:
			pause = min(2*pause, waitLast)
		case <-end.C:
			look.Stop()
			return doc, nil
		case <-s.stop:
			look.Stop()
			return doc, nil
		case <-ctx.Done():
			look.Stop()
			return doc, fmt.Errorf("wait for the document: %w", context.Cause(ctx))
		}
		look.Stop()
	}
}

// newsroom tells waiters in this process that something happened to a
// document: one subscription, demultiplexed.
type newsroom struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{}
}

func newNewsroom() *newsroom {
	return &newsroom{waiting: map[string]map[chan struct{}]struct{}{}}
}

// listen returns a channel that gets a value when there is news of a document.
func (n *newsroom) listen(tenant, id string) (news <-chan struct{}, leave func()) {
	key := tenant + "." + id
	ch := make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.waiting[key] == nil {
		n.waiting[key] = map[chan struct{}]struct{}{}
	}
	n.waiting[key][ch] = struct{}{}
	return ch, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.waiting[key], ch)
		if len(n.waiting[key]) == 0 {
			delete(n.waiting, key)
		}
	}
}

// tell wakes the waiters of a document. The news carries no content: they look themselves.
func (n *newsroom) tell(m *nats.Msg) {
	tenant := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	id := m.Header.Get(event.HeaderSubject)
	n.mu.Lock()
	defer n.mu.Unlock()
	for ch := range n.waiting[tenant+"."+id] {
		select {
		case ch <- struct{}{}:
		default: // it has been woken and will look
		}
	}
}

// subscribe starts telling. Facts about documents are few, so every gateway gets all.
func (n *newsroom) subscribe(nc *nats.Conn) (subs []*nats.Subscription, err error) {
	for _, kind := range []event.Kind{event.KindDocumentIndexed, event.KindDocumentFailed, event.KindDocumentRemoved} {
		sub, err := nc.Subscribe(event.SubjectFilter(kind), n.tell)
		if err != nil {
			return subs, fault.As(fault.Transient, fmt.Errorf("subscribe to news of documents: %w", err))
		}
		subs = append(subs, sub)
	}
	return subs, nil
}
