package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/event"
)

// retriever answers searches on the broker.
func (s *stack) retriever(answer func(event.Search) event.SearchResult) {
	s.t.Helper()
	sub, err := s.bus.NATS.QueueSubscribe(event.SearchFilter, event.SearchQueue, func(m *nats.Msg) {
		var ask event.Search
		if err := json.Unmarshal(m.Data, &ask); err != nil {
			s.t.Errorf("search: %v", err)
			return
		}
		data, err := json.Marshal(answer(ask))
		if err == nil {
			err = m.Respond(data)
		}
		if err != nil {
			s.t.Errorf("respond: %v", err)
		}
	})
	must(s.t, err)
	must(s.t, s.bus.NATS.Flush())
	s.t.Cleanup(func() { _ = sub.Unsubscribe() })
}

func TestASearchIsAnsweredByARetriever(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	asked := make(chan event.Search, 1)
	s.retriever(func(ask event.Search) event.SearchResult {
		asked <- ask
		return event.SearchResult{Passages: passages("p1", "p2"), Timings: event.SearchTimings{EmbedMS: 1, SearchMS: 2, TotalMS: 3}}
	})
	g := s.serve()
	got := g.postJSON("/v1/search", `{"query":"what","limit":2,"collections":["a"],"filter":{"metadata.k":["v","w"]},"mode":"keyword"}`)
	var out struct {
		Query    string
		Passages []struct{ ID string }
		Timings  event.SearchTimings
	}
	got.decode(t, &out)
	if got.status != http.StatusOK || out.Query != "what" || len(out.Passages) != 2 || out.Passages[1].ID != "p2" || out.Timings.TotalMS != 3 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	ask := <-asked
	if ask.Tenant != "default" || ask.Limit != 2 || ask.Mode != "keyword" || len(ask.Filter) != 1 || ask.Collections[0] != "a" || time.Until(ask.Deadline) <= 0 {
		t.Fatalf("%+v", ask)
	}
	g.postJSON("/v1/search", `{"query":"what"}`)
	if ask := <-asked; ask.Limit != 8 || ask.Mode != "hybrid" {
		t.Fatalf("%+v", ask)
	}
}

func TestASearchThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	cases := []struct {
		problem event.Problem
		status  int
		code    string
	}{
		{event.Problem{Class: "invalid", Code: "invalid_filter", Message: "no", Field: "filter"}, 400, "invalid_filter"},
		{event.Problem{Class: "not_found", Code: "collection_not_found", Message: "no"}, 404, "collection_not_found"},
		{event.Problem{Class: "permanent", Code: "dimension_mismatch", Message: "no"}, 422, "dimension_mismatch"},
		{event.Problem{Class: "throttled", Code: "embedder_throttled", Message: "no", RetryAfterMS: 2500}, 429, "embedder_throttled"},
		{event.Problem{Class: "transient", Code: "index_loading", Message: "no"}, 503, "index_loading"},
	}
	for _, c := range cases {
		t.Run(c.code, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.retriever(func(event.Search) event.SearchResult { return event.SearchResult{Problem: &c.problem} })
			p := s.serve().postJSON("/v1/search", `{"query":"q"}`).problem(t, c.status, c.code)
			if c.status == 429 && p.RetryAfterS != 3 {
				t.Fatalf("retry after %d", p.RetryAfterS)
			}
			if c.problem.Field != "" && p.Errors[0].Field != c.problem.Field {
				t.Fatalf("%+v", p)
			}
		})
	}
}

func TestASearchThatTakesTooLongIs504(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	sub, err := s.bus.NATS.Subscribe(event.SearchFilter, func(*nats.Msg) {})
	must(t, err)
	must(t, s.bus.NATS.Flush())
	defer func() { _ = sub.Unsubscribe() }()
	g := s.serve(func(c *Config, _ *Deps) { c.SearchTimeout = 200 * time.Millisecond })
	g.postJSON("/v1/search", `{"query":"q"}`).problem(t, http.StatusGatewayTimeout, "deadline_exceeded")
}

func TestConversationsAreListedPagedAndDeleted(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		if w.ask.Question != "Unanswered?" {
			complete("Answer to " + w.ask.Question)(w)
		}
	})
	g := s.serve()
	first := g.ask(t, `{"question":"q1"}`)
	id := first.ConversationID
	for i := 2; i <= 7; i++ {
		g.ask(t, fmt.Sprintf(`{"question":"q%d","conversation_id":"%s"}`, i, id))
	}
	g.postJSON("/v1/chat", `{"question":"Unanswered?","background":true,"conversation_id":"`+id+`"}`)
	other := g.ask(t, `{"question":"another"}`)

	var page list[struct {
		ID    string `json:"id"`
		Title string `json:"title"`
		Turns int    `json:"turns"`
	}]
	g.get("/v1/conversations?limit=1").decode(t, &page)
	if len(page.Data) != 1 || page.Data[0].ID != other.ConversationID || page.NextCursor == nil {
		t.Fatalf("%+v", page)
	}
	g.get("/v1/conversations?limit=1&cursor="+*page.NextCursor).decode(t, &page)
	if len(page.Data) != 1 || page.Data[0].ID != id || page.Data[0].Title != "q1" || page.Data[0].Turns != 8 {
		t.Fatalf("%+v", page)
	}
	for _, limit := range []int{1, 2, 3, 5, 20, 100} {
		var all []message
		for before := ""; ; {
			var messages list[message]
			got := g.get(fmt.Sprintf("/v1/conversations/%s/messages?limit=%d&before=%s", id, limit, before))
			got.decode(t, &messages)
			if len(messages.Data) > limit {
				t.Fatalf("limit %d: %d messages", limit, len(messages.Data))
			}
			all = append(messages.Data, all...)
			if messages.NextCursor == nil {
				break
			}
			before = *messages.NextCursor
		}
		if len(all) != 15 {
			t.Fatalf("limit %d: %d messages", limit, len(all))
		}
		for i, m := range all {
			role, content := "user", fmt.Sprintf("q%d", i/2+1)
			if i%2 == 1 {
				role, content = "assistant", "Answer to "+content
			}
			if i == 14 {
				content = "Unanswered?"
			}
			if m.Role != role || m.Content != content || m.Seq != int64(i+1) {
				t.Fatalf("limit %d: message %d is %+v", limit, i, m)
			}
		}
	}
	if got := g.do(http.MethodDelete, "/v1/conversations/"+id, nil, nil); got.status != http.StatusNoContent || len(got.body) != 0 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	g.get("/v1/conversations/"+id).problem(t, http.StatusNotFound, "conversation_not_found")
	g.get("/v1/chat/"+first.ID).problem(t, http.StatusNotFound, "chat_not_found")
	g.do(http.MethodDelete, "/v1/conversations/"+id, nil, nil).problem(t, http.StatusNotFound, "conversation_not_found")
}

func searchAnswer(event.Search) event.SearchResult {
	return event.SearchResult{Passages: passages("p1", "p2"), Timings: event.SearchTimings{EmbedMS: 1, SearchMS: 2, TotalMS: 3}}
}
