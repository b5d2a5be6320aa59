package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/reply"
)

// status returns the state of a chat.
func (g *server) status(chat string) conversation.Status {
	g.t.Helper()
	var a conversation.Answer
	g.get("/v1/chat/"+chat).decode(g.t, &a)
	return a.Status
}

func TestTheWorkOfAReaderWhoLeftIsCancelled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	cancelled, err := s.bus.NATS.SubscribeSync("rag.cancel.v1.*")
	must(t, err)
	s.workers(func(w *work) { w.sources("p1") })
	g := s.serve()
	r := g.askStreaming(nil)
	id := startedID(t, r.want("started"))
	r.want("sources")
	left := time.Now()
	r.close()
	if m, err := cancelled.NextMsg(patience); err != nil || !strings.HasSuffix(m.Subject, id) {
		t.Fatalf("not cancelled: %v", err)
	}
	if took := time.Since(left); took > 5*time.Second {
		t.Errorf("noticed only after %s", took)
	}
	if st := g.status(id); st != conversation.Cancelled {
		t.Fatal(st)
	}
}

func TestTheWorkGoesOnWhileAnyoneReads(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	cancelled, err := s.bus.NATS.SubscribeSync("rag.cancel.v1.*")
	must(t, err)
	finish := make(chan struct{})
	s.workers(func(w *work) {
		w.sources("p1")
		select {
		case <-finish:
			out := w.writer(reply.Generate, 1)
			must(t, out.Delta("Done."))
			w.finish(out, w.answerOf("Done."), "p1")
		case <-w.ctx.Done():
		}
	})
	g, other := s.serve(), s.serve()
	first := g.askStreaming(nil)
	id := startedID(t, first.want("started"))
	second := other.reopen(id, 0)
	second.want("started")
	first.close()
	// The first gateway notices, waits its grace, asks around, and leaves the work alone.
	eventually(t, "the first gateway has judged", func() bool { return !g.svc.readers.says(id).Reading })
	if m, err := cancelled.NextMsg(700 * time.Millisecond); err == nil {
		t.Fatalf("cancelled although somebody reads: %s", m.Subject)
	}
	close(finish)
	if got := names(second.rest()); got != "sources,delta,done" && got != "sources,delta,citation,done" {
		t.Fatal(got)
	}
}

func TestTheLastReaderAtAnotherGatewayEndsTheWork(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) { w.sources("p1") })
	g, other := s.serve(), s.serve()
	first := g.askStreaming(nil)
	id := startedID(t, first.want("started"))
	second := other.reopen(id, 0)
	second.want("started")
	first.close()
	eventually(t, "the first gateway has judged", func() bool { return !g.svc.readers.says(id).Reading })
	second.close()
	eventually(t, "cancelled", func() bool { return g.status(id) == conversation.Cancelled })
}

func TestABackgroundChatOutlivesItsReader(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	finish := make(chan struct{})
	s.workers(func(w *work) {
		w.sources("p1")
		select {
		case <-finish:
			w.finish(w.writer(reply.Generate, 1), w.answerOf("Done."), "p1")
		case <-w.ctx.Done():
		}
	})
	g := s.serve()
	r := g.open(http.MethodPost, "/v1/chat", `{"question":"Why?","stream":true,"background":true}`, nil)
	id := startedID(t, r.want("started"))
	r.close()
	eventually(t, "the gateway has judged", func() bool { return !g.svc.readers.says(id).Reading })
	close(finish)
	eventually(t, "completed", func() bool { return g.status(id) == conversation.Completed })
}

func TestADeleteEndsTheStreamAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		w.sources("p1")
		must(t, w.writer(reply.Generate, 1).Delta("part"))
	})
	g, other := s.serve(), s.serve()
	r := g.askStreaming(nil)
	id := startedID(t, r.want("started"))
	r.want("sources")
	r.want("delta")
	if got := other.do(http.MethodDelete, "/v1/chat/"+id, nil, nil); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	events := r.rest()
	last := events[len(events)-1]
	var a conversation.Answer
	must(t, json.Unmarshal([]byte(last.data), &a))
	if last.name != "done" || a.Status != conversation.Cancelled {
		t.Fatal(events)
	}
}

func TestTheWorkOfAnAskerWhoHungUpIsCancelled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	asked := make(chan string, 1)
	s.workers(func(w *work) { asked <- w.ask.ID })
	g := s.serve()
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/chat", strings.NewReader(`{"question":"Why?"}`))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if resp, err := g.http.Do(req); err == nil {
			resp.Body.Close()
			t.Error("an answer came")
		}
	}()
	id := <-asked
	hangUp()
	<-ended
	eventually(t, "cancelled", func() bool { return g.status(id) == conversation.Cancelled })
}
