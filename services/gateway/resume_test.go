package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/reply"
)

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
	if got := names(over); got != "restart,sources,delta,citation,done" || over[0].id != replayed+1 || text(t, over) != strings.Join(pieces, "") {
		t.Fatal(over)
	}
}

// The first attempt's frames went down with the broker; the next tells the same
// answer in other pieces, which happen to be as many.
func TestWhatAnotherAttemptTellsIsNoContinuation(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		w.sources("p1")
		out := w.writer(reply.Generate, 3)
		must(t, out.Delta("All at "))
		must(t, out.Delta("once."))
		w.finish(out, w.answerOf("All at once."), "p1")
	})
	g := s.serve()
	all := g.askStreaming(nil).rest()
	id := startedID(t, all[0])
	if got := names(all); got != "started,sources,delta,delta,done" {
		t.Fatal(all)
	}
	for had := 3; had <= len(all); had++ { // of events that nobody has any more
		again := g.reopen(id, had).rest()
		from := slices.IndexFunc(again, func(e sseEvent) bool { return e.name == "restart" })
		if from != 0 || again[0].id != replayed+1 || text(t, again) != "All at once." || names(again[from:]) != "restart,sources,delta,citation,done" {
			t.Errorf("after %d: %s", had, again)
		}
	}
	for _, had := range []int{0, 1, 2} {
		if again := g.reopen(id, had).rest(); fmt.Sprint(again) != fmt.Sprint(all[had:]) {
			t.Errorf("after %d: %s", had, again)
		}
	}
}

// An answer that was not asked for streaming is streamed from its one frame.
func TestAWholeAnswerIsStreamedFromEveryPlace(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("All ", "at once."))
	g, other := s.serve(), s.serve()
	var a conversation.Answer
	g.postJSON("/v1/chat", `{"question":"Why?"}`).decode(t, &a)
	if !strings.Contains(string(a.Sources), "Text of p2") {
		t.Fatalf("the sources are missing: %s", a.Sources)
	}
	all := g.reopen(a.ID, 0).rest()
	if got := names(all); got != "started,sources,delta,citation,done" || text(t, all) != "All at once." || !strings.Contains(all[1].data, "Text of p2") {
		t.Fatal(all)
	}
	for last := range all {
		if diff := cmp.Diff(fmt.Sprint(all[last:]), fmt.Sprint(other.reopen(a.ID, last).rest())); diff != "" {
			t.Errorf("after %d: %s", last, diff)
		}
	}
	over := other.reopen(a.ID, 1000).rest()
	if got := names(over); got != "restart,sources,delta,citation,done" || !strings.Contains(over[1].data, "Text of p2") {
		t.Error(over)
	}
}

// tellCancelled is what a generator does that finds its question cancelled.
func (w *work) tellCancelled(attempt int) {
	w.t.Helper()
	stored := w.answerOf("")
	stored.Status, stored.Grounded, stored.Citations, stored.Sources = conversation.Cancelled, false, []conversation.Citation{}, json.RawMessage("[]")
	kept, err := w.s.chats.Finish(w.ctx, conversation.Caller{Tenant: w.event.Tenant, Owner: w.ask.Owner}, stored)
	must(w.t, err)
	out := w.writer(reply.Generate, attempt)
	must(w.t, out.Sources(kept.Sources))
	kept.Sources = nil
	must(w.t, out.End(kept))
}

// An answer that was stored by somebody else, as a cancellation does, ends the
// stream as it is stored, whatever sources were told before.
func TestAnEndHasTheSourcesThatAreStored(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		w.sources("p1", "p2")
		w.tellCancelled(1)
	})
	g := s.serve()
	events := g.askStreaming(nil).rest()
	last := events[len(events)-1]
	if got := names(events); got != "started,sources,sources,done" {
		t.Error(got)
	}
	var told, stored map[string]any
	must(t, json.Unmarshal([]byte(last.data), &told))
	g.get("/v1/chat/"+startedID(t, events[0])).decode(t, &stored)
	if diff := cmp.Diff(stored, told); diff != "" {
		t.Errorf("-stored +told:\n%s", diff)
	}
}

