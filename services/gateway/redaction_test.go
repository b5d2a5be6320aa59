package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/conversation"
)

// TestLogsHoldNoSecretAndNoContent goes through a busy scenario with words
// that occur nowhere else, in credentials, questions, answers, documents and
// whatever describes them, good requests and bad, and searches all that was
// logged, at the level of debugging, for each.
func TestLogsHoldNoSecretAndNoContent(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		if w.ask.Stream {
			complete("zqanswerstream ", w.ask.Question)(w)
			return
		}
		complete("zqanswer " + w.ask.Question)(w)
	})
	s.retriever(searchAnswer)
	g := s.serve(s.withKeys())
	h := s.key(access.Key{Tenant: "acme", Owner: "ann", Principals: []string{"group:zqgroup"}})
	secret := h["Authorization"][strings.LastIndex(h["Authorization"], "_")+1:]
	words := []string{
		secret, strings.Repeat("s", access.MinSecret), "zqtext", "zqtitle", "zqfile", "zqsource", "zqnote", "zqquestion", "zqanswer", "zqquery", "zqbad", "zqgroup",
		"zqcookie", "zqurlkey", "zqbasic", "zqevent",
	}
	g.postJSON("/v1/documents", `{"text":"zqtext","id":"d1","title":"zqtitle","filename":"zqfile.txt","source":"https://zqsource.example/","metadata":{"note":"zqnote"},"acl":["group:zqgroup"]}`, h).
		document(t, http.StatusAccepted)
	s.settleOf("acme", "d1", "zqtext")
	var chat conversation.Answer
	g.postJSON("/v1/chat", `{"question":"zqquestion?"}`, h).decode(t, &chat)
	g.postJSON("/v1/chat", `{"question":"zqquestion in a stream?","stream":true}`, h)
	g.postJSON("/v1/search", `{"query":"zqquery","filter":{"metadata.note":"zqnote"}}`, h)
	for _, path := range []string{"/v1/documents", "/v1/documents/d1", "/v1/documents/d1/content", "/v1/documents/d1/chunks", "/v1/conversations", "/v1/chat/" + chat.ID, "/v1/chat/" + chat.ID + "/stream"} {
		if got := g.do(http.MethodGet, path, nil, h); got.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, got.status, got.body)
		}
	}
	// What is wrong, or not from whom it says.
	g.postJSON("/v1/chat", `{"question":"zqquestion?","zqbad":1}`, h)
	g.postJSON("/v1/chat", `{"question":zqbad`, h)
	g.postJSON("/v1/documents", `{"text":"zqtext","source":"javascript:zqbad","id":"zq bad"}`, h)
	g.do(http.MethodGet, "/v1/documents?zqbad=1&collection=zqbad%20", nil, h)
	g.do(http.MethodGet, "/v1/documents/zqbad%00", nil, h)
	g.do(http.MethodGet, "/zqbad/"+secret, nil, nil)
	g.do(http.MethodGet, "/v1/documents?key=zqurlkey", nil, nil)
	g.do(http.MethodGet, "/v1/documents", nil, header{"Cookie": "k=zqcookie", "Authorization": "Basic zqbasic"})
	g.do(http.MethodGet, "/v1/documents", nil, header{"Authorization": h["Authorization"] + "x"})
	g.do(http.MethodPost, "/v1/events", strings.NewReader(`{"specversion":"1.0","id":"e","source":"/s","type":"zqevent","data":{"id":"zqevent"}}`), header{"Content-Type": structuredType, "Authorization": h["Authorization"]})
	g.talk(t, "zqbad /zqbad\r\nzqbad: x\r\n\r\n")
	g.do(http.MethodPatch, "/v1/documents/d1", strings.NewReader(`{"acl":["group:zqgroup"],"title":"zqtitle"}`), header{"Content-Type": "application/json", "Authorization": h["Authorization"]})
	g.do(http.MethodDelete, "/v1/documents/d1", nil, h)
	g.do(http.MethodDelete, "/v1/conversations/"+chat.ConversationID, nil, h)
	g.stop()
	logs := s.logs.String()
	if strings.Count(logs, "\n") < 30 {
		t.Fatalf("there is nothing to search:\n%s", logs)
	}
	for _, w := range words {
		if i := strings.Index(logs, w); i >= 0 {
			t.Errorf("the logs hold %q: …%s…", w, logs[max(0, i-200):min(len(logs), i+80)])
		}
	}
	s.auditIs(t, logs, []string{
		"document.acl done d1", "document.delete done d1", "conversation.delete done " + chat.ConversationID,
		"credential.use refused " + keyID(h),
	})
}

// auditIs checks the audit log: its entries, with all their fields, and no others.
func (*stack) auditIs(t *testing.T, logs string, want []string) {
	t.Helper()
	left := map[string]int{}
	for _, w := range want {
		left[w]++
	}
	for line := range strings.Lines(logs) {
		var entry map[string]any
		must(t, json.Unmarshal([]byte(line), &entry))
		if entry["audit"] != true {
			continue
		}
		for _, name := range []string{"time", "action", "outcome", "code", "tenant", "owner", "key_id", "target", "peer", "request_id"} {
			if _, ok := entry[name]; !ok {
				t.Errorf("the entry has no %s: %s", name, line)
			}
		}
		if entry["outcome"] == auditDone && (entry["tenant"] != "acme" || entry["owner"] != "ann" || entry["key_id"] == "" || entry["peer"] != "127.0.0.1") {
			t.Errorf("who did it? %s", line)
		}
		left[fmt.Sprintf("%v %v %v", entry["action"], entry["outcome"], entry["target"])]--
	}
	for entry, n := range left {
		if n > 0 {
			t.Errorf("missing in the audit log: %q", entry)
		}
	}
}
