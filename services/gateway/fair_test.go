package gateway

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
)

// TestUploadsBeyondTheWindowAreAccepted: the queue has room for a window of a
// tenant's documents; the others are accepted all the same, and wait in order.
func TestUploadsBeyondTheWindowAreAccepted(t *testing.T) {
	t.Parallel()
	const window, uploads = 3, 8
	s := newStack(t)
	g := s.serve(func(c *Config, _ *Deps) { c.TenantWindow = window })
	var ids []string
	for i := range uploads {
		d := g.postJSON("/v1/documents", fmt.Sprintf(`{"id":"d%d","text":"text %d"}`, i, i)).document(t, http.StatusAccepted)
		ids = append(ids, d.ID)
	}
	if work := s.ingestWork(); len(work) != window {
		t.Errorf("%d events in the queue, want %d", len(work), window)
	}
	turns, err := s.docs.Waiting(t.Context(), "default", catalog.Extract, 100)
	if err != nil || len(turns) != uploads-window {
		t.Fatalf("%d wait, %v", len(turns), err)
	}
	for i, turn := range turns {
		if turn.ID != ids[window+i] {
			t.Errorf("%d in line is %s, want %s", i, turn.ID, ids[window+i])
		}
	}
	// A deletion is not behind the uploads.
	if got := g.do(http.MethodDelete, "/v1/documents/"+ids[0], nil, nil); got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if work := s.ingestWork(); len(work) != window+1 {
		t.Errorf("%d events in the queue after a deletion", len(work))
	}
}

// TestAPipelineIsToldThatItsQueueIsFull: what is not on record yet cannot wait
// there, so that its sender has to.
func TestAPipelineIsToldThatItsQueueIsFull(t *testing.T) {
	t.Parallel()
	s := newStackWith(t, broker.TopologyConfig{IngestTenantQueue: 2})
	g := s.serve()
	send := func(n int) answered {
		return g.postEvent(fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"/p","type":"ragbus.document.uploaded.v1","data":{"dataref":"file:///in/%d.pdf"}}`, n, n),
			header{"Content-Type": structuredType})
	}
	for n := range 2 {
		if got := send(n); got.status != http.StatusAccepted {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if p := send(2).problem(t, http.StatusTooManyRequests, "queue_full"); p.RetryAfterS < 1 {
		t.Errorf("no word of when to come back: %+v", p)
	}
	if got := send(1); got.status != http.StatusAccepted {
		t.Errorf("one that is there already: %d %s", got.status, got.body)
	}
}