// The frames went down with the broker; then a worker that is asked again finds
// the answer cancelled, whose sources are others. What the reader had is not
// what these frames tell.
func TestOtherSourcesAreNoBeginning(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) { w.tellCancelled(3) })
	g := s.serve()
	id := startedID(t, g.askStreaming(nil).rest()[0])
	const had = 3 // started, sources, a delta
	over := g.reopen(id, had).rest()
	if got := names(over); got != "restart,sources,done" || over[0].id != replayed+1 {
		t.Error(over)
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

// Asked again under its key when the answer is there, a stream is counted as
// one that resumes it counts: its reader may go on there.
func TestARepeatedStreamCountsLikeAResumedOne(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		w.sources("p1", "p2")
		out := w.writer(reply.Generate, 1)
		must(t, errors.Join(out.Delta("one "), out.Delta("two "), out.Delta("three")))
		w.finish(out, w.answerOf("one two three"), "p1", "p2")
	})
	g, other := s.serve(), s.serve()
	key := header{"Idempotency-Key": "k"}
	first := g.askStreaming(key).rest()
	again := other.askStreaming(key).rest()
	if diff := cmp.Diff(fmt.Sprint(first), fmt.Sprint(again)); diff != "" {
		t.Errorf("-first +again\n%s", diff)
	}
	const had = 3
	if diff := cmp.Diff(fmt.Sprint(again[had:]), fmt.Sprint(other.reopen(startedID(t, again[0]), had).rest())); diff != "" {
		t.Errorf("-again +resumed\n%s", diff)
	}
}

// A worker that died between storing the answer and telling its end leaves
// frames without one. Who comes then gets the answer from the record, and need
// not wait for the deadline.
func TestAnAnswerOnRecordIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	stored := make(chan struct{})
	s.workers(func(w *work) {
		defer close(stored)
		w.sources("p1", "p2")
		must(t, w.writer(reply.Generate, 1).Delta("one "))
		_, err := s.chats.Finish(w.ctx, conversation.Caller{Tenant: w.event.Tenant, Owner: w.ask.Owner}, w.answerOf("one two"))
		must(t, err)
	})
	g := s.serve()
	r := g.askStreaming(header{"Idempotency-Key": "k"})
	first := r.want("started")
	<-stored
	r.close()
	began := time.Now()
	for name, again := range map[string]*sseReader{
		"repeated": g.askStreaming(header{"Idempotency-Key": "k"}), "resumed": g.reopen(startedID(t, first), 1),
	} {
		events := again.rest()
		if last := events[len(events)-1]; last.name != "done" || !strings.Contains(last.data, "one two") {
			t.Errorf("%s: %v", name, events)
		}
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

// Whoever writes an answer stands still between storing it and telling it.
// A reader who was told from the record meanwhile is not told the rest from
// the frames that come then: these count otherwise.
func TestWhatTheRecordToldIsNotContinuedByFrames(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	stored, goOn, told := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.workers(func(w *work) {
		defer close(told)
		w.sources("p1", "p2")
		a := w.answerOf("one two three")
		found, err := json.Marshal(passages("p1", "p2"))
		must(t, err)
		a.Sources = found
		_, err = s.chats.Finish(w.ctx, conversation.Caller{Tenant: w.event.Tenant, Owner: w.ask.Owner}, a)
		must(t, err)
		close(stored)
		<-goOn
		out := w.writer(reply.Generate, 1)
		for _, piece := range []string{"one ", "two ", "three"} {
			must(t, out.Delta(piece))
		}
		must(t, out.Citation(a.Citations[0]))
		w.finish(out, a, "p1", "p2")
	})
	g, other := s.serve(), s.serve()
	live := g.askStreaming(nil)
	id := startedID(t, live.want("started"))
	<-stored
	live.close()
	events := g.reopen(id, 0).rest()
	if got := names(events); got != "started,sources,delta,citation,done" || text(t, events) != "one two three" {
		t.Fatal(events)
	}
	close(goOn)
	<-told
	for n, e := range events[2:] {
		if rest := other.reopen(id, e.id).rest(); fmt.Sprint(rest) != fmt.Sprint(events[min(n+3, len(events)-1):]) {
			t.Errorf("after %d: %s", e.id, rest)
		}
	}
}

// Two retrievers told at the same time what they found: one reader has it in
// the one order, and the broker kept it in the other, in which the older is
// nothing to tell.
func TestSourcesInAnotherOrderAreNoBeginning(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		newer, err := json.Marshal(passages("p2"))
		must(t, err)
		must(t, w.writer(reply.Retrieve, 2).Sources(newer))
		w.sources("p1")
		out := w.writer(reply.Generate, 1)
		out.From(newer)
		must(t, out.Delta("At "))
		must(t, out.Delta("once."))
		w.finish(out, w.answerOf("At once."), "p2")
	})
	g := s.serve()
	all := g.askStreaming(nil).rest()
	id := startedID(t, all[0])
	if got := names(all); got != "started,sources,delta,delta,done" {
		t.Fatal(all)
	}
	for _, had := range []int{0, 1} {
		if again := g.reopen(id, had).rest(); fmt.Sprint(again) != fmt.Sprint(all[had:]) {
			t.Errorf("after %d: %s", had, again)
		}
	}
	for had := 2; had <= 6; had++ { // started, p1, p2, At, once., done
		if again := g.reopen(id, had).rest(); names(again) != "restart,sources,delta,citation,done" || !strings.Contains(again[1].data, "Text of p2") {
			t.Errorf("after %d: %s", had, again)
		}
	}
}

