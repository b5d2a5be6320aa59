package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

const uploadedSubject = "rag.document.v1.uploaded.tenant-1"

func headers(pairs ...string) map[string][]string {
	h := map[string][]string{}
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = []string{pairs[i+1]}
	}
	return h
}

func TestEveryFormIsRead(t *testing.T) {
	t.Parallel()
	want := event.DocumentUploaded{ID: "doc-1", Title: "T", DataRef: "s3://b/k"}
	data := `{"id":"doc-1","title":"T","dataref":"s3://b/k"}`
	const ce = "application/cloudevents+json"
	structured := func(more string) []byte {
		return []byte(`{"specversion":"1.0","type":"ragbus.document.uploaded.v1","id":"e 1","source":"/x"` + more + `}`)
	}
	tests := map[string]struct {
		in event.Message
		id string
	}{
		"binary": {event.Message{Header: headers("ce-id", "e%201", "ce-type", "ragbus.document.uploaded.v1", "ce-specversion", "1.0",
			"ce-source", "/x"), Data: []byte(data)}, "e 1"},
		"binary, other letters": {event.Message{Header: headers("CE-ID", "e%201", "Ce-Type", "ragbus.document.uploaded.v1",
			"Ce-Specversion", "1.0"), Data: []byte(data)}, "e 1"},
		"binary, reference and subject as attributes": {event.Message{Header: headers("ce-id", "e 1", "ce-type", "ragbus.document.uploaded.v1",
			"ce-specversion", "1.0", "ce-dataref", "s3://b/k", "ce-subject", "doc-1"), Data: []byte(`{"title":"T"}`)}, "e 1"},
		"structured": {event.Message{Header: headers("Content-Type", ce), Data: structured(`,"data":` + data)}, "e 1"},
		"structured, charset": {event.Message{
			Header: headers("content-type", "Application/CloudEvents+JSON; charset=utf-8"),
			Data:   structured(`,"tenant":"tenant-1","extension":5,"data":` + data),
		}, "e 1"},
		"structured, base64": {event.Message{
			Header: headers("Content-Type", ce),
			Data:   structured(`,"data_base64":"eyJpZCI6ImRvYy0xIiwidGl0bGUiOiJUIiwiZGF0YXJlZiI6InMzOi8vYi9rIn0="`),
		}, "e 1"},
		"bare": {event.Message{Header: headers("Nats-Msg-Id", "e 1"), Data: []byte(data)}, "e 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.in.Subject = uploadedSubject
			e, err := event.Decode(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(event.Payload(want), e.Data); diff != "" || e.ID != test.id || e.Tenant != "tenant-1" {
				t.Errorf("%+v %s", e, diff)
			}
		})
	}
	bare := event.Message{Subject: uploadedSubject, Data: []byte(data)}
	first, err := event.Decode(bare)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := event.Decode(bare); err != nil || first.ID == "" || first.ID != second.ID {
		t.Errorf("bare JSON without an id: %q and %q, %v", first.ID, second.ID, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	valid, err := event.Encode(samples(t)["document_uploaded_pipeline"])
	if err != nil {
		t.Fatal(err)
	}
	with := func(key, value string) event.Message {
		m := valid
		m.Header = maps.Clone(valid.Header)
		m.Header[key] = []string{value}
		return m
	}
	on := func(subject string) event.Message { m := valid; m.Subject = subject; return m }
	data := func(s string) event.Message { m := valid; m.Data = []byte(s); return m }
	bare := func(subject, s string) event.Message { return event.Message{Subject: subject, Data: []byte(s)} }
	ce := func(s string) event.Message {
		return event.Message{Subject: uploadedSubject, Header: headers("Content-Type", "application/cloudevents+json"), Data: []byte(s)}
	}
	tests := map[string]struct {
		in     event.Message
		reason string
	}{
		"no subject":         {on(""), "nothing is known of the subject"},
		"foreign subject":    {on("orders.created"), "nothing is known"},
		"next version":       {on("rag.document.v2.uploaded.tenant-1"), "nothing is known"},
		"no tenant":          {on("rag.document.v1.uploaded."), "tenant is empty"},
		"tenant is no token": {on("rag.document.v1.uploaded.ten*ant"), "tenant may hold only"},
		"another type":       {with("ce-type", "ragbus.document.uploaded.v2"), "does not belong on the subject"},
		"type of another":    {with("ce-type", "ragbus.chat.asked.v1"), "does not belong on the subject"},
		"another tenant":     {with("ce-tenant", "tenant-2"), "tenant is not the one"},
		"no id":              {with("ce-id", ""), "no id"},
		"long id":            {with("ce-id", strings.Repeat("x", 513)), "1 to 512"},
		"no specversion":     {with("ce-specversion", ""), "CloudEvents 1.0"},
		"old specversion":    {with("ce-specversion", "0.3"), "CloudEvents 1.0"},
		"bad time":           {with("ce-time", "yesterday"), "RFC 3339"},
		"bad deadline":       {with("Rag-Deadline", "1700000000"), "not a time"},
		"batch":              {with("Content-Type", "application/cloudevents-batch+json"), "batch"},
		"not JSON":           {data("%PDF-1.7 secret"), "not one JSON object"},
		"truncated":          {data(`{"id":"doc-1"`), "not one JSON object"},
		"two values":         {data(`{"id":"doc-1","dataref":"x"}{}`), "not one JSON object"},
		"an array":           {data(`[]`), "is a array"},
		"wrong field type":   {data(`{"id":5,"dataref":"x"}`), `field "id" is a number`},
		"unknown field":      {data(`{"id":"doc-1","dataref":"x","colour":"red"}`), `unknown field "colour"`},
		"empty":              {data(``), "dataref is missing"},
		"null":               {data(`null`), "dataref is missing"},
		"no reference":       {data(`{"id":"doc-1"}`), "dataref is missing"},
		"id is a path":       {data(`{"id":"../etc","dataref":"x"}`), "id may hold only"},
		"id is a wildcard":   {data(`{"id":"*","dataref":"x"}`), "id may hold only"},
		"negative":           {data(`{"id":"doc-1","generation":-1}`), "generation is negative"},
		"metadata nests":     {data(`{"id":"doc-1","dataref":"x","metadata":{"a":{}}}`), "metadata"},
		"empty principal":    {data(`{"id":"doc-1","dataref":"x","acl":[""]}`), "principal"},
		"an acl of nobody":   {data(`{"id":"doc-1","dataref":"x","acl":[]}`), "nobody could see the document"},
		"a source that runs": {data(`{"id":"doc-1","dataref":"x","source":"javascript:alert(1)"}`), "a page could run"},
		"title for terminal": {data(`{"id":"doc-1","dataref":"x","title":"\u001b[31mred"}`), "control characters"},
		"title without end":  {data(`{"id":"doc-1","dataref":"x","title":"` + strings.Repeat("x", 900_000) + `"}`), "title has 900000 characters"},
		"many principals":    {data(`{"id":"doc-1","dataref":"x","acl":["a"` + strings.Repeat(`,"a"`, 5000) + `]}`), "acl lists 5001 principals"},
		"a change to nobody": {bare("rag.document.v1.changed.tenant-1", `{"id":"doc-1","acl":[]}`), "nobody could see the document"},
		"too large":          {data(strings.Repeat("x", event.MaxBytes+1)), "the limit is"},
		"structured no JSON": {ce(`nonsense`), "not a CloudEvents JSON object"},
		"structured, array":  {ce(`[{}]`), "not a CloudEvents JSON object"},
		"structured, empty":  {ce(`{}`), "does not belong"},
		"structured, tenant": {ce(`{"specversion":"1.0","type":"ragbus.document.uploaded.v1","id":"1","tenant":"other","data":{"dataref":"x"}}`), "tenant"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := event.Decode(test.in)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %v, want a reason with %q", err, test.reason)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("content is quoted: %v", err)
			}
		})
	}
}

