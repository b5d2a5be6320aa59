package e2e

import (
	"net/http"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
)

// Suite checks what API.md promises of a running Ragbus, however it runs. It
// needs one that holds no documents of the collections it uses, and leaves
// its own behind.
func Suite(t *testing.T, s Shape) {
	t.Helper()
	a := newAPI(t, s.URLs()[0])
	t.Run("api", func(t *testing.T) {
		for name, check := range map[string]func(api, Shape){
			"uploads in three forms":         uploads,
			"lists of documents":             documentLists,
			"the same bytes again":           sameBytes,
			"a new version":                  newVersion,
			"searches while versions change": flips,
			"changed descriptions":           patches,
			"deletion":                       deletion,
			"failures and retries":           failures,
			"search modes and filters":       searches,
			"bad requests":                   badRequests,
			"chat":                           chats,
			"chat as a stream":               streams,
			"follow-up questions":            followUps,
			"questions without an answer":    abstentions,
			"idempotency keys":               idempotency,
			"background and cancelling":      background,
			"conversations":                  conversations,
			"events from pipelines":          pipelineEvents,
			"operations":                     operations,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				check(a.in(t), s)
			})
		}
	})
	t.Run("restart", func(t *testing.T) { restart(t, s) })
}

func TestEverythingInOneProcess(t *testing.T) {
	t.Parallel()
	Suite(t, start(t, server.Parts{Embedder: scripted(t)}))
}

func TestTheBuiltInEmbedder(t *testing.T) {
	t.Parallel()
	s := start(t, server.Parts{})
	a := newAPI(t, s.URLs()[0])
	a.indexed("leave", "Parents may stay at home for sixteen weeks after the birth of a child. The company goes on paying their salary during that time.")
	a.indexed("bicycle", "Bicycles are parked in the cellar of the north building. The key is kept at the reception desk.")
	// Not one word of the question is in the text: only its meaning leads there.
	got := a.search(map[string]any{"query": "maternity vacation", "mode": "dense", "limit": 2})
	if len(got.Passages) != 2 || got.Passages[0].DocumentID != "leave" || got.Passages[0].Scores.Dense == nil {
		t.Errorf("a search by meaning found %+v", got.Passages)
	}
	if r := a.ask(map[string]any{"question": "Where are bicycles parked?"}); !r.Grounded || len(r.Citations) == 0 || r.Citations[0].DocumentID != "bicycle" {
		t.Errorf("the answer is %+v", r)
	}
}

// restart checks that nothing is lost or done again when everything stops and starts.
func restart(t *testing.T, s Shape) {
	t.Helper()
	a := newAPI(t, s.URLs()[0])
	text := story("restartling", 4)
	doc := a.indexed("restarted", text, "collection", "restarts")
	before := a.ask(map[string]any{"question": "Who carried the restartling barrel?", "collections": []string{"restarts"}})
	hits := a.search(map[string]any{"query": "restartling", "collections": []string{"restarts"}, "limit": 50})
	s.Restart(t)
	a = newAPI(t, s.URLs()[0])
	if after := a.settled("restarted"); !doc.UpdatedAt.Equal(after.UpdatedAt) || after.Status != "indexed" {
		t.Errorf("the document was touched by a restart:\n%+v\n%+v", doc, after)
	}
	whole(t, doc, text, a.chunks("restarted"))
	again := a.search(map[string]any{"query": "restartling", "collections": []string{"restarts"}, "limit": 50})
	same(t, "passages after a restart", again.Passages, hits.Passages)
	stored := decode[answer](a.get("/v1/chat/" + before.ID).want(http.StatusOK))
	same(t, "the chat after a restart", stored, before)
	// Frames may be gone with the broker's memory; the record is not.
	events := a.events(http.MethodGet, "/v1/chat/"+before.ID+"/stream", nil, 0)
	same(t, "the chat replayed after a restart", wellFormed(t, events), before)
}
