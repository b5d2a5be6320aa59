package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// facts is a small document of facts that are in no other.
const facts = `The lighthouse of Quellmar was built in 1847 by the engineer Ottilie Brandt. It stands 41 metres tall.

The ferry to Quellmar leaves the harbour of Dunvik every Tuesday at seven in the morning. The crossing takes ninety minutes.

Tickets for the ferry cost eighteen crowns. Children under six travel without paying.
`

// markers are the numbers in brackets of an answer's text.
func markers(text string) map[int]bool {
	out := map[int]bool{}
	for _, m := range regexp.MustCompile(`\[(\d+)\]`).FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(m[1])
		if err == nil {
			out[n] = true
		}
	}
	return out
}

// cited checks that every citation of an answer holds: its quote is verbatim
// in a chunk of its document, at its offsets; its passage is among the
// sources; each marker in the text has one and each one a marker in the text.
func cited(a api, r answer) {
	a.t.Helper()
	in := markers(r.Answer)
	of := map[int]string{}
	sources := map[string]bool{}
	for _, s := range r.Sources {
		sources[s.ID] = true
	}
	for _, c := range r.Citations {
		if !in[c.Marker] {
			a.t.Errorf("the citation [%d] is not in the text %q", c.Marker, r.Answer)
		}
		if known, ok := of[c.Marker]; ok && known != c.PassageID {
			a.t.Errorf("the marker [%d] stands for the passages %s and %s", c.Marker, known, c.PassageID)
		}
		of[c.Marker] = c.PassageID
		if !sources[c.PassageID] {
			a.t.Errorf("the cited passage %s is not among the sources", c.PassageID)
		}
		quoted := false
		for _, k := range a.chunks(c.DocumentID) {
			if k.ID != c.PassageID || c.CharStart < k.CharStart || c.CharEnd > k.CharEnd || c.CharStart >= c.CharEnd {
				continue
			}
			quoted = string([]rune(k.Text)[c.CharStart-k.CharStart:c.CharEnd-k.CharStart]) == c.Quote && k.Version == c.Version
			if (k.Page == nil) != (c.Page == nil) || k.Page != nil && *k.Page != *c.Page {
				a.t.Errorf("the citation is of page %v, its chunk of %v", c.Page, k.Page)
			}
		}
		if !quoted {
			a.t.Errorf("the quote is not in its document at its offsets: %+v", c)
		}
	}
	for n := range in {
		if _, ok := of[n]; !ok {
			a.t.Errorf("the marker [%d] of %q has no citation", n, r.Answer)
		}
	}
	if r.Grounded != (len(r.Citations) > 0) || r.Grounded != (r.Reason == nil) || r.Status != "completed" || r.Error != nil {
		a.t.Errorf("the answer contradicts itself: %+v", r)
	}
}

func chats(a api, _ Shape) {
	a.indexed("chat-facts", facts, "collection", "chats", "title", "Quellmar")
	for question, want := range map[string]string{
		"When was the lighthouse of Quellmar built?": "1847",
		"When does the ferry to Quellmar leave?":     "Tuesday",
		"What do tickets for the ferry cost?":        "eighteen crowns",
	} {
		r := a.ask(map[string]any{"question": question, "collections": []string{"chats"}})
		cited(a, r)
		if !r.Grounded || !strings.Contains(r.Answer, want) || r.Model == "" || r.SearchQuery == "" || r.ConversationID == "" || len(r.Sources) == 0 {
			a.t.Errorf("%s\n%+v", question, r)
		}
		same(a.t, "the stored chat", decode[answer](a.get("/v1/chat/"+r.ID).want(http.StatusOK)), r)
	}
	// A page of a PDF.
	sample(a, "solar-report-2025.pdf", "chats-pdf")
	r := a.ask(map[string]any{"question": "How much electricity did the solar array produce in 2025?", "collections": []string{"chats-pdf"}})
	cited(a, r)
	if !strings.Contains(r.Answer, "668,400") || len(r.Citations) == 0 || r.Citations[0].Page == nil || *r.Citations[0].Page != 1 {
		a.t.Errorf("the answer from a PDF is %+v", r)
	}
}