// The end of an answer went down with the broker before its reader had it.
// Nothing will come any more, and the record has it.
func TestAnEndThatTheBrokerLostIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	stored := make(chan struct{})
	s.workers(func(w *work) {
		defer close(stored)
		w.sources("p1", "p2")
		must(t, w.writer(reply.Generate, 1).Delta("one "))
		_, err := s.chats.Finish(w.ctx, conversation.Caller{Tenant: w.event.Tenant, Owner: w.ask.Owner}, w.answerOf("one two"))
		must(t, err)
	})
	g := s.serve()
	asked := time.Now()
	r := g.askStreaming(nil)
	had := []sseEvent{r.want("started"), r.want("sources"), r.want("delta")}
	<-stored
	s.bus.Restart()
	events := r.rest()
	for len(events) == 0 && time.Since(asked) < g.svc.cfg.ChatDeadline { // asked to come back
		events = g.reopen(startedID(t, had[0]), had[2].id).rest()
	}
	if got := names(events); got != "restart,sources,delta,citation,done" || text(t, events) != "one two" {
		t.Errorf("%v", events)
	}
	if took := time.Since(asked); took > g.svc.cfg.ChatDeadline/2 {
		t.Errorf("it took %s", took)
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
	if got := names(resumed); got != "restart,sources,delta,citation,done" || text(t, resumed) != "Long ago." || resumed[0].id != replayed+1 {
		t.Fatal(resumed)
	}
	// Who was told from the record goes on in it, at any place.
	for n, e := range resumed {
		if rest := g.reopen(id, e.id).rest(); fmt.Sprint(rest) != fmt.Sprint(resumed[min(n+1, len(resumed)-1):]) {
			t.Errorf("after %d: %s", e.id, rest)
		}
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

// TestAnErrorFollowsWhatItsReaderHas: the frames of what the reader saw are
// gone, and only that the chat failed is left to tell.
func TestAnErrorFollowsWhatItsReaderHas(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		w.sources("p1", "p2")
		out := w.writer(reply.Generate, 1)
		must(t, out.Delta("half "))
		must(t, out.Delta("an answer"))
		must(t, out.Error(conversation.Problem{Code: "model_unavailable", Message: "the model is away"}))
	})
	g, other := s.serve(), s.serve()
	events := g.askStreaming(nil).rest()
	if got := names(events); got != "started,sources,delta,delta,error" {
		t.Fatal(got)
	}
	countUp(t, events)
	stream, err := s.bus.JS.Stream(t.Context(), "RAG_FRAMES")
	must(t, err)
	must(t, stream.Purge(t.Context()))
	for _, last := range []int{1, 3, 4} {
		if again := other.reopen(startedID(t, events[0]), last).rest(); names(again) != "error" || again[0].id != last+1 {
			t.Errorf("after event %d: %v", last, again)
		}
	}
}

// TestSourcesThatWereLostAreReadFromTheConversation: the frame with the
// sources went down with a broker, the rest of the answer came.
func TestSourcesThatWereLostAreReadFromTheConversation(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		out := w.writer(reply.Generate, 1)
		must(t, out.Delta("an "))
		must(t, out.Delta("answer"))
		w.finish(out, w.answerOf("an answer"), "p1", "p2")
	})
	g := s.serve()
	events := g.askStreaming(nil).rest()
	if got := names(events); got != "started,sources,delta,citation,done" || text(t, events) != "an answer" {
		t.Fatal(events)
	}
	for _, of := range []string{events[1].data, events[len(events)-1].data, string(g.postJSON("/v1/chat", `{"question":"Why?"}`).body)} {
		if !strings.Contains(of, "Text of p2") {
			t.Errorf("the sources are missing: %s", of)
		}
	}
}
