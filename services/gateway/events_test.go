package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/event"
)

const structuredType = "application/cloudevents+json"

func (g *server) postEvent(body string, h header) answered {
	g.t.Helper()
	return g.do(http.MethodPost, "/v1/events", strings.NewReader(body), h)
}

func TestEventsAreTakenInThreeModes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	uploaded := `{"specversion":"1.0","id":"e1","source":"/pipeline","type":"ragbus.document.uploaded.v1","subject":"d1",` +
		`"partitionkey":"an extension","data":{"dataref":"file:///in/a.pdf","title":"A"}}`
	for range 2 { // the same event twice is one
		got := g.postEvent(uploaded, header{"Content-Type": structuredType})
		if got.status != http.StatusAccepted || string(got.body) != `{"accepted":1,"ids":["e1"]}` {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	binary := g.postEvent(`{"id":"d2"}`, header{
		"Content-Type": "application/json", "ce-id": "e1", "ce-source": "/other", "ce-specversion": "1.0", "ce-type": "ragbus.document.deleted.v1",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Rag-Reply-To": "rag.answer.v1.x.y",
	})
	if binary.status != http.StatusAccepted {
		t.Fatalf("%d %s", binary.status, binary.body)
	}
	batch := g.postEvent(`[`+uploaded+`,{"specversion":"1.0","id":"e3","source":"/pipeline","type":"ragbus.document.acl_changed.v1","data":{"id":"d3","acl":["group:x"]}}]`,
		header{"Content-Type": "application/cloudevents-batch+json"})
	if batch.status != http.StatusAccepted || string(batch.body) != `{"accepted":2,"ids":["e1","e3"]}` {
		t.Fatalf("%d %s", batch.status, batch.body)
	}
	work := s.ingestWork()
	if len(work) != 3 {
		t.Fatalf("%+v", work)
	}
	if u := work[0].Data.(event.DocumentUploaded); u.ID != "d1" || u.DataRef != "file:///in/a.pdf" || u.Generation != 0 || u.Title != "A" {
		t.Fatalf("%+v", u)
	}
	if d := work[1]; d.Data.(event.DocumentDeleted).ID != "d2" || !strings.Contains(d.Traceparent, "0af76519") || d.ReplyTo != "" {
		t.Fatalf("%+v", d)
	}
	if c := work[2].Data.(event.DocumentChanged); c.ID != "d3" || len(c.ACL) != 1 {
		t.Fatalf("%+v", c)
	}
	for _, e := range work {
		if !strings.HasPrefix(e.ID, "external/default/") {
			t.Fatalf("the id %q could pass for one of ours", e.ID)
		}
	}
}

func TestBadEventsAreRefusedAndNothingIsPublished(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	structured := func(members string) string {
		return `{"specversion":"1.0","id":"e","source":"/s","type":"ragbus.document.uploaded.v1",` + members + `}`
	}
	cases := []struct {
		name, body string
		h          header
		status     int
		code       string
	}{
		{"bare JSON", `{"dataref":"file:///x"}`, header{"Content-Type": "application/json"}, 400, "event_type_missing"},
		{"no type", `{"specversion":"1.0","id":"e","source":"/s"}`, header{"Content-Type": structuredType}, 400, "event_type_missing"},
		{"unknown type", `{"specversion":"1.0","id":"e","source":"/s","type":"x"}`, header{"Content-Type": structuredType}, 400, "invalid_event"},
		{"a fact of ours", `{"specversion":"1.0","id":"e","source":"/s","type":"ragbus.document.indexed.v1","data":{"id":"d"}}`, header{"Content-Type": structuredType}, 400, "invalid_event"},
		{"no id", `{"specversion":"1.0","source":"/s","type":"ragbus.document.deleted.v1","data":{"id":"d"}}`, header{"Content-Type": structuredType}, 400, "invalid_event"},
		{"no source", `{"specversion":"1.0","id":"e","type":"ragbus.document.deleted.v1","data":{"id":"d"}}`, header{"Content-Type": structuredType}, 400, "invalid_event"},
		{"version", `{"specversion":"0.3","id":"e","source":"/s","type":"ragbus.document.deleted.v1","data":{"id":"d"}}`, header{"Content-Type": structuredType}, 400, "invalid_event"},
		{"no dataref", structured(`"data":{}`), header{"Content-Type": structuredType}, 400, "invalid_event"},
		{"our generation", structured(`"data":{"id":"d","generation":3,"dataref":"x"}`), header{"Content-Type": structuredType}, 400, "invalid_event"},
		{"unknown field", structured(`"data":{"dataref":"x","colour":"red"}`), header{"Content-Type": structuredType}, 400, "invalid_event"},
		{"other tenant", structured(`"tenant":"other","data":{"dataref":"x"}`), header{"Content-Type": structuredType}, 400, "invalid_event"},
		{"id with a dot", structured(`"data":{"id":"a.b","dataref":"x"}`), header{"Content-Type": structuredType}, 400, "invalid_id"},
		{"an acl of nobody", structured(`"data":{"id":"d","dataref":"x","acl":[]}`), header{"Content-Type": structuredType}, 400, "invalid_acl"},
		{"a change to nobody", `{"specversion":"1.0","id":"e","source":"/s","type":"ragbus.document.acl_changed.v1","data":{"id":"d","acl":[]}}`, header{"Content-Type": structuredType}, 400, "invalid_acl"},
		{"a source that runs", structured(`"data":{"dataref":"x","source":"javascript:alert(1)"}`), header{"Content-Type": structuredType}, 400, "invalid_source"},
		{"a title for a terminal", structured(`"data":{"dataref":"x","title":"\u001b[31mred"}`), header{"Content-Type": structuredType}, 400, "invalid_title"},
		{"a crowd", structured(`"data":{"dataref":"x","acl":["a"` + strings.Repeat(`,"a"`, 5000) + `]}`), header{"Content-Type": structuredType}, 400, "invalid_acl"},
		{"not JSON", `{`, header{"Content-Type": structuredType}, 400, "invalid_json"},
		{"empty", ``, header{"Content-Type": structuredType}, 400, "empty_body"},
		{"avro", `x`, header{"Content-Type": "application/cloudevents+avro"}, 415, "unsupported_media_type"},
		{"no batch", `{}`, header{"Content-Type": "application/cloudevents-batch+json"}, 400, "invalid_event"},
		{"empty batch", `[]`, header{"Content-Type": "application/cloudevents-batch+json"}, 400, "invalid_event"},
		{"large batch", `[` + strings.Repeat(`{},`, 100) + `{}]`, header{"Content-Type": "application/cloudevents-batch+json"}, 400, "invalid_event"},
		{"binary type", `{}`, header{"ce-type": "nothing", "ce-id": "e", "ce-source": "/s", "ce-specversion": "1.0"}, 400, "invalid_event"},
		{"binary data", `{"id":"d","x":1}`, header{"ce-type": "ragbus.document.deleted.v1", "ce-id": "e", "ce-source": "/s", "ce-specversion": "1.0"}, 400, "invalid_event"},
		{"binary no id", `{"id":"d"}`, header{"ce-type": "ragbus.document.deleted.v1", "ce-source": "/s", "ce-specversion": "1.0"}, 400, "invalid_event"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g.postEvent(c.body, c.h).problem(t, c.status, c.code)
		})
	}
	good := structured(`"data":{"dataref":"x"}`)
	p := g.postEvent(fmt.Sprintf(`[%s,{"id":"bad"},%s]`, good, good), header{"Content-Type": "application/cloudevents-batch+json"}).
		problem(t, http.StatusBadRequest, "invalid_event")
	if len(p.Errors) != 1 || p.Errors[0].Field != "1" {
		t.Fatalf("%+v", p.Errors)
	}
	if work := s.ingestWork(); len(work) != 0 {
		t.Fatalf("published %+v", work)
	}
}
