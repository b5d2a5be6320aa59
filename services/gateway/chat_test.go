package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/reply"
)

func TestAQuestionIsAnsweredAsJSON(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("Because ", "it is so [1]."))
	g := s.serve()
	got := g.postJSON("/v1/chat", `{"question":"Why?"}`)
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var a struct {
		conversation.Answer
		Sources []struct{ ID string } `json:"sources"`
	}
	got.decode(t, &a)
	if a.Answer.Answer != "Because it is so [1]." || len(a.Sources) != 2 || a.Sources[0].ID != "p1" || len(a.Citations) != 1 || !a.Grounded {
		t.Fatalf("%s", got.body)
	}
	again := g.get("/v1/chat/" + a.ID)
	var stored conversation.Answer
	again.decode(t, &stored)
	if stored.Answer != a.Answer.Answer || stored.Status != conversation.Completed || stored.ConversationID != a.ConversationID {
		t.Fatalf("stored %s", again.body)
	}
}

// ask returns the chat object of a question that must be answered.
func (g *server) ask(t *testing.T, body string, h ...header) conversation.Answer {
	t.Helper()
	got := g.postJSON("/v1/chat", body, h...)
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var a conversation.Answer
	got.decode(t, &a)
	return a
}

func TestAFollowUpBelongsToItsConversation(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	followup := make(chan bool, 2)
	s.workers(func(w *work) {
		followup <- w.ask.Followup
		complete("Yes.")(w)
	})
	g := s.serve()
	first := g.ask(t, `{"question":"One?"}`)
	second := g.ask(t, `{"question":"Two?","conversation_id":"`+first.ConversationID+`"}`)
	if second.ConversationID != first.ConversationID || <-followup || !<-followup {
		t.Fatalf("first %+v second %+v", first, second)
	}
	g.postJSON("/v1/chat", `{"question":"Three?","conversation_id":"nobodys"}`).problem(t, http.StatusNotFound, "conversation_not_found")
}