func TestOnlyWhatPipelinesMaySendIsTakenOverHTTP(t *testing.T) {
	t.Parallel()
	body := func(typ, data string) []byte {
		return fmt.Appendf(nil, `{"specversion":"1.0","type":%q,"id":"e1","subject":"doc-1","data":%s}`, typ, data)
	}
	for typ, data := range map[string]string{
		"ragbus.document.uploaded.v1": `{"dataref":"s3://b/k"}`, "ragbus.document.deleted.v1": `{}`,
		"ragbus.document.acl_changed.v1": `{"id":"doc-1","acl":["user:a"]}`,
	} {
		e, err := event.DecodeCloudEvent("t", body(typ, data))
		if err != nil || e.Tenant != "t" || e.Kind().CloudEventType() != typ {
			t.Errorf("%s: %+v, %v", typ, e, err)
		}
	}
	for _, typ := range []string{"ragbus.chat.asked.v1", "ragbus.document.embed.v1", "ragbus.document.indexed.v1", "", "com.example.x"} {
		if _, err := event.DecodeCloudEvent("t", body(typ, `{}`)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", typ, err)
		}
	}
	other := []byte(`{"specversion":"1.0","type":"ragbus.document.deleted.v1","id":"e1","tenant":"other","data":{"id":"doc-1"}}`)
	if _, err := event.DecodeCloudEvent("t", other); !fault.Is(err, fault.Invalid) {
		t.Errorf("another tenant's event: %v", err)
	}
	injected := []byte(`{"specversion":"1.0","type":"ragbus.document.deleted.v1","id":"e\r\nX: y","traceparent":"00\r\nRag-Reply-To: x","data":{"id":"doc-1"}}`)
	e, err := event.DecodeCloudEvent("t", injected)
	if err != nil {
		t.Fatal(err)
	}
	m, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	for key, values := range m.Header {
		if strings.ContainsAny(values[0], "\r\n") {
			t.Errorf("%s breaks the line: %q", key, values[0])
		}
	}
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	id := func(p event.Payload) string { return event.New("t", at(), p).ID }
	same := [][2]event.Payload{
		{event.ChatAsked{ID: "a", Question: "x"}, event.ChatAsked{ID: "a", Question: "y"}},
		{event.ChunksReady{ID: "d", Generation: 1, Batch: 2, From: 0}, event.ChunksReady{ID: "d", Generation: 1, Batch: 2, From: 9}},
		{event.DocumentUploaded{ID: "d", Generation: 1}, event.DocumentUploaded{ID: "d", Generation: 1, Title: "x"}},
	}
	for _, pair := range same {
		if id(pair[0]) != id(pair[1]) {
			t.Errorf("%s and %s", id(pair[0]), id(pair[1]))
		}
	}
	seen := map[string]event.Payload{}
	for _, p := range []event.Payload{
		event.ChatAsked{ID: "a"},
		event.ChatAsked{ID: "b"},
		event.ChatRetrieved{Asked: event.ChatAsked{ID: "a"}},
		event.ChatAnswered{ID: "a"},
		event.ChunksReady{ID: "d", Generation: 1, Batch: 1},
		event.ChunksReady{ID: "d", Generation: 1, Batch: 2},
		event.ChunksReady{ID: "d", Generation: 2, Batch: 1},
		event.DocumentUploaded{ID: "d", Generation: 1},
		event.DocumentUploaded{ID: "d", Generation: 2},
		event.DocumentUploaded{DataRef: "x"},
		event.DocumentUploaded{DataRef: "y"},
		event.DocumentDeleted{ID: "d", Generation: 1},
		event.DocumentChanged{ID: "d", Revision: 1},
		event.DocumentChanged{ID: "d", Revision: 2},
		event.DocumentChanged{ID: "d", ACL: []string{"a"}},
		event.DocumentChanged{ID: "d", ACL: []string{"a", "b"}},
		event.DocumentIndexed{ID: "d", Generation: 1},
		event.DocumentFailed{ID: "d", Generation: 1},
		event.DocumentRemoved{ID: "d", Generation: 1},
	} {
		if other, ok := seen[id(p)]; ok {
			t.Errorf("%+v and %+v are both %s", p, other, id(p))
		}
		seen[id(p)] = p
	}
	e := event.New("t", at(), event.ChatAsked{ID: "a"})
	if e.Resent("1").ID == e.ID || e.Resent("1").ID == e.Resent("2").ID {
		t.Error("a resent event is taken for a duplicate")
	}
	if event.New("u", at(), event.ChatAsked{ID: "a"}).ID == e.ID {
		t.Error("two tenants share an identity")
	}
}

