package ingestor

import (
	"context"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/worker"
)

// letter waits for the first dead letter and returns its story.
func (s *stack) letter(t *testing.T) nats.Header {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	c, err := s.broker.JS.OrderedConsumer(ctx, broker.StreamDead, jetstream.OrderedConsumerConfig{})
	check(t, err)
	m, err := c.Next(jetstream.FetchMaxWait(bound))
	check(t, err)
	return m.Headers()
}

// TestBareEventsAreCheckedLikeUploads: over NATS there is nobody to answer, so
// the reason is in the dead letter, and the document is as it was.
func TestBareEventsAreCheckedLikeUploads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind       event.Kind
		data, code string
	}{
		"an acl of nobody":   {event.KindDocumentUploaded, `{"id":"book","dataref":"file:///x","acl":[]}`, "invalid_acl"},
		"a source that runs": {event.KindDocumentUploaded, `{"id":"book","dataref":"file:///x","source":"javascript:alert(1)"}`, "invalid_source"},
		"a title in control": {event.KindDocumentUploaded, `{"id":"book","dataref":"file:///x","title":"a\u0007"}`, "invalid_title"},
		"a change to nobody": {event.KindDocumentChanged, `{"id":"book","acl":[]}`, "invalid_acl"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, scriptembed.Config{})
			s.upload(t, "book", "book.md", book("herring", 1))
			scope, err := corpus.SystemScope(corpus.DefaultTenant)
			check(t, err)
			crew := []string{"crew"}
			_, err = s.catalog.Patch(t.Context(), scope, "book", catalog.Patch{ACL: &crew})
			check(t, err)
			_, err = s.broker.JS.Publish(t.Context(), event.SubjectOf(c.kind, corpus.DefaultTenant), []byte(c.data))
			check(t, err)
			if l := s.letter(t); l.Get(worker.HeaderDeadCode) != c.code || l.Get(worker.HeaderDeadAttempts) != "1" {
				t.Errorf("the letter tells %v", l)
			}
			doc, err := s.catalog.Get(t.Context(), scope, "book")
			if err != nil || !slices.Equal(doc.ACL, crew) {
				t.Errorf("the acl is %v: %v", doc.ACL, err)
			}
		})
	}
}
