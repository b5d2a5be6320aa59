package event_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a flag

func at() time.Time { return time.Date(2026, 11, 22, 9, 30, 0, 123456000, time.UTC) }

func askedPayload() event.ChatAsked {
	return event.ChatAsked{
		ID: "chat_1", ConversationID: "conv-1", Owner: "key:abc", Account: "abc", Principals: []string{"group:staff"},
		Question: "Wie hoch ist die Kaution? <b>&", Collections: []string{"handbook"},
		Filter:   corpus.Filter{{Key: "lang", AnyOf: []any{"de", "en"}}, {Key: "year", GTE: new(2020.0), LTE: new(2026.0)}},
		Followup: true, Stream: true, AskedAt: at(), Signature: "v1.c2lnbmF0dXJl",
	}
}

// samples holds at least one event of every kind with every field set.
func samples(tb testing.TB) map[string]event.Event {
	tb.Helper()
	passage := corpus.Passage{
		ID: "doc-1.0123456789abcdef.3", DocumentID: "doc-1", Version: "0123456789abcdef", Title: "Handbook",
		Source: new("https://example.org/a"), Section: "Rent › Deposit", PageStart: new(2), PageEnd: new(3), CharStart: 10, CharEnd: 20,
		Text: "Drei Monatsmieten.", Score: 0.75, Scores: corpus.Scores{Keyword: new(11.5), Dense: new(0.5)},
	}
	found, err := event.NewPassages([]corpus.Passage{passage})
	if err != nil {
		tb.Fatal(err)
	}
	payloads := map[string]event.Payload{
		"chat_asked": askedPayload(),
		"chat_retrieved": event.ChatRetrieved{
			Asked: askedPayload(), SearchQuery: "Kaution Höhe", Passages: found, Relevant: true,
			History: []event.Turn{{Role: "user", Content: "Hallo"}}, QueueMS: 0.5, RetrieveMS: 12.25, Degraded: []string{"dense"},
			Signature: "v1.c2lnbmF0dXJl",
		},
		"chat_answered": event.ChatAnswered{
			ID: "chat_1", ConversationID: "conv-1", Status: "completed", Grounded: true, Reason: "x", Model: "m",
			PromptTokens: 1, CompletionTokens: 2, TotalMS: 3.5,
		},
		"document_uploaded": event.DocumentUploaded{ID: "doc-1", Generation: 7},
		"document_uploaded_pipeline": event.DocumentUploaded{
			ID: "doc-1", Collection: "handbook", Title: "T", Filename: "a.pdf", Source: "https://example.org/a",
			Metadata: map[string]any{"year": 2026.0, "draft": false, "lang": "de"}, ACL: []string{"group:staff"}, DataRef: "s3://bucket/a.pdf",
		},
		"document_deleted": event.DocumentDeleted{ID: "doc-1", Generation: 8},
		"document_changed": event.DocumentChanged{ID: "doc-1", Revision: 99, ACL: []string{"user:a"}},
		"document_embed":   event.ChunksReady{ID: "doc-1", Generation: 7, Version: "v", Batch: 2, From: 128, To: 192},
		"document_indexed": event.DocumentIndexed{ID: "doc-1", Generation: 7, Collection: "handbook", Version: "v", Chunks: 190, Pages: 12},
		"document_failed": event.DocumentFailed{
			ID: "doc-1", Generation: 7, Collection: "handbook",
			Error: corpus.Failure{Code: "encrypted", Message: "the file needs a password", Retryable: false},
		},
		"document_removed": event.DocumentRemoved{ID: "doc-1", Generation: 8, Collection: "handbook"},
	}
	out := map[string]event.Event{}
	for name, p := range payloads {
		e := event.New("tenant-1", at(), p)
		e.Traceparent, e.Tracestate = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b"
		if strings.HasPrefix(name, "chat_") && name != "chat_answered" {
			e.ReplyTo, e.Deadline = "rag.answer.v1.gw.chat_1", at().Add(time.Minute)
		}
		out[name] = e
	}
	return out
}

// wire is a message in a golden file: the JSON of the data can be read there.
type wire struct {
	Subject string              `json:"subject"`
	Header  map[string][]string `json:"header"`
	Data    json.RawMessage     `json:"data"`
}

func TestGolden(t *testing.T) {
	t.Parallel()
	covered := map[event.Kind]bool{}
	for name, e := range samples(t) {
		covered[e.Kind()] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := event.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(wire{m.Subject, m.Header, m.Data}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(string(file)), string(got)); diff != "" {
				t.Errorf("the wire has changed; what is stored or sent by an older release looks otherwise (-want +got):\n%s", diff)
			}
			var stored wire
			if err := json.Unmarshal(file, &stored); err != nil {
				t.Fatal(err)
			}
			back, err := event.Decode(event.Message{Subject: stored.Subject, Header: stored.Header, Data: stored.Data})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, back, cmp.Transformer("List", event.Passages.List)); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
	for _, k := range event.Kinds() {
		if !covered[k] {
			t.Errorf("%s has no golden file", k)
		}
	}
}