func TestTheQuestionReachesTheBrokerWhole(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	asked := make(chan *work, 1)
	s.workers(func(w *work) {
		asked <- w
		complete("Yes.")(w)
	})
	g := s.serve()
	g.ask(t, `{"question":"Why?","collections":["a","b"],"filter":{"metadata.year":{"gte":2020}},"deadline_ms":30000}`,
		header{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	w := <-asked
	if w.ask.Question != "Why?" || len(w.ask.Collections) != 2 || len(w.ask.Filter) != 1 || w.ask.Stream || w.ask.Background ||
		w.ask.Owner != access.LocalOwner || w.event.Tenant != "default" {
		t.Fatalf("%+v", w.ask)
	}
	if left := w.event.Deadline.Sub(w.ask.AskedAt); left != 30*time.Second {
		t.Fatalf("deadline after %s", left)
	}
	if !strings.Contains(w.event.Traceparent, "0af7651916cd43dd8448eb211c80319c") {
		t.Fatalf("trace %q", w.event.Traceparent)
	}
}

func TestNoAnswerBeforeTheDeadlineIs504AndTheChatFails(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	cancelled := s.cancellations()
	g := s.serve() // and nobody works
	p := g.postJSON("/v1/chat", `{"question":"Why?","deadline_ms":1000}`).problem(t, http.StatusGatewayTimeout, "deadline_exceeded")
	if !strings.Contains(p.Detail, "ask again with a longer deadline_ms (up to 300000)") {
		t.Fatalf("does not say what to do: %s", p.Detail)
	}
	var a conversation.Answer
	g.get("/v1/chat/"+p.ChatID).decode(t, &a)
	if a.Status != conversation.Failed || a.Error == nil || a.Error.Code != "deadline_exceeded" {
		t.Fatalf("%+v", a)
	}
	if m, err := cancelled.NextMsg(patience); err != nil || !strings.HasSuffix(m.Subject, p.ChatID) {
		t.Fatalf("workers were not told: %v", err)
	}
}

func TestAFullQueueIs429AndTheKeyMayTryAgain(t *testing.T) {
	t.Parallel()
	s := newStackWith(t, broker.TopologyConfig{ChatMaxPerTenant: 1, ChatMaxMessages: 1})
	g := s.serve()
	key := header{"Idempotency-Key": "k1"}
	first := g.postJSON("/v1/chat", `{"question":"First?","background":true}`)
	if first.status != http.StatusAccepted {
		t.Fatalf("%d %s", first.status, first.body)
	}
	refused := g.postJSON("/v1/chat", `{"question":"Why?"}`, key)
	p := refused.problem(t, http.StatusTooManyRequests, "queue_full")
	if got := refused.header.Get("Retry-After"); got != strconv.Itoa(p.RetryAfterS) || p.RetryAfterS < 1 {
		t.Fatalf("no Retry-After: %v", refused.header)
	}
	var a conversation.Answer
	g.get("/v1/chat/"+p.ChatID).decode(t, &a)
	if a.Status != conversation.Failed {
		t.Fatalf("the refused question is stuck: %+v", a)
	}
	s.workers(complete("Now.")) // they make room
	eventually(t, "room", func() bool { return g.postJSON("/v1/chat", `{"question":"Why?"}`, key).status == http.StatusOK })
}

// TestTheWaitForAFullQueueIsAsLongAsTheQueueIsOld asks the real broker about a
// question that waited for a while, as the gateway's clock sees it.
func TestTheWaitForAFullQueueIsAsLongAsTheQueueIsOld(t *testing.T) {
	t.Parallel()
	s := newStackWith(t, broker.TopologyConfig{ChatMaxPerTenant: 1, ChatMaxMessages: 1})
	g := s.serve()
	if first := g.postJSON("/v1/chat", `{"question":"First?","background":true}`); first.status != http.StatusAccepted {
		t.Fatalf("%d %s", first.status, first.body)
	}
	eventually(t, "the question is two seconds old", func() bool {
		q, err := g.svc.queue.look(t.Context())
		must(t, err)
		return q.Waiting == 1 && q.Oldest > 2100*time.Millisecond
	})
	// Nobody has ever taken one: as long again, and at most a quarter more.
	p := g.postJSON("/v1/chat", `{"question":"Why?"}`).problem(t, http.StatusTooManyRequests, "queue_full")
	if p.RetryAfterS < 3 || p.RetryAfterS > 10 {
		t.Fatalf("told to wait %d s", p.RetryAfterS)
	}
}

func TestAnIdempotencyKeyAsksOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	release := make(chan struct{})
	asked := s.workers(func(w *work) {
		select {
		case <-release:
		case <-w.ctx.Done():
			return
		}
		complete("Once.")(w)
	})
	g, other := s.serve(), s.serve()
	key := header{"Idempotency-Key": "same"}
	answers := make(chan answered, 3)
	for _, at := range []*server{g, g, other} {
		go func() { answers <- at.postJSON("/v1/chat", `{"question":"Why?"}`, key) }()
	}
	eventually(t, "three wait", func() bool {
		return g.svc.chats.inUse() == 2 && other.svc.chats.inUse() == 1 && asked.Load() == 1
	})
	close(release)
	ids := map[string]bool{}
	for range 3 {
		got := <-answers
		var a conversation.Answer
		got.decode(t, &a)
		if got.status != http.StatusOK || a.Answer != "Once." {
			t.Fatalf("%d %s", got.status, got.body)
		}
		ids[a.ID] = true
	}
	if len(ids) != 1 || asked.Load() != 1 {
		t.Fatalf("%d chats, asked %d times", len(ids), asked.Load())
	}
	if a := g.ask(t, `{"question":"Why?"}`, key); a.Answer != "Once." || asked.Load() != 1 {
		t.Fatal("asked again after the answer")
	}
	g.postJSON("/v1/chat", `{"question":"What else?"}`, key).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
}

func TestABackgroundChatIsReadLater(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	begin := make(chan struct{})
	s.workers(func(w *work) {
		<-begin
		complete("Later.")(w)
	})
	g := s.serve()
	got := g.postJSON("/v1/chat", `{"question":"Why?","background":true}`)
	var a conversation.Answer
	got.decode(t, &a)
	if got.status != http.StatusAccepted || a.Status != conversation.Queued || got.header.Get("Location") != "/v1/chat/"+a.ID {
		t.Fatalf("%d %v %s", got.status, got.header, got.body)
	}
	close(begin)
	eventually(t, "completed", func() bool {
		g.get("/v1/chat/"+a.ID).decode(t, &a)
		return a.Status == conversation.Completed && a.Answer == "Later."
	})
}

func TestAChatRunsFromItsFirstWordOn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	begin, end := make(chan struct{}), make(chan struct{})
	s.workers(func(w *work) {
		<-begin
		w.sources("p1")
		<-end
		w.finish(w.writer(reply.Generate, 1), w.answerOf("Later."), "p1")
	})
	g := s.serve()
	const ask = `{"question":"Why?","background":true}`
	key := header{"Idempotency-Key": "once"}
	var a conversation.Answer
	g.postJSON("/v1/chat", ask, key).decode(t, &a)
	is := func(want conversation.Status) func() bool {
		return func() bool { return g.status(a.ID) == want }
	}
	if !is(conversation.Queued)() {
		t.Fatal("nobody has begun")
	}
	close(begin)
	eventually(t, "running", is(conversation.Running))
	var again conversation.Answer
	g.postJSON("/v1/chat", ask, key).decode(t, &again)
	messages := g.get("/v1/conversations/" + a.ConversationID + "/messages")
	if again.Status != conversation.Running || !strings.Contains(string(messages.body), `"status":"running"`) {
		t.Errorf("asked again it is %q; %s", again.Status, messages.body)
	}
	close(end)
	eventually(t, "completed", is(conversation.Completed))
}

