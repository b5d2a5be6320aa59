package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	cancelled := s.cancellations()
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
	eventually(t, "cancelled", func() bool { return g.status(id) == conversation.Cancelled })
}

func TestTheWorkGoesOnWhileAnyoneReads(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	cancelled := s.cancellations()
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

// A gateway that stands still answers nobody. Who was seen to go on there is
// given time more than once, and not for ever.
func TestAReaderAtAGatewayThatStandsStillIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	cancelled := s.cancellations()
	s.workers(func(w *work) { w.sources("p1") })
	const grace = 300 * time.Millisecond
	g := s.serve(func(c *Config, _ *Deps) { c.ReaderGrace = grace })
	r := g.askStreaming(nil)
	id := startedID(t, r.want("started"))
	r.want("sources")
	must(t, s.bus.NATS.Publish("rag.reader.v1."+id, []byte(`{"at":"another"}`)))
	eventually(t, "it is heard", func() bool { return g.svc.readers.since(id, 0) })
	left := time.Now()
	r.close()
	if m, err := cancelled.NextMsg(patience); err != nil || !strings.HasSuffix(m.Subject, id) {
		t.Fatalf("never given up: %v", err)
	}
	if took := time.Since(left); took < judgements*grace {
		t.Errorf("given up after %s", took)
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

// A worker that lives ends what is cancelled: all have what was told until then.
func TestACancelledAnswerKeepsWhatWasTold(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	cancelled := s.cancellations()
	s.workers(func(w *work) {
		w.sources("p1")
		out := w.writer(reply.Generate, 1)
		must(t, out.Delta("One. "))
		must(t, out.Delta("Two."))
		if _, err := cancelled.NextMsg(patience); err != nil {
			t.Errorf("not cancelled: %v", err)
		}
		said := w.answerOf("One. Two.")
		said.Status = conversation.Cancelled
		w.finish(out, said, "p1")
	})
	g, other := s.serve(), s.serve()
	r := g.askStreaming(nil)
	told := []sseEvent{r.want("started"), r.want("sources"), r.want("delta"), r.want("delta")}
	id := startedID(t, told[0])
	var returned conversation.Answer
	other.do(http.MethodDelete, "/v1/chat/"+id, nil, nil).decode(t, &returned)
	told = append(told, r.rest()...)
	done := told[len(told)-1]
	if got := names(told); got != "started,sources,delta,delta,done" {
		t.Fatal(told)
	}
	var a conversation.Answer
	must(t, json.Unmarshal([]byte(done.data), &a))
	if a.Status != conversation.Cancelled || a.Answer != "One. Two." || !strings.Contains(string(a.Sources), "Text of p1") {
		t.Errorf("told %s", done.data)
	}
	if diff := cmp.Diff(a, returned); diff != "" {
		t.Errorf("-told +returned\n%s", diff)
	}
	for last := range told {
		if diff := cmp.Diff(fmt.Sprint(told[last:]), fmt.Sprint(other.reopen(id, last).rest())); diff != "" {
			t.Errorf("read again after %d: %s", last, diff)
		}
	}
}

// The worker is dead, or has not begun: the record keeps what it told.
func TestWhatADeadWorkerToldIsKeptWhenItsAnswerIsCancelled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		w.sources("p1")
		if w.ask.Question == "Why?" {
			must(t, w.writer(reply.Generate, 1).Delta("part"))
		}
	})
	for question, want := range map[string]struct{ told, events string }{
		"Why?":     {"part", "started,sources,delta,restart,sources,delta,done"},
		"Why not?": {"", "started,sources,done"},
	} {
		t.Run(question, func(t *testing.T) {
			t.Parallel()
			g, other := s.serve(), s.serve()
			r := g.open(http.MethodPost, "/v1/chat", fmt.Sprintf(`{"question":%q,"stream":true}`, question), nil)
			told := []sseEvent{r.want("started"), r.want("sources")}
			if want.told != "" {
				told = append(told, r.want("delta"))
			}
			var a conversation.Answer
			other.do(http.MethodDelete, "/v1/chat/"+startedID(t, told[0]), nil, nil).decode(t, &a)
			if a.Status != conversation.Cancelled || a.Answer != want.told || !strings.Contains(string(a.Sources), "Text of p1") {
				t.Errorf("returned %+v", a)
			}
			told = append(told, r.rest()...)
			if got := names(told); got != want.events {
				t.Error(told)
			}
			var ended conversation.Answer
			must(t, json.Unmarshal([]byte(told[len(told)-1].data), &ended))
			if diff := cmp.Diff(a, ended); diff != "" {
				t.Errorf("-returned +told\n%s", diff)
			}
		})
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
