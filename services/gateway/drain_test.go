package gateway

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/reply"
)

func TestAStopSendsReadersElsewhere(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	finish := make(chan struct{})
	s.workers(func(w *work) {
		w.sources("p1")
		out := w.writer(reply.Generate, 1)
		must(t, out.Delta("one "))
		select {
		case <-finish:
		case <-w.ctx.Done():
			return
		}
		must(t, out.Delta("two"))
		w.finish(out, w.answerOf("one two"), "p1")
	})
	g, other := s.serve(), s.serve()
	r := g.askStreaming(nil)
	before := []sseEvent{r.want("started"), r.want("sources"), r.want("delta")}
	waiting := make(chan answered, 1)
	go func() { waiting <- g.postJSON("/v1/chat", `{"question":"And JSON?"}`) }()
	eventually(t, "the JSON request waits", func() bool { return g.svc.chats.inUse() == 1 })
	g.cancel()
	if left := r.rest(); len(left) != 0 || r.retry == "" {
		t.Fatalf("events %v, retry %q", left, r.retry)
	}
	close(finish) // the JSON request is served to its end, within the grace
	got := <-waiting
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	after := other.reopen(startedID(t, before[0]), before[2].id).rest()
	if all := slices.Concat(before, after); text(t, all) != "one two" {
		t.Fatal(all)
	}
	g.stop()
}

func TestAStopEndsWhatOutlastsTheGrace(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(func(c *Config, _ *Deps) { c.ShutdownGrace = 300 * time.Millisecond })
	waiting := make(chan answered, 1)
	go func() { waiting <- g.postJSON("/v1/chat", `{"question":"Why?"}`) }()
	eventually(t, "the request waits", func() bool { return g.svc.chats.inUse() == 1 })
	g.cancel()
	p := (<-waiting).problem(t, http.StatusServiceUnavailable, "stopping")
	if p.ChatID == "" {
		t.Fatal("the asker cannot find the chat again")
	}
	g.stop()
}

// endless is a body that goes on until it is closed.
type endless struct{ closed chan struct{} }

func (e endless) Read(p []byte) (int, error) {
	select {
	case <-e.closed:
		return 0, io.EOF
	case <-time.After(time.Millisecond):
		return copy(p, "and on "), nil
	}
}

func TestAStopEndsAnUploadThatOutlastsTheGrace(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(func(c *Config, _ *Deps) { c.ShutdownGrace = 300 * time.Millisecond })
	body := endless{closed: make(chan struct{})}
	defer close(body.closed)
	waiting := make(chan answered, 1)
	go func() { waiting <- g.do(http.MethodPost, "/v1/documents", body, header{"Content-Type": "text/plain"}) }()
	eventually(t, "the upload runs", func() bool { return g.svc.uploads.inUse() == 1 })
	g.cancel()
	(<-waiting).problem(t, http.StatusServiceUnavailable, "stopping")
	g.stop()
}
