package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/reply"
)

// sseEvent is one event as a client sees it.
type sseEvent struct {
	id   int
	name string
	data string
}

func (e sseEvent) String() string { return fmt.Sprintf("%d %s %s", e.id, e.name, e.data) }

// sseReader reads a stream of events.
type sseReader struct {
	t        testing.TB
	resp     *http.Response
	lines    *bufio.Reader
	cancel   context.CancelFunc
	comments int
	retry    string
}

// open starts reading a stream; the answer must be one.
func (g *server) open(method, path, body string, h header) *sseReader {
	g.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, strings.NewReader(body))
	must(g.t, err)
	req.Header.Set("Content-Type", "application/json")
	for k, v := range h {
		req.Header.Set(k, v)
	}
	resp, err := g.http.Do(req)
	must(g.t, err)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != mimeEventStream ||
		resp.Header.Get("X-Accel-Buffering") != "no" || resp.Header.Get("Cache-Control") != "no-cache" {
		data, _ := io.ReadAll(resp.Body)
		g.t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, data)
	}
	r := &sseReader{t: g.t, resp: resp, lines: bufio.NewReader(resp.Body), cancel: cancel}
	g.t.Cleanup(r.close)
	return r
}

func (g *server) askStreaming(h header) *sseReader {
	g.t.Helper()
	return g.open(http.MethodPost, "/v1/chat", `{"question":"Why?","stream":true}`, h)
}

func (g *server) reopen(chat string, last int) *sseReader {
	g.t.Helper()
	h := header{}
	if last > 0 {
		h["Last-Event-ID"] = strconv.Itoa(last)
	}
	return g.open(http.MethodGet, "/v1/chat/"+chat+"/stream", "", h)
}

func (r *sseReader) close() {
	r.cancel()
	_ = r.resp.Body.Close()
}

// next returns the next event; ok is false at the end of the stream.
func (r *sseReader) next() (e sseEvent, ok bool) {
	r.t.Helper()
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return e, false
		}
		line = strings.TrimSuffix(line, "\n")
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && e.name != "":
			return e, true
		case line == "":
		case strings.HasPrefix(line, ":"):
			r.comments++
		case key == "id":
			e.id, err = strconv.Atoi(value)
			must(r.t, err)
		case key == "event":
			e.name = value
		case key == "data":
			e.data = value
		case key == "retry":
			r.retry = value
		default:
			r.t.Fatalf("line %q", line)
		}
	}
}

func (r *sseReader) want(name string) sseEvent {
	r.t.Helper()
	e, ok := r.next()
	if !ok || e.name != name {
		r.t.Fatalf("event %s (%v), want %s", e, ok, name)
	}
	return e
}

func (r *sseReader) rest() []sseEvent {
	r.t.Helper()
	var all []sseEvent
	for {
		e, ok := r.next()
		if !ok {
			return all
		}
		all = append(all, e)
	}
}

func names(events []sseEvent) string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.name
	}
	return strings.Join(out, ",")
}

// text returns what a reader holds after the events: deltas since the last restart.
func text(t testing.TB, events []sseEvent) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		switch e.name {
		case "restart":
			b.Reset()
		case "delta":
			var d delta
			must(t, json.Unmarshal([]byte(e.data), &d))
			b.WriteString(d.Text)
		}
	}
	return b.String()
}

func countUp(t testing.TB, events []sseEvent) {
	t.Helper()
	for i, e := range events {
		if e.id != 1+i {
			t.Fatalf("event %d has id %d in %v", 1+i, e.id, events)
		}
	}
}

func startedID(t testing.TB, e sseEvent) string {
	t.Helper()
	var s started
	must(t, json.Unmarshal([]byte(e.data), &s))
	return s.ID
}

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