// wellFormed checks the events of a stream read from its beginning and
// returns the answer that ends it.
func wellFormed(t testing.TB, events []sent) answer {
	t.Helper()
	if len(events) == 0 {
		t.Fatal("the stream is empty")
	}
	var text strings.Builder
	var names []string
	var cites []citation
	var sources []passage
	for i, e := range events {
		if e.ID != i+1 {
			t.Errorf("event %d (%s) has the id %d", i+1, e.Name, e.ID)
		}
		if (e.Name == "done" || e.Name == "error") != (i == len(events)-1) {
			t.Errorf("%s is event %d of %d", e.Name, i+1, len(events))
		}
		names = append(names, e.Name)
		switch e.Name {
		case "delta":
			text.WriteString(parse[struct{ Text string }](t, e.Data).Text)
		case "citation":
			cites = append(cites, parse[citation](t, e.Data))
		case "sources":
			sources = parse[struct{ Passages []passage }](t, e.Data).Passages
		case "restart":
			text.Reset()
			cites, sources = nil, nil
		}
	}
	last := events[len(events)-1]
	if last.Name != "done" {
		t.Fatalf("the stream ended with %+v", last)
	}
	r := parse[answer](t, last.Data)
	begun := parse[struct {
		ID             string `json:"id"`
		ConversationID string `json:"conversation_id"`
	}](t, events[0].Data)
	if events[0].Name != "started" || begun.ID != r.ID || begun.ConversationID != r.ConversationID {
		t.Errorf("the stream began with %+v", events[0])
	}
	order := strings.Join(names, " ")
	if !regexp.MustCompile(`^started (sources (delta )*(citation )*restart )*sources (delta )*((citation|delta) )*done$`).MatchString(order) {
		t.Errorf("the order of events is %s", order)
	}
	if text.String() != r.Answer {
		t.Errorf("the pieces make %q, the answer is %q", text.String(), r.Answer)
	}
	same(t, "sources of the stream", sources, r.Sources)
	if len(cites)+len(r.Citations) > 0 {
		same(t, "citations of the stream", cites, r.Citations)
	}
	return r
}

func streams(a api, s Shape) {
	a.indexed("stream-facts", strings.ReplaceAll(facts, "Quellmar", "Streammar"), "collection", "streams")
	request := map[string]any{"question": "When was the lighthouse of Streammar built?", "collections": []string{"streams"}, "stream": true}
	events := a.events(http.MethodPost, "/v1/chat", request, 0)
	r := wellFormed(a.t, events)
	cited(a, r)
	if !strings.Contains(r.Answer, "1847") {
		a.t.Errorf("the answer is %q", r.Answer)
	}
	same(a.t, "the stored chat", decode[answer](a.get("/v1/chat/"+r.ID).want(http.StatusOK)), r)
	// Every point of the stream can be gone on from, at any gateway.
	other := a
	other.base = s.URLs()[len(s.URLs())-1]
	same(a.t, "the stream read again", other.events(http.MethodGet, "/v1/chat/"+r.ID+"/stream", nil, 0), events)
	for last := 1; last < len(events); last++ {
		rest := other.events(http.MethodGet, "/v1/chat/"+r.ID+"/stream", nil, 0, "Last-Event-ID", strconv.Itoa(last))
		same(a.t, fmt.Sprintf("the stream after event %d", last), rest, events[last:])
	}
	// A reader who leaves in the middle and comes back misses nothing.
	request["question"] = "What do tickets for the ferry to Streammar cost?"
	begun := a.events(http.MethodPost, "/v1/chat", request, 1)
	id := parse[struct {
		ID             string `json:"id"`
		ConversationID string `json:"conversation_id"`
	}](a.t, begun[0].Data).ID
	rest := other.events(http.MethodGet, "/v1/chat/"+id+"/stream", nil, 0, "Last-Event-ID", "1")
	if r := wellFormed(a.t, append(begun, rest...)); !strings.Contains(r.Answer, "eighteen") {
		a.t.Errorf("the answer is %q", r.Answer)
	}
	a.do(http.MethodGet, "/v1/chat/"+id+"/stream", nil, "Last-Event-ID", "x").problem(http.StatusBadRequest, "invalid_last_event_id")
}

func followUps(a api, _ Shape) {
	a.indexed("follow-facts", strings.ReplaceAll(facts, "Quellmar", "Followmar"), "collection", "follows")
	first := a.ask(map[string]any{"question": "When was the lighthouse of Followmar built?", "collections": []string{"follows"}})
	second := a.ask(map[string]any{"question": "And how tall is it?", "collections": []string{"follows"}, "conversation_id": first.ConversationID})
	cited(a, second)
	if second.ConversationID != first.ConversationID || second.ID == first.ID {
		a.t.Errorf("the follow-up is chat %s of %s", second.ID, second.ConversationID)
	}
	if !strings.Contains(strings.ToLower(second.SearchQuery), "lighthouse") || !strings.Contains(second.Answer, "41 metres") {
		a.t.Errorf("the follow-up was searched as %q and answered %q", second.SearchQuery, second.Answer)
	}
}