func TestEncodeRefusesWhatNobodyCouldRead(t *testing.T) {
	t.Parallel()
	huge := event.New("t", at(), event.DocumentUploaded{ID: "d", DataRef: strings.Repeat("x", event.MaxBytes)})
	if _, err := event.Encode(huge); !fault.Is(err, fault.Permanent) {
		t.Errorf("got %v", err)
	}
	for name, e := range map[string]event.Event{
		"tenant": event.New("a.b", at(), event.ChatAnswered{ID: "a"}), "no data": {ID: "x", Tenant: "t"},
		"payload": event.New("t", at(), event.ChatAsked{ID: "a"}),
	} {
		if _, err := event.Encode(e); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFilenamesAreCleanedInEveryForm(t *testing.T) {
	t.Parallel()
	const data = `{"id":"d","dataref":"x","filename":"../../etc/pass\u001bwd"}`
	structured := []byte(`{"specversion":"1.0","type":"ragbus.document.uploaded.v1","id":"e","data":` + data + `}`)
	bare, err := event.Decode(event.Message{Subject: uploadedSubject, Data: []byte(data)})
	if err != nil || bare.Data.(event.DocumentUploaded).Filename != "passwd" {
		t.Errorf("bare: %+v, %v", bare.Data, err)
	}
	sent, err := event.DecodeCloudEvent("tenant-1", structured)
	if err != nil || sent.Data.(event.DocumentUploaded).Filename != "passwd" {
		t.Errorf("over HTTP: %+v, %v", sent.Data, err)
	}
}

// TestAnACLOfNobodyNeverBecomesOneOfEveryone: an empty list that is dropped on
// the wire would come out as an absent one, which is everyone.
func TestAnACLOfNobodyNeverBecomesOneOfEveryone(t *testing.T) {
	t.Parallel()
	for _, nobody := range []event.Payload{
		event.DocumentUploaded{ID: "d", DataRef: "file:///x", ACL: []string{}}, event.DocumentChanged{ID: "d", ACL: []string{}},
	} {
		_, err := event.Encode(event.New("t", at(), nobody))
		if code, _ := fault.Public(err); !fault.Is(err, fault.Invalid) || code != "invalid_acl" || fault.Field(err) != "acl" {
			t.Errorf("%T is sent: %v", nobody, err)
		}
		data, err := json.Marshal(nobody)
		if err != nil || !bytes.Contains(data, []byte(`"acl":[]`)) {
			t.Errorf("%T loses its list: %s, %v", nobody, data, err)
		}
	}
	for _, everyone := range []string{`{"id":"d"}`, `{"id":"d","acl":null}`} {
		e, err := event.Decode(event.Message{Subject: "rag.document.v1.changed.t", Data: []byte(everyone)})
		if err != nil || e.Data.(event.DocumentChanged).ACL != nil {
			t.Errorf("%s: %+v, %v", everyone, e.Data, err)
		}
	}
}

func TestPassagesAreKeptAsTheyCame(t *testing.T) {
	t.Parallel()
	subject := "rag.chat.v1.retrieved.t"
	data := func(passages string) event.Message {
		return event.Message{Subject: subject, Header: headers("Nats-Msg-Id", "e"), Data: []byte(
			`{"passages" : ` + passages + ` , "asked":{"id":"a","conversation_id":"c","owner":"o","question":"q","asked_at":"2026-11-22T09:30:00Z"},"search_query":"q","relevant":true,"queue_ms":0,"retrieve_ms":0}`)}
	}
	for in, want := range map[string]string{
		`[{"id":"p1", "text":"<a>\n"}, {"id":"p2"}]`: `[{"id":"p1", "text":"<a>\n"}, {"id":"p2"}]`, `[]`: `[]`, `[ ]`: `[]`, `null`: `[]`,
	} {
		e, err := event.Decode(data(in))
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		got := e.Data.(event.ChatRetrieved).Passages
		if string(got.JSON()) != want || got.IsZero() != (want == "[]") || got.IsZero() != (len(got.List()) == 0) {
			t.Errorf("%s: %s %+v", in, got.JSON(), got.List())
		}
		m, err := event.Encode(e)
		if err != nil || !bytes.HasSuffix(m.Data, []byte(`,"passages":`+want+`}`)) {
			t.Errorf("sent again: %s, %v", m.Data, err)
		}
	}
	for in, reason := range map[string]string{
		`[{"id":"p","colour":"red"}]`: `unknown field "colour"`, `[{"id":"p","id":"q"}]`: "not one JSON object", `{}`: "is a object",
		`[{"id":5}]`: `field "passages.0.id" is a number`, `[{"id":"p"},]`: "not one JSON object", "[{\"id\":\"\xff\"}]": "not one JSON object",
	} {
		if _, err := event.Decode(data(in)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: got %v, want a reason with %q", in, err, reason)
		}
	}
}

// FuzzDecode: whatever arrives is either refused as Invalid or becomes an
// event that goes over the wire again unchanged.
func FuzzDecode(f *testing.F) {
	for _, e := range samples(f) {
		m, err := event.Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Subject, m.Header["ce-id"][0], m.Header["ce-type"][0], "1.0", "application/json", m.Data)
		structured := fmt.Appendf(nil, `{"specversion":"1.0","type":%q,"id":"e","data":%s}`, m.Header["ce-type"][0], m.Data)
		f.Add(m.Subject, "", "", "", "application/cloudevents+json", structured)
		f.Add(m.Subject, "", "", "", "", m.Data)
	}
	f.Fuzz(func(t *testing.T, subject, id, typ, version, contentType string, data []byte) {
		h := headers("ce-id", id, "ce-type", typ, "ce-specversion", version, "Content-Type", contentType)
		e, err := event.Decode(event.Message{Subject: subject, Header: h, Data: data})
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("not an Invalid fault: %v", err)
			}
			return
		}
		first, err := event.Encode(e)
		if fault.Is(err, fault.Permanent) {
			return // JSON of ours escapes more and may be too long
		}
		if err != nil {
			t.Fatalf("an event that was accepted cannot be sent: %v", err)
		}
		again, err := event.Decode(first)
		if err != nil {
			t.Fatalf("%s: what was sent cannot be read: %v", first.Data, err)
		}
		second, err := event.Encode(again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Data, second.Data) || !cmp.Equal(first.Header, second.Header) || first.Subject != second.Subject {
			t.Fatalf("changes on the wire: %+v %s\n%+v %s", first.Header, first.Data, second.Header, second.Data)
		}
	})
}
