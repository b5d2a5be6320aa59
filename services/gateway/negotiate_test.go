package gateway

import (
	"net/http"
	"strings"
	"testing"
)

func TestAnAnswerIsAStreamWhereItIsPreferredOrAskedFor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("Yes."))
	g := s.serve()
	for name, c := range map[string]struct {
		accept string
		body   string
		want   string
	}{
		"nothing is said":                 {"", `{"question":"q"}`, "application/json"},
		"anything will do":                {"*/*", `{"question":"q"}`, "application/json"},
		"a stream":                        {"text/event-stream", `{"question":"q"}`, mimeEventStream},
		"a stream before JSON":            {"text/event-stream, application/json", `{"question":"q"}`, mimeEventStream},
		"JSON before a stream":            {"application/json, text/event-stream", `{"question":"q"}`, "application/json"},
		"a stream above anything":         {"*/*;q=0.1, text/event-stream", `{"question":"q"}`, mimeEventStream},
		"a stream as good as anything":    {"text/event-stream, */*", `{"question":"q"}`, mimeEventStream},
		"anything above a stream":         {"text/event-stream; q=0.5, */*; q=0.8", `{"question":"q"}`, "application/json"},
		"no stream":                       {"text/event-stream;q=0, application/json", `{"question":"q"}`, "application/json"},
		"no stream and nothing else":      {"text/event-stream;q=0.0", `{"question":"q"}`, "application/json"},
		"a type that only begins like it": {"text/event-streams, text/plain", `{"question":"q"}`, "application/json"},
		"JSON, but the body says stream":  {"application/json", `{"question":"q","stream":true}`, mimeEventStream},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := header{}
			if c.accept != "" {
				h["Accept"] = c.accept
			}
			got := g.postJSON("/v1/chat", c.body, h)
			if kind := got.header.Get("Content-Type"); got.status != http.StatusOK || !strings.HasPrefix(kind, c.want) {
				t.Fatalf("%d %s", got.status, kind)
			}
		})
	}
}