func TestEveryGatewayTellsTheSameFromEveryPlace(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	pieces := make([]string, 40)
	for i := range pieces {
		pieces[i] = fmt.Sprintf("piece %d ", i)
	}
	s.workers(complete(pieces...))
	g, other := s.serve(), s.serve()
	all := g.askStreaming(nil).rest()
	id := startedID(t, all[0])
	for _, last := range []int{0, 1, 2, 3, 17, len(all) - 2, len(all) - 1} {
		if diff := cmp.Diff(fmt.Sprint(all[last:]), fmt.Sprint(other.reopen(id, last).rest())); diff != "" {
			t.Fatalf("after %d: %s", last, diff)
		}
	}
	// Who has everything gets the end again, whatever else was read.
	if got := names(other.reopen(id, len(all)).rest()); got != "done" {
		t.Fatal(got)
	}
	// Who claims more than there is starts over.
	over := other.reopen(id, 1000).rest()
	if got := names(over); got != "restart,sources,delta,citation,done" || over[0].id != 1001 || text(t, over) != strings.Join(pieces, "") {
		t.Fatal(over)
	}
}

func TestAReaderGoesOnAtAnotherGatewayWhileTheAnswerIsMade(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	more := make(chan struct{})
	s.workers(func(w *work) {
		w.sources("p1", "p2")
		out := w.writer(reply.Generate, 1)
		must(t, out.Delta("one "))
		must(t, out.Delta("two "))
		select {
		case <-more:
		case <-w.ctx.Done():
			return
		}
		must(t, out.Delta("three"))
		w.finish(out, w.answerOf("one two three"), "p1", "p2")
	})
	g, other := s.serve(), s.serve()
	r := g.askStreaming(nil)
	before := []sseEvent{r.want("started"), r.want("sources"), r.want("delta")}
	r.close()
	second := other.reopen(startedID(t, before[0]), before[2].id)
	next := second.want("delta")
	close(more)
	after := append([]sseEvent{next}, second.rest()...)
	countUp(t, slices.Concat(before, after))
	if got := text(t, slices.Concat(before, after)); got != "one two three" {
		t.Fatalf("%q", got)
	}
	if got := names(after); got != "delta,delta,done" {
		t.Fatal(got)
	}
}

// gone reports whether a chat is cancelled within a time.
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

func TestASecondAttemptStartsOver(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		w.sources("p1", "p2")
		first := w.writer(reply.Generate, 1)
		must(t, first.Delta("wrong "))
		must(t, first.Delta("way"))
		second := w.writer(reply.Generate, 2)
		must(t, second.Delta("right "))
		must(t, first.Delta("!!")) // a straggler of the first attempt
		must(t, second.Delta("way"))
		w.finish(second, w.answerOf("right way"), "p1", "p2")
	})
	g, other := s.serve(), s.serve()
	events := g.askStreaming(nil).rest()
	if got := names(events); got != "started,sources,delta,delta,restart,sources,delta,delta,done" {
		t.Fatal(got)
	}
	if got := text(t, events); got != "right way" {
		t.Fatalf("%q", got)
	}
	countUp(t, events)
	if diff := cmp.Diff(fmt.Sprint(events[3:]), fmt.Sprint(other.reopen(startedID(t, events[0]), 3).rest())); diff != "" {
		t.Fatal(diff)
	}
}

func TestAGapIsHealedFromTheRecordOfFrames(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		w.sources("p1", "p2")
		out := w.writer(reply.Generate, 1)
		must(t, out.Delta("a"))
		// One frame reaches the broker's record but not the gateway: it went
		// to the subject of another gateway.
		lost := &nats.Msg{
			Subject: reply.Subject("elsewhere", w.ask.ID), Header: nats.Header{reply.HeaderFrame: {"generate/1/2/delta"}}, Data: []byte("b"),
		}
		must(t, s.bus.NATS.PublishMsg(lost))
		after := &nats.Msg{Subject: w.event.ReplyTo, Header: nats.Header{reply.HeaderFrame: {"generate/1/3/delta"}}, Data: []byte("c")}
		must(t, s.bus.NATS.PublishMsg(after))
		a := w.answerOf("abc")
		a.Sources = nil
		data, err := json.Marshal(a)
		must(t, err)
		end := &nats.Msg{Subject: w.event.ReplyTo, Header: nats.Header{reply.HeaderFrame: {"generate/1/4/end"}}, Data: data}
		must(t, s.bus.NATS.PublishMsg(end))
	})
	events := s.serve().askStreaming(nil).rest()
	if got := names(events); got != "started,sources,delta,delta,delta,done" || text(t, events) != "abc" {
		t.Fatal(events)
	}
	countUp(t, events)
}

