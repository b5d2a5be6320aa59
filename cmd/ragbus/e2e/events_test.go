package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

func pipelineEvents(a api, s Shape) {
	texts := map[string]string{}
	ref := func(name string) string {
		texts[name] = story(name, 2)
		path := filepath.Join(s.Inbox(), name+".txt")
		must(a.t, os.WriteFile(path, []byte(texts[name]), 0o600))
		return "file://" + path
	}
	uploaded := func(id, dataref string) map[string]any {
		return map[string]any{
			"specversion": "1.0", "id": "event-" + id, "source": "/pipelines/nightly", "type": "ragbus.document.uploaded.v1", "datacontenttype": "application/json",
			"data": map[string]any{"id": id, "collection": "events", "title": "From " + id, "dataref": dataref, "metadata": map[string]any{"from": "pipeline"}},
		}
	}
	post := func(kind string, body any, h ...string) reply {
		return a.do(http.MethodPost, "/v1/events", body, append([]string{"Content-Type", kind}, h...)...)
	}
	post("application/cloudevents+json", uploaded("pipegamma", ref("pipegamma"))).want(http.StatusAccepted)
	post("application/cloudevents-batch+json", []any{uploaded("pipealpha", ref("pipealpha")), uploaded("pipebeta", ref("pipebeta"))}).want(http.StatusAccepted)
	post("application/json", uploaded("pipedelta", ref("pipedelta"))["data"], "ce-specversion", "1.0", "ce-id", "event-binary", "ce-source", "/pipelines/nightly",
		"ce-type", "ragbus.document.uploaded.v1").want(http.StatusAccepted)
	for id, text := range texts {
		eventually(a.t, "document "+id+" is known", func() bool { return a.get("/v1/documents/"+id).status == http.StatusOK })
		d := a.settled(id)
		if d.Status != "indexed" || d.Title != "From "+id || d.Collection != "events" || d.Metadata["from"] != "pipeline" || d.Filename != id+".txt" {
			a.t.Errorf("the event's document became %+v %+v", d, d.Error)
		}
		whole(a.t, d, text, a.chunks(id))
		exactly(a, id, "events", d)
	}
	// One that is not allowed is no document, and one bad event spoils its batch only.
	post("application/cloudevents+json", uploaded("forbidden", "file:///etc/hostname")).want(http.StatusAccepted)
	r := post("application/cloudevents-batch+json", []any{uploaded("spoiled", ref("spoiled")), map[string]any{"specversion": "1.0", "id": "1", "source": "x", "type": "ragbus.nothing.v1"}})
	r.problem(http.StatusBadRequest, "invalid_event")
	post("application/cloudevents+json", map[string]any{
		"specversion": "1.0", "id": "gone", "source": "/pipelines/nightly", "type": "ragbus.document.deleted.v1", "data": map[string]any{"id": "pipealpha"},
	}).want(http.StatusAccepted)
	eventually(a.t, "the deleted document is gone", func() bool {
		return decode[document](a.get("/v1/documents/pipealpha").want(http.StatusOK)).Status == "deleted"
	})
	for _, id := range []string{"forbidden", "spoiled"} {
		a.get("/v1/documents/"+id).problem(http.StatusNotFound, "document_not_found")
	}
	if got := a.search(map[string]any{"query": "pipealpha", "collections": []string{"events"}, "mode": "keyword", "limit": 50}); strings.Contains(documentsOf(got.Passages), "pipealpha") {
		a.t.Error("a document that was deleted by an event is found")
	}
}
