package gateway

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/worker"
)

// letter stores a dead letter as a worker writes it.
func (s *stack) letter(e event.Event, class, code string) {
	s.t.Helper()
	m, err := event.Encode(e)
	must(s.t, err)
	h := nats.Header(m.Header)
	delete(h, event.HeaderMsgID)
	stage := map[event.Kind]string{
		event.KindDocumentUploaded: broker.ConsumerIngestorExtract, event.KindDocumentDeleted: broker.ConsumerIngestorExtract,
		event.KindChunksReady: broker.ConsumerIngestorEmbed, event.KindChatAsked: broker.ConsumerRetriever,
	}[e.Kind()]
	for key, value := range map[string]string{
		worker.HeaderDeadStream: "RAG_INGEST", worker.HeaderDeadConsumer: stage, worker.HeaderDeadAttempts: "10", worker.HeaderDeadClass: class,
		worker.HeaderDeadCode: code, worker.HeaderDeadMessage: "it broke", worker.HeaderDeadReason: "it broke: private", worker.HeaderDeadWorker: "ingestor@pod",
		worker.HeaderDeadStored: time.Now().Format(time.RFC3339Nano), event.HeaderTraceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		h[key] = []string{value}
	}
	_, err = s.bus.Publisher.Store(s.t.Context(), &nats.Msg{Subject: broker.DeadPrefix + m.Subject, Header: h, Data: m.Data})
	must(s.t, err)
}

func batchOf(tenant, id string) event.Event {
	return event.New(tenant, time.Now(), event.ChunksReady{ID: id, Generation: 1, Version: "v", Batch: 1, From: 0, To: 1})
}

type letterPage struct {
	Data       []fullLetter `json:"data"`
	NextCursor *string      `json:"next_cursor"`
}

func (g *server) deadLetters(query string) letterPage {
	g.t.Helper()
	got := g.get("/v1/dead-letters" + query)
	got.conforms(g.t, http.MethodGet, "/v1/dead-letters")
	var out letterPage
	if got.status != http.StatusOK {
		g.t.Fatalf("%d %s", got.status, got.body)
	}
	got.decode(g.t, &out)
	return out
}

func TestDeadLettersAreListedAndShown(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	if got := g.deadLetters(""); len(got.Data) != 0 || got.NextCursor != nil {
		t.Errorf("%+v", got)
	}
	s.letter(batchOf("default", "doc"), "permanent", "bad_news")
	s.letter(event.New("default", time.Now(), event.DocumentDeleted{ID: "gone"}), "transient", "database_unavailable")
	s.letter(event.New("default", time.Now(), event.ChatAsked{ID: "c", ConversationID: "v", Owner: "somebody", Question: "secret?", AskedAt: time.Now()}), "transient", "internal")
	s.letter(batchOf("other", "theirs"), "permanent", "bad_news")
	first := g.deadLetters("?limit=2")
	if len(first.Data) != 2 || first.NextCursor == nil {
		t.Fatalf("%+v", first)
	}
	second := g.deadLetters("?limit=2&cursor=" + url.QueryEscape(*first.NextCursor))
	if len(second.Data) != 1 || second.NextCursor != nil || second.Data[0].Kind != event.KindChatAsked {
		t.Fatalf("%+v", second)
	}
	for query, want := range map[string]int{
		"?stage=ingestor-embed": 1, "?kind=document.deleted": 1, "?class=transient": 2, "?code=bad_news": 1, "?since=2001-01-01T00:00:00Z": 3,
		"?until=2001-01-01T00:00:00Z": 0, "?stage=generator": 0,
	} {
		if got := g.deadLetters(query); len(got.Data) != want {
			t.Errorf("%s: %d letters, want %d", query, len(got.Data), want)
		}
	}
	for query, code := range map[string]string{
		"?stage=x": "invalid_stage", "?kind=chat.answered": "invalid_kind", "?class=bad": "invalid_class", "?since=yesterday": "invalid_time",
		"?limit=0": "invalid_limit", "?cursor=x": "invalid_cursor", "?colour=red": "unknown_parameter",
	} {
		g.get("/v1/dead-letters"+query).problem(t, http.StatusBadRequest, code)
	}
	show := func(l fullLetter) (full fullLetter, body string) {
		got := g.get("/v1/dead-letters/" + l.ID)
		got.conforms(t, http.MethodGet, "/v1/dead-letters/{id}")
		got.decode(t, &full)
		return full, string(got.body)
	}
	if l, _ := show(first.Data[0]); l.Stage != "ingestor-embed" || l.Code != "bad_news" || l.Reason != "it broke: private" || l.Attempts != 10 ||
		l.TraceID == nil || l.About == nil || *l.About != "doc" || !strings.Contains(string(l.Payload.JSON), `"batch":1`) {
		t.Errorf("%+v", l)
	}
	if _, body := show(second.Data[0]); strings.Contains(body, "secret") || !strings.Contains(body, `"withheld":["question"`) {
		t.Errorf("%s", body)
	}
	for _, id := range []string{"1-0000000000", "999-0000000000", "x"} {
		for _, try := range []answered{
			g.get("/v1/dead-letters/" + id), g.do(http.MethodDelete, "/v1/dead-letters/"+id, nil, nil),
			g.do(http.MethodPost, "/v1/dead-letters/"+id+"/redrive", nil, nil),
		} {
			try.problem(t, http.StatusNotFound, "dead_letter_not_found")
		}
	}
}

