package gateway

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/reply"
)

func TestAnAnswerIsStreamed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("Because\n", "it is “so” [1]."))
	g := s.serve()
	events := g.askStreaming(nil).rest()
	if got := names(events); got != "started,sources,delta,delta,citation,done" {
		t.Fatal(got)
	}
	countUp(t, events)
	if got := text(t, events); got != "Because\nit is “so” [1]." {
		t.Fatalf("%q", got)
	}
	var done, stored conversation.Answer
	must(t, json.Unmarshal([]byte(events[5].data), &done))
	g.get("/v1/chat/"+done.ID).decode(t, &stored)
	if diff := cmp.Diff(stored, done); diff != "" {
		t.Fatal(diff)
	}
	var found struct {
		Passages []struct {
			ID string `json:"id"`
		} `json:"passages"`
	}
	must(t, json.Unmarshal([]byte(events[1].data), &found))
	if len(found.Passages) != 2 || len(done.Sources) < 10 {
		t.Fatalf("%v", events)
	}
	accepted := g.open(http.MethodPost, "/v1/chat", `{"question":"Why?"}`, header{"Accept": mimeEventStream})
	if got := names(accepted.rest()); !strings.HasSuffix(got, "done") {
		t.Fatal(got)
	}
}

func TestASilentStreamShowsThatItLives(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		hold := time.NewTimer(1500 * time.Millisecond)
		defer hold.Stop()
		select {
		case <-hold.C:
			complete("Yes.")(w)
		case <-w.ctx.Done():
		}
	})
	r := s.serve().askStreaming(nil)
	r.rest()
	if r.comments < 2 { // one opens the stream, one at least fills the silence
		t.Fatalf("%d comments", r.comments)
	}
}

func TestASlowReaderHarmsNobody(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	big := strings.Repeat("x", 32<<10)
	s.workers(func(w *work) {
		w.sources("p1")
		if w.ask.Question != "Slow?" {
			complete("Quick.")(w)
			return
		}
		out := w.writer(reply.Generate, 1)
		for range 600 { // more than an inbox and all socket buffers hold
			must(t, out.Delta(big))
		}
		w.finish(out, w.answerOf("done"), "p1")
	})
	g := s.serve(func(c *Config, _ *Deps) { c.WriteStall = 700 * time.Millisecond })
	c, err := net.Dial("tcp", g.svc.Addr())
	must(t, err)
	defer c.Close()
	_, err = fmt.Fprintf(c, "POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		len(`{"question":"Slow?","stream":true}`), `{"question":"Slow?","stream":true}`)
	must(t, err)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if a := g.ask(t, `{"question":"Quick?"}`); a.Answer != "Quick." {
				t.Errorf("%+v", a)
			}
		})
	}
	wg.Wait()
	eventually(t, "the slow reader is cut off", func() bool { return g.svc.streams.inUse() == 0 })
}

func TestAReaderWhoLagsLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	piece := strings.Repeat("y", 16<<10)
	const n = 800
	s.workers(func(w *work) {
		w.sources("p1")
		out := w.writer(reply.Generate, 1)
		for range n {
			must(t, out.Delta(piece))
		}
		a := w.answerOf("long")
		w.finish(out, a, "p1")
	})
	r := s.serve().askStreaming(nil)
	first := []sseEvent{r.want("started"), r.want("sources")}
	held := time.NewTimer(300 * time.Millisecond) // the inbox overflows meanwhile
	<-held.C
	events := slices.Concat(first, r.rest())
	countUp(t, events)
	if got := len(text(t, events)); got != n*len(piece) {
		t.Fatalf("%d bytes of %d", got, n*len(piece))
	}
	if events[len(events)-1].name != "done" {
		t.Fatal("no end")
	}
}

func TestBadResumesAreRefused(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve()
	g.do(http.MethodGet, "/v1/chat/x/stream", nil, header{"Last-Event-ID": "1.5"}).problem(t, http.StatusBadRequest, "invalid_last_event_id")
	g.get("/v1/chat/unknown/stream").problem(t, http.StatusNotFound, "chat_not_found")
	g.get("/v1/chat/a.b/stream").problem(t, http.StatusBadRequest, "invalid_id")
}

func TestOneStreamTooManyIs503(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) { <-w.ctx.Done() })
	g := s.serve(func(c *Config, _ *Deps) { c.MaxStreams = 1 })
	id := startedID(t, g.askStreaming(nil).want("started"))
	g.postJSON("/v1/chat", `{"question":"Why?","stream":true}`).problem(t, http.StatusServiceUnavailable, "too_many_streams")
	g.get("/v1/chat/"+id+"/stream").problem(t, http.StatusServiceUnavailable, "too_many_streams")
}
