package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
)

// victim is what one owner has, and what nobody else may learn of it.
type victim struct {
	h header
	// byTenant and byOwner are the ids of what the routes of each binding read.
	byTenant, byOwner []string
	conversation      string
	// words occur in what is the victim's and nowhere else.
	words []string
}

// marked returns a word that no response holds by chance.
func marked(what string) string { return "zq" + what + corpus.DeriveID("mark", corpus.NewID())[:8] }

// own makes one of everything that somebody can have: an indexed document
// with chunks and an acl, an answered chat with its conversation and frames,
// a dead letter.
func (s *stack) own(g *server, k access.Key) victim {
	s.t.Helper()
	v := victim{h: s.key(k)}
	word := func(what string) string {
		w := marked(what)
		v.words = append(v.words, w)
		return w
	}
	id := word("doc")
	body := fmt.Sprintf(`{"text":%q,"id":%q,"title":%q,"filename":%q,"source":"https://%s.example/","metadata":{"note":%q},"acl":[%q]}`,
		word("text"), id, word("title"), word("file"), word("source"), word("note"), k.Principals[0])
	g.postJSON("/v1/documents", body, v.h).document(s.t, http.StatusAccepted)
	s.settleOf(k.Tenant, id, word("chunk"))
	v.byTenant = []string{id}
	var chat conversation.Answer
	g.postJSON("/v1/chat", fmt.Sprintf(`{"question":%q,"stream":false}`, word("question")), v.h).decode(s.t, &chat)
	if chat.Status != conversation.Completed {
		s.t.Fatalf("%+v", chat)
	}
	v.byOwner, v.conversation = []string{chat.ID, chat.ConversationID}, chat.ConversationID
	v.words = append(v.words, chat.ID, chat.ConversationID)
	s.letter(event.New(k.Tenant, time.Now(), event.DocumentUploaded{ID: word("letter"), Generation: 1}), "permanent", "bad_news")
	var page letterPage
	g.do(http.MethodGet, "/v1/dead-letters", nil, v.h).decode(s.t, &page)
	if len(page.Data) != 1 {
		s.t.Fatalf("%+v", page)
	}
	v.byTenant = append(v.byTenant, page.Data[0].ID)
	v.words = append(v.words, page.Data[0].ID)
	return v
}

// everybodys returns every answer's text: what the question was, as a scripted model would say it.
func everybodys(w *work) {
	complete("The answer to " + w.ask.Question + " [1].")(w)
}

// sample is what is sent to a route beside the id in its path.
type sample struct {
	query, body string
	// denied: there is nothing that the caller may do with these ids.
	denied bool
}

// samples are for the routes that take a body, or change many things at once,
// with the ids of a victim in all places where something can be named. A POST,
// a PATCH, or a DELETE without an id that is not here fails the test, so that
// no new one goes untried.
func samples(v victim) map[string]sample {
	doc := v.byTenant[0]
	return map[string]sample{
		"POST /v1/documents":                {"", fmt.Sprintf(`{"text":"mine","id":%q}`, doc), false},
		"PATCH /v1/documents/:id":           {"", `{"title":"mine","acl":null}`, true},
		"POST /v1/documents/:id/retry":      {"", ``, true},
		"POST /v1/search":                   {"", `{"query":"everything","collections":["default"]}`, false},
		"POST /v1/chat":                     {"", fmt.Sprintf(`{"question":"What was said?","conversation_id":%q}`, v.conversation), true},
		"POST /v1/events":                   {"", fmt.Sprintf(`{"specversion":"1.0","id":"e1","source":"/s","type":"ragbus.document.deleted.v1","data":{"id":%q}}`, doc), false},
		"DELETE /v1/dead-letters":           {"?all=true", "", false},
		"POST /v1/dead-letters/redrive":     {"", `{"all":true,"force":true}`, false},
		"POST /v1/dead-letters/:id/redrive": {"", `{"force":true}`, true},
	}
}

