package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

func operations(a api, _ Shape) {
	a.get("/livez").want(http.StatusOK)
	a.get("/readyz").want(http.StatusOK)
	health := decode[struct {
		Status    string
		Timestamp time.Time
		Services  map[string]string
		// Notes are what to know about a part that is healthy.
		Notes map[string]string
	}](a.get("/health").want(http.StatusOK))
	if health.Status != "healthy" || health.Timestamp.IsZero() {
		a.t.Errorf("health is %+v", health)
	}
	for _, part := range []string{"vector_store", "database", "llm", "embedder", "broker", "blob_store", "retriever", "generator", "ingestor"} {
		if health.Services[part] != "healthy" {
			a.t.Errorf("%s is %q", part, health.Services[part])
		}
	}
	metrics := string(a.get("/metrics").want(http.StatusOK).body)
	for _, name := range []string{"ragbus_http_requests_total", "ragbus_queue_waiting", "go_goroutines"} {
		if !strings.Contains(metrics, "\n"+name) {
			a.t.Errorf("the metrics have no %s", name)
		}
	}
	if v := decode[map[string]string](a.get("/version").want(http.StatusOK)); v["version"] == "" || v["go"] == "" {
		a.t.Errorf("the version is %v", v)
	}
	var spec struct {
		OpenAPI string                     `json:"openapi"`
		Paths   map[string]json.RawMessage `json:"paths"`
	}
	must(a.t, json.Unmarshal(a.get("/openapi.json").want(http.StatusOK).body, &spec))
	if !strings.HasPrefix(spec.OpenAPI, "3.") {
		a.t.Errorf("the description is OpenAPI %q", spec.OpenAPI)
	}
	for _, path := range []string{
		"/v1/documents", "/v1/documents/{id}", "/v1/documents/{id}/content", "/v1/documents/{id}/chunks", "/v1/documents/{id}/retry", "/v1/search",
		"/v1/chat", "/v1/chat/{id}", "/v1/chat/{id}/stream", "/v1/conversations", "/v1/conversations/{id}", "/v1/conversations/{id}/messages",
		"/v1/events", "/livez", "/readyz", "/health", "/metrics", "/version", "/openapi.json",
	} {
		if _, ok := spec.Paths[path]; !ok {
			a.t.Errorf("the description does not know %s", path)
		}
	}
	// A sane request id is kept, another replaced.
	if r := a.do(http.MethodGet, "/livez", nil, requestID, "my-own.id"); r.header.Get(requestID) != "my-own.id" {
		a.t.Errorf("the request id became %q", r.header.Get(requestID))
	}
	if r := a.do(http.MethodGet, "/livez", nil, requestID, "not a sane one"); r.header.Get(requestID) == "not a sane one" || r.header.Get(requestID) == "" {
		a.t.Errorf("the request id became %q", r.header.Get(requestID))
	}
}