func TestAFailedDocumentIsRedriven(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	var doc document
	g.do(http.MethodPost, "/v1/documents?id=doc&filename=a.txt", strings.NewReader("text"), header{"Content-Type": "text/plain"}).decode(t, &doc)
	_, err := s.docs.Fail(t.Context(), catalog.Ref{Tenant: "default", ID: "doc", Generation: 1}, corpus.Failure{Code: "internal", Message: "it broke", Retryable: true})
	must(t, err)
	s.letter(batchOf("default", "doc"), "permanent", "bad_news")
	id := g.deadLetters("").Data[0].ID
	got := g.do(http.MethodPost, "/v1/dead-letters/"+id+"/redrive", nil, nil)
	got.conforms(t, http.MethodPost, "/v1/dead-letters/{id}/redrive")
	if got.status != http.StatusOK || !strings.Contains(string(got.body), `"outcome":"redriven","redrives":1`) {
		t.Fatalf("%d %s", got.status, got.body)
	}
	g.get("/v1/documents/doc").decode(t, &doc)
	if doc.Status != corpus.Accepted || doc.Error != nil {
		t.Errorf("%+v", doc)
	}
	g.do(http.MethodPost, "/v1/dead-letters/"+id+"/redrive", nil, nil).problem(t, http.StatusNotFound, "dead_letter_not_found")
	if logs := s.logs.String(); !strings.Contains(logs, `"action":"dead_letter.redrive"`) || !strings.Contains(logs, `"target":"`+id+`"`) {
		t.Error("the redrive is not in the audit log")
	}
}

func TestARedriveIsRefusedWhileTheCauseIsKnownToPersist(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	// The ingestor and the retriever tell; the generator is silent, so of its model nothing is known.
	for _, name := range []string{"ingestor", "retriever"} {
		stop, err := lifecycle.Respond(t.Context(), s.bus.NATS, name, []lifecycle.Check{
			{Name: "embedder", Probe: func(context.Context) error { return fault.Transientf("embedder_unavailable", "no quota") }},
			{Name: "vector_store", Probe: func(context.Context) error { return fault.Transientf("vector_store_unavailable", "it is away") }, Note: func() string { return lifecycle.NextCallTries }},
		})
		must(t, err)
		t.Cleanup(func() { must(t, stop()) })
	}
	s.letter(event.New("default", time.Now(), event.DocumentDeleted{ID: "x"}), "transient", "embedder_unavailable")
	s.letter(event.New("default", time.Now(), event.DocumentDeleted{ID: "y"}), "transient", "model_unavailable")
	s.letter(event.New("default", time.Now(), event.DocumentDeleted{ID: "z"}), "transient", "vector_store_unavailable")
	letters := g.deadLetters("").Data
	redrive := func(i int, body string) answered {
		return g.postJSON("/v1/dead-letters/"+letters[i].ID+"/redrive", body)
	}
	if p := redrive(0, "{}").problem(t, http.StatusConflict, "dead_letter_cause_persists"); !strings.Contains(p.Detail, "no quota") {
		t.Errorf("%+v", p)
	}
	if got := redrive(2, "{}"); got.status != http.StatusOK { // its next call shows
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := redrive(1, "{}"); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := redrive(0, `{"force":true}`); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestLettersAreRedrivenAndRemovedByFilter(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	for i := range 5 {
		s.letter(event.New("default", time.Now(), event.DocumentDeleted{ID: "d" + string(rune('0'+i))}), "permanent", "bad_news")
	}
	s.letter(batchOf("default", "nowhere"), "permanent", "bad_news")
	s.letter(batchOf("other", "theirs"), "permanent", "bad_news")
	expired := event.New("default", time.Now(), event.DocumentDeleted{ID: "late"})
	expired.Deadline = time.Now().Add(-time.Minute)
	s.letter(expired, "permanent", "bad_news")
	const path = "/v1/dead-letters/redrive"
	g.postJSON(path, `{}`).problem(t, http.StatusBadRequest, "filter_required")
	g.postJSON(path, `{"all":true,"limit":101}`).problem(t, http.StatusBadRequest, "invalid_limit")
	g.do(http.MethodDelete, "/v1/dead-letters", nil, nil).problem(t, http.StatusBadRequest, "filter_required")
	var sum redriveReport
	cursor := ""
	for {
		got := g.postJSON(path, `{"code":"bad_news","limit":3,"cursor":"`+cursor+`"}`)
		got.conforms(t, http.MethodPost, path)
		var r redriveReport
		got.decode(t, &r)
		sum.Redriven, sum.Obsolete, sum.Refused, sum.Failed = sum.Redriven+r.Redriven, sum.Obsolete+r.Obsolete, sum.Refused+r.Refused, sum.Failed+r.Failed
		sum.Refusals = append(sum.Refusals, r.Refusals...)
		if r.NextCursor == nil {
			break
		}
		cursor = *r.NextCursor
	}
	if sum.Redriven != 5 || sum.Obsolete != 1 || sum.Refused != 1 || sum.Failed != 0 || len(sum.Refusals) != 1 || sum.Refusals[0].Code != "dead_letter_expired" {
		t.Errorf("%+v", sum)
	}
	left := g.deadLetters("").Data
	if len(left) != 1 {
		t.Fatalf("%d letters are left", len(left))
	}
	s.letter(batchOf("default", "a"), "permanent", "other_news")
	got := g.do(http.MethodDelete, "/v1/dead-letters/"+left[0].ID, nil, nil)
	if got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = g.do(http.MethodDelete, "/v1/dead-letters?all=true", nil, nil)
	got.conforms(t, http.MethodDelete, "/v1/dead-letters")
	if !strings.Contains(string(got.body), `"deleted":1,"next_cursor":null`) || s.bus.Messages(broker.StreamDead) != 1 {
		t.Errorf("%s, %d letters are left", got.body, s.bus.Messages(broker.StreamDead))
	}
}