func abstentions(a api, _ Shape) {
	a.indexed("abstain-facts", facts, "collection", "abstentions")
	for _, request := range []map[string]any{
		{"question": "Which vitamins does broccoli contain?", "collections": []string{"abstentions"}},
		{"question": "When was the lighthouse of Quellmar built?", "collections": []string{"an-empty-one"}},
	} {
		r := a.ask(request)
		if r.Grounded || r.Reason == nil || *r.Reason != "no_relevant_passages" && *r.Reason != "unsupported_answer" || len(r.Citations) > 0 ||
			len(markers(r.Answer)) > 0 || len(r.Answer) < 15 || r.Status != "completed" || r.Error != nil {
			a.t.Errorf("%v was answered %+v", request, r)
		}
		request["stream"] = true
		if s := wellFormed(a.t, a.events(http.MethodPost, "/v1/chat", request, 0)); s.Grounded || s.Answer != r.Answer {
			a.t.Errorf("streamed, the answer is %+v", s)
		}
	}
}

func idempotency(a api, _ Shape) {
	a.indexed("key-facts", facts, "collection", "keys")
	request := map[string]any{"question": "How long does the crossing take?", "collections": []string{"keys"}}
	first := a.ask(request, "Idempotency-Key", "key-1")
	same(a.t, "a question asked twice", a.ask(request, "Idempotency-Key", "key-1"), first)
	streamed := wellFormed(a.t, a.events(http.MethodPost, "/v1/chat", request, 0, "Idempotency-Key", "key-1"))
	same(a.t, "a question asked again, as a stream", streamed, first)
	if other := a.ask(request, "Idempotency-Key", "key-2"); other.ID == first.ID {
		a.t.Error("another key is the same chat")
	}
	if n := decode[map[string]any](a.get("/v1/conversations/" + first.ConversationID).want(http.StatusOK))["turns"]; n != 1.0 {
		a.t.Errorf("the conversation has %v turns", n)
	}
	a.do(http.MethodPost, "/v1/chat", map[string]any{"question": "Another one?"}, "Idempotency-Key", "key-1").
		problem(http.StatusUnprocessableEntity, "idempotency_key_reused")
	upload := func(text string) reply {
		return a.do(http.MethodPost, "/v1/documents?collection=keys", strings.NewReader(text), "Content-Type", "text/plain", "Idempotency-Key", "doc-1")
	}
	one, two := decode[document](upload("Keyed once.").want(http.StatusAccepted)), decode[document](upload("Keyed once.").want(http.StatusOK))
	if one.ID != two.ID {
		a.t.Errorf("one key made the documents %s and %s", one.ID, two.ID)
	}
	upload("Keyed twice.").problem(http.StatusUnprocessableEntity, "idempotency_key_reused")
}

// finished waits for the terminal answer of a chat.
func (a api) finished(id string) answer {
	a.t.Helper()
	var r answer
	eventually(a.t, "chat "+id+" ends", func() bool {
		r = decode[answer](a.get("/v1/chat/" + id).want(http.StatusOK))
		return r.Status != "queued" && r.Status != "running"
	})
	return r
}

func background(a api, _ Shape) {
	a.indexed("back-facts", facts, "collection", "backs")
	request := map[string]any{"question": "Who built the lighthouse of Quellmar?", "collections": []string{"backs"}, "background": true}
	begun := a.do(http.MethodPost, "/v1/chat", request).want(http.StatusAccepted)
	q := decode[answer](begun)
	if begun.header.Get("Location") != "/v1/chat/"+q.ID || q.ConversationID == "" {
		a.t.Errorf("the question in the background became %+v", q)
	}
	r := a.finished(q.ID)
	cited(a, r)
	if r.ID != q.ID || !strings.Contains(r.Answer, "Ottilie Brandt") {
		a.t.Errorf("the answer is %+v", r)
	}
	// Its stream can be read afterwards.
	same(a.t, "the chat read as a stream", wellFormed(a.t, a.events(http.MethodGet, "/v1/chat/"+q.ID+"/stream", nil, 0)), r)
	// Cancelling what has its answer changes nothing.
	same(a.t, "a chat cancelled too late", decode[answer](a.do(http.MethodDelete, "/v1/chat/"+q.ID, nil).want(http.StatusOK)), r)
	// Cancelling in time ends it, cancelling a moment late does not; either way once.
	for range 5 {
		q := decode[answer](a.do(http.MethodPost, "/v1/chat", request).want(http.StatusAccepted))
		ended := decode[answer](a.do(http.MethodDelete, "/v1/chat/"+q.ID, nil).want(http.StatusOK))
		if ended.Status != "cancelled" && ended.Status != "completed" {
			a.t.Errorf("the cancelled chat is %q", ended.Status)
		}
		same(a.t, "the cancelled chat, later", decode[answer](a.get("/v1/chat/"+q.ID).want(http.StatusOK)), ended)
	}
}