// TestNobodyLearnsOrChangesWhatIsAnothers tries every route of the table, as
// another tenant and as another owner of the same tenant, on the ids of a
// victim: what names one is 404, as if it were not there, and no response
// holds a byte of what is the victim's. Afterwards the victim has it all.
func TestNobodyLearnsOrChangesWhatIsAnothers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(everybodys)
	s.retriever(func(q event.Search) event.SearchResult {
		// A retriever that would believe anything: what it was asked as is what counts here.
		if !strings.HasPrefix(q.Tenant, "thieves") && q.Tenant != "victims" || q.Tenant == "victims" && (len(q.Principals) != 1 || q.Principals[0] != "group:thieves") {
			t.Errorf("searched as %s %v", q.Tenant, q.Principals)
		}
		return event.SearchResult{}
	})
	g := s.serve(s.withKeys())
	v := s.own(g, access.Key{Tenant: "victims", Owner: "vic", Principals: []string{"group:victims"}})
	before := s.everythingOf(g, v)
	for name, thief := range map[string]struct {
		key access.Key
		// sameTenant: shares with the victim what is bound to the tenant alone.
		sameTenant bool
	}{
		"another tenant":                 {access.Key{Tenant: "thieves", Owner: "vic", Principals: []string{"group:victims"}}, false},
		"another owner, same tenant":     {access.Key{Tenant: "victims", Owner: "thief", Principals: []string{"group:thieves"}}, true},
		"another owner of a like name":   {access.Key{Tenant: "victims", Owner: "Vic", Principals: []string{"group:thieves"}}, true},
		"another tenant of a like owner": {access.Key{Tenant: "thieves-too", Owner: "victims", Principals: []string{"victims"}}, false},
	} {
		h := s.key(thief.key)
		tried := 0
		// What makes something comes last: afterwards the thief has something by the victim's id.
		all := routes()
		slices.SortStableFunc(all, func(a, b route) int { return makes(a) - makes(b) })
		for _, rt := range all {
			if rt.bound == ofNobody {
				continue
			}
			if thief.sameTenant && (rt.scope == access.Admin || rt.scope == access.Events) {
				continue // operators and pipelines act for the whole tenant
			}
			tried += s.trespass(t, g, rt, h, v, name)
		}
		if tried < 25 {
			t.Errorf("%s: only %d requests were made", name, tried)
		}
	}
	if diff := s.everythingOf(g, v); diff != before {
		t.Errorf("the victim's things have changed:\n%s\n%s", before, diff)
	}
}

// makes is 1 for routes that may make something, else 0.
func makes(rt route) int {
	if rt.method == http.MethodPost && !strings.Contains(rt.path, ":id") {
		return 1
	}
	return 0
}

// trespass tries a route on all ids of a victim, of both bindings, and
// returns how many requests that were.
func (s *stack) trespass(t *testing.T, g *server, rt route, h header, v victim, as string) int {
	t.Helper()
	ids := []string{""}
	named := strings.Contains(rt.path, ":id")
	if named {
		ids = slices.Concat(v.byTenant, v.byOwner)
	}
	send, ok := samples(v)[rt.method+" "+rt.path]
	if !ok {
		if rt.method == http.MethodPost || rt.method == http.MethodPatch || rt.method == http.MethodDelete && !named {
			t.Fatalf("%s %s: this test does not know what to send; add it to samples", rt.method, rt.path)
		}
		send.denied = named
	}
	body, denied := send.body, send.denied
	for _, id := range ids {
		all := header{"Content-Type": "application/json"}
		if strings.HasPrefix(rt.path, "/v1/events") {
			all["Content-Type"] = structuredType
		}
		maps.Copy(all, h)
		if strings.HasSuffix(rt.path, "/stream") {
			all["Last-Event-ID"] = "1"
		}
		got := g.do(rt.method, rt.pathOf(id)+send.query, strings.NewReader(body), all)
		who := fmt.Sprintf("%s: %s %s", as, rt.method, rt.pathOf(id))
		if denied && got.status != http.StatusNotFound {
			t.Errorf("%s is answered %d: %.200s", who, got.status, got.body)
		}
		if got.status == http.StatusForbidden || got.status >= http.StatusInternalServerError {
			t.Errorf("%s is answered %d: %.200s", who, got.status, got.body)
		}
		dump := fmt.Sprint(got.header, string(got.body))
		for _, w := range v.words {
			if strings.Contains(dump, w) && !strings.Contains(body, w) && id != w {
				t.Errorf("%s: the answer holds %q: %.300s", who, w, dump)
			}
		}
	}
	return len(ids)
}

// everythingOf returns all that the victim can read of what is theirs.
func (s *stack) everythingOf(g *server, v victim) string {
	s.t.Helper()
	var all strings.Builder
	doc, chat := v.byTenant[0], v.byOwner[0]
	for _, path := range []string{
		"/v1/documents", "/v1/documents/" + doc, "/v1/documents/" + doc + "/content", "/v1/documents/" + doc + "/chunks",
		"/v1/chat/" + chat, "/v1/chat/" + chat + "/stream", "/v1/conversations", "/v1/conversations/" + v.conversation,
		"/v1/conversations/" + v.conversation + "/messages", "/v1/dead-letters/" + v.byTenant[1],
	} {
		got := g.do(http.MethodGet, path, nil, v.h)
		if got.status != http.StatusOK {
			s.t.Errorf("the victim gets %d from %s: %.200s", got.status, path, got.body)
		}
		fmt.Fprintf(&all, "%s\n%s\n", path, got.body)
	}
	// The words are really there to be found.
	for _, w := range v.words {
		if !strings.Contains(all.String(), w) {
			s.t.Errorf("%q is nowhere in what the victim sees", w)
		}
	}
	return all.String()
}
