package gateway

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// documentedPath is a route's path as docs/openapi.yaml writes it.
func (rt route) documentedPath() string {
	return regexp.MustCompile(`:(\w+)`).ReplaceAllString(rt.path, "{$1}")
}

func TestEveryRouteRefusesParametersThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve()
	for _, rt := range routes() {
		got := g.do(rt.method, rt.pathOf("x")+"?wiat=1", nil, nil)
		if !strings.HasPrefix(rt.path, "/v1/") {
			if got.status == http.StatusBadRequest {
				t.Errorf("%s %s minds what a probe adds: %s", rt.method, rt.path, got.body)
			}
			continue
		}
		t.Run(rt.method+" "+rt.path, func(t *testing.T) {
			t.Parallel()
			if p := got.problem(t, http.StatusBadRequest, "unknown_parameter"); len(p.Errors) != 1 || p.Errors[0].Field != "wiat" {
				t.Fatalf("blames %v", p.Errors)
			}
		})
	}
}

func TestEveryGetButStreamsHasAHead(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	g.postJSON("/v1/documents", `{"text":"x","id":"d1"}`).document(t, http.StatusAccepted)
	s.settle("d1")
	for _, rt := range routes() {
		if rt.method != http.MethodGet {
			continue
		}
		t.Run(rt.path, func(t *testing.T) {
			t.Parallel()
			path := rt.pathOf("d1")
			got := g.do(http.MethodHead, path, nil, nil)
			if rt.path == "/v1/chat/:id/stream" {
				if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET" {
					t.Fatalf("%d, Allow: %s", got.status, got.header.Get("Allow"))
				}
				return
			}
			want := g.get(path)
			if got.status != want.status || len(got.body) > 0 || got.header.Get("Content-Length") == "" {
				t.Fatalf("%d instead of %d, %v, %d bytes", got.status, want.status, got.header, len(got.body))
			}
			for _, h := range []http.Header{got.header, want.header} {
				h.Del("Date")
				h.Del(headerRequestID)
				if rt.path == "/metrics" { // it counts the requests that look at it
					h.Del("Content-Length")
				}
			}
			if diff := cmp.Diff(want.header, got.header); diff != "" {
				t.Fatalf("-GET +HEAD:\n%s", diff)
			}
			refused := g.do(http.MethodPut, path, nil, nil)
			refused.problem(t, http.StatusMethodNotAllowed, "method_not_allowed")
			if allow := refused.header.Get("Allow"); !strings.HasPrefix(allow, "GET, HEAD") {
				t.Fatalf("Allow: %s", allow)
			}
		})
	}
}

func TestEveryRouteKnowsTheParametersThatAreDocumented(t *testing.T) {
	t.Parallel()
	doc, err := spec()
	must(t, err)
	shared := doc["components"].(map[string]any)["parameters"].(map[string]any)
	for _, rt := range routes() {
		op := doc["paths"].(map[string]any)[rt.documentedPath()].(map[string]any)[strings.ToLower(rt.method)].(map[string]any)
		documented := []string{}
		list, _ := op["parameters"].([]any)
		for _, item := range list {
			p := item.(map[string]any)
			if ref, ok := p["$ref"].(string); ok {
				p = shared[strings.TrimPrefix(ref, "#/components/parameters/")].(map[string]any)
			}
			if p["in"] == "query" {
				documented = append(documented, p["name"].(string))
			}
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(documented)), slices.Sorted(slices.Values(rt.params))); diff != "" {
			t.Errorf("%s %s (-documented +known):\n%s", rt.method, rt.path, diff)
		}
	}
}