func TestACancelledChatStaysCancelled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	started := make(chan *work, 1)
	s.workers(func(w *work) { started <- w })
	g, other := s.serve(), s.serve()
	waiting := make(chan answered, 1)
	go func() { waiting <- g.postJSON("/v1/chat", `{"question":"Why?"}`) }()
	w := <-started
	if got := other.do(http.MethodDelete, "/v1/chat/"+w.ask.ID, nil, nil); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	got := <-waiting
	var a conversation.Answer
	got.decode(t, &a)
	if got.status != http.StatusOK || a.Status != conversation.Cancelled {
		t.Fatalf("%d %s", got.status, got.body)
	}
	complete("Too late.")(w) // its end is not taken any more
	g.get("/v1/chat/"+w.ask.ID).decode(t, &a)
	if a.Status != conversation.Cancelled || a.Answer != "" {
		t.Fatalf("%+v", a)
	}
	g.do(http.MethodDelete, "/v1/chat/nobodys", nil, nil).problem(t, http.StatusNotFound, "chat_not_found")
}

func TestAWorkersErrorIsToldAndRecorded(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		must(t, w.writer(reply.Retrieve, 1).Error(conversation.Problem{Code: "index_unavailable", Message: "the index is away"}))
	})
	g := s.serve()
	p := g.postJSON("/v1/chat", `{"question":"Why?"}`).problem(t, http.StatusServiceUnavailable, "index_unavailable")
	var a conversation.Answer
	g.get("/v1/chat/"+p.ChatID).decode(t, &a)
	if a.Status != conversation.Failed || a.Error.Code != "index_unavailable" {
		t.Fatalf("%+v", a)
	}
}

func TestAChatWithoutAGatewayIsEndedByTheSweeper(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	past := time.Now().Add(-time.Minute)
	turn, _, err := s.chats.Accept(t.Context(), conversation.Question{
		Caller: localCaller(), ID: corpus.NewID(), Digest: "d", Text: "Lost?", AskedAt: past.Add(-time.Second), Deadline: past,
	})
	must(t, err)
	g.svc.sweepOnce(t.Context())
	var a conversation.Answer
	g.get("/v1/chat/"+turn.Question.ID).decode(t, &a)
	if a.Status != conversation.Failed || a.Error.Code != "deadline_exceeded" {
		t.Fatalf("%+v", a)
	}
}

func TestOneChatTooManyIs503(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) { <-w.ctx.Done() })
	g := s.serve(func(c *Config, _ *Deps) { c.MaxChats = 1 })
	first := make(chan answered, 1)
	go func() { first <- g.postJSON("/v1/chat", `{"question":"Why?","deadline_ms":1500}`) }()
	eventually(t, "the first waits", func() bool { return g.svc.chats.inUse() == 1 })
	got := g.postJSON("/v1/chat", `{"question":"Why?"}`)
	got.problem(t, http.StatusServiceUnavailable, "too_many_chats")
	if got.header.Get("Retry-After") == "" {
		t.Fatal("no Retry-After")
	}
	(<-first).problem(t, http.StatusGatewayTimeout, "deadline_exceeded")
}

func TestARepetitionPublishesWhatItsFirstAskerCouldNot(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	asked := s.workers(complete("At last."))
	g := s.serve()
	// As if the gateway that accepted it had died before it published.
	in := ask{question: "Lost?"}
	asked0 := time.Now().Add(-republishAfter - time.Second)
	_, _, err := s.chats.Accept(t.Context(), conversation.Question{
		Caller: localCaller(), ID: corpus.DeriveID("chat/key", "default", access.LocalOwner, "k", "0"), Digest: in.digest(), Text: in.question,
		AskedAt: asked0, Deadline: asked0.Add(time.Minute),
	})
	must(t, err)
	if a := g.ask(t, `{"question":"Lost?"}`, header{"Idempotency-Key": "k"}); a.Answer != "At last." || asked.Load() != 1 {
		t.Fatalf("%+v", a)
	}
}