func TestWhatTheBrokerLostIsReadFromTheConversation(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		w.sources("p1", "p2")
		out := w.writer(reply.Generate, 1)
		must(t, out.Delta("half "))
		gap := &nats.Msg{Subject: w.event.ReplyTo, Header: nats.Header{reply.HeaderFrame: {"generate/1/7/delta"}}, Data: []byte("x")}
		must(t, s.bus.NATS.PublishMsg(gap))
		w.finish(out, w.answerOf("half and half"), "p1", "p2")
	})
	g := s.serve()
	events := g.askStreaming(nil).rest()
	if got := names(events); got != "started,sources,delta,restart,sources,delta,citation,done" || text(t, events) != "half and half" {
		t.Fatal(events)
	}
	if a := g.ask(t, `{"question":"Why again?"}`); a.Answer != "half and half" || len(a.Sources) < 10 {
		t.Fatalf("%+v", a)
	}
}

func TestAnOldAnswerIsStreamedFromTheConversation(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("Long ", "ago."))
	g := s.serve()
	first := g.askStreaming(nil).rest()
	id := startedID(t, first[0])
	stream, err := s.bus.JS.Stream(t.Context(), "RAG_FRAMES")
	must(t, err)
	must(t, stream.Purge(t.Context())) // as after five minutes
	events := g.reopen(id, 0).rest()
	if got := names(events); got != "started,sources,delta,citation,done" || text(t, events) != "Long ago." {
		t.Fatal(events)
	}
	countUp(t, events)
	resumed := g.reopen(id, 3).rest()
	if got := names(resumed); got != "restart,sources,delta,citation,done" || text(t, resumed) != "Long ago." || resumed[0].id != 4 {
		t.Fatal(resumed)
	}
}

func TestAStreamWithoutAnAnswerEndsWithAnError(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve()
	r := g.open(http.MethodPost, "/v1/chat", `{"question":"Why?","stream":true,"deadline_ms":1000}`, nil)
	events := r.rest()
	if got := names(events); got != "started,error" {
		t.Fatal(got)
	}
	var p Problem
	must(t, json.Unmarshal([]byte(events[1].data), &p))
	if p.Code != "deadline_exceeded" || p.Status != http.StatusGatewayTimeout || p.ChatID != startedID(t, events[0]) {
		t.Fatalf("%+v", p)
	}
	if got := names(g.reopen(p.ChatID, 0).rest()); got != "started,error" {
		t.Fatal(got)
	}
}

func TestAStreamCannotBeReadByItsIdAlone(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	turn, _, err := s.chats.Accept(t.Context(), conversation.Question{
		Caller: conversation.Caller{Tenant: "default", Owner: "another"}, ID: "theirs", Digest: "d", Text: "Secret?",
		AskedAt: time.Now(), Deadline: time.Now().Add(time.Minute),
	})
	must(t, err)
	for _, path := range []string{"/v1/chat/theirs", "/v1/chat/theirs/stream"} {
		g.get(path).problem(t, http.StatusNotFound, "chat_not_found")
	}
	g.do(http.MethodDelete, "/v1/chat/theirs", nil, nil).problem(t, http.StatusNotFound, "chat_not_found")
	g.get("/v1/conversations/"+turn.Question.ConversationID).problem(t, http.StatusNotFound, "conversation_not_found")
	g.get("/v1/conversations/"+turn.Question.ConversationID+"/messages").problem(t, http.StatusNotFound, "conversation_not_found")
}

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
	eventually(t, "the JSON request waits", func() bool { return len(g.svc.chats.free) == 1 })
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
	eventually(t, "the request waits", func() bool { return len(g.svc.chats.free) == 1 })
	g.cancel()
	p := (<-waiting).problem(t, http.StatusServiceUnavailable, "stopping")
	if p.ChatID == "" {
		t.Fatal("the asker cannot find the chat again")
	}
	g.stop()
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
	eventually(t, "the slow reader is cut off", func() bool { return len(g.svc.streams.free) == 0 })
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
