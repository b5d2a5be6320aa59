package broker

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/event"
)

// Backlog counts what the ingestion queue holds. It is safe for concurrent use.
type Backlog struct {
	js jetstream.JetStream

	mu     sync.Mutex
	stream jetstream.Stream
}

// NewBacklog returns a Backlog on a JetStream context.
func NewBacklog(js jetstream.JetStream) *Backlog { return &Backlog{js: js} }

// Of returns how many messages of one kind and tenant are in the queue or in
// work, at some moment during the call. A broker that is away is a Transient fault.
func (b *Backlog) Of(ctx context.Context, kind event.Kind, tenant string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	subject := event.SubjectOf(kind, tenant)
	s, err := b.handle(ctx)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", subject, unavailable(err))
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", subject, unavailable(err))
	}
	return int(info.State.Subjects[subject]), nil
}

// handle looks the stream up once; what it returns names it only.
func (b *Backlog) handle(ctx context.Context) (jetstream.Stream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stream != nil {
		return b.stream, nil
	}
	s, err := b.js.Stream(ctx, StreamIngest)
	if err != nil {
		return nil, err //nolint:wrapcheck // Of wraps
	}
	b.stream = s
	return s, nil
}
