package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lifecycle"
)

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	var ready readiness
	g.get("/readyz").decode(t, &ready)
	if ready.Status != "ready" || ready.Checks["broker"] != "healthy" || ready.Checks["database"] != "healthy" || ready.Checks["blob_store"] != "healthy" {
		t.Fatalf("%+v", ready)
	}
	index := lifecycle.Check{Name: "vector_store", Probe: func(context.Context) error {
		return fault.Transientf("index_loading", "the index is loading").WithCause(errors.New("secret path /data/x"))
	}}
	svc, err := New(Config{}, g.svc.deps)
	if err == nil {
		t.Fatalf("two gateways share a registry: %v", svc)
	}
	loading := s.serveUnready(func(_ *Config, d *Deps) { d.Checks = []lifecycle.Check{index} })
	got := loading.get("/readyz")
	got.decode(t, &ready)
	if got.status != http.StatusServiceUnavailable || ready.Status != "not_ready" || ready.Checks["vector_store"] != "unhealthy: the index is loading" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if strings.Contains(string(got.body), "secret") {
		t.Fatal("a stranger sees the cause")
	}
	if got := loading.get("/livez"); got.status != http.StatusOK {
		t.Fatal(got.status)
	}
	s.bus.Stop()
	eventually(t, "the broker is missed", func() bool {
		got := g.get("/readyz")
		return got.status == http.StatusServiceUnavailable && strings.Contains(string(got.body), `"broker":"unhealthy`)
	})
	if got := g.get("/livez"); got.status != http.StatusOK {
		t.Fatal("a broker outage must not restart the process")
	}
}

func TestHealthGathersEveryService(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	g.svc.healthy.keep = func(healthReport) time.Duration { return 0 }
	var h healthReport
	got := g.get("/health")
	got.decode(t, &h)
	if got.status != http.StatusServiceUnavailable || h.Status != "degraded" || h.Services["broker"] != "healthy" ||
		!strings.HasPrefix(h.Services["retriever"], "unhealthy") || !strings.HasPrefix(h.Services["vector_store"], "unhealthy") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	ok := func(context.Context) error { return nil }
	for service, checks := range map[string][]lifecycle.Check{
		"retriever": {{Name: "vector_store", Probe: ok}, {Name: "embedder", Probe: ok}},
		"generator": {{Name: "llm", Probe: ok}},
		"ingestor":  {{Name: "embedder", Probe: ok}},
	} {
		stop, err := lifecycle.Respond(t.Context(), s.bus.NATS, service, checks)
		must(t, err)
		t.Cleanup(func() { must(t, stop()) })
	}
	must(t, s.bus.NATS.Flush())
	got = g.get("/health")
	got.decode(t, &h)
	want := []string{"vector_store", "database", "llm", "embedder", "broker", "blob_store", "retriever", "generator", "ingestor"}
	for _, name := range want {
		if h.Services[name] != "healthy" {
			t.Errorf("%s is %q", name, h.Services[name])
		}
	}
	if got.status != http.StatusOK || h.Status != "healthy" || h.Timestamp.IsZero() || len(h.Services) != len(want) {
		t.Fatalf("%d %s", got.status, got.body)
	}
	stop, err := lifecycle.Respond(t.Context(), s.bus.NATS, "ingestor", []lifecycle.Check{{Name: "embedder", Probe: func(context.Context) error {
		return fault.Transientf("x", "the quota is used up")
	}}})
	must(t, err)
	defer func() { must(t, stop()) }()
	must(t, s.bus.NATS.Flush())
	eventually(t, "the worst report wins", func() bool {
		g.get("/health").decode(t, &h)
		return h.Services["embedder"] == "unhealthy: the quota is used up" && h.Status == "degraded"
	})
}

// serveUnready is serve for a gateway that is not going to be ready.
func (s *stack) serveUnready(tweaks ...tweak) *server {
	s.t.Helper()
	ready := false
	gate := func(_ *Config, d *Deps) {
		checks := d.Checks
		d.Checks = nil
		for _, c := range checks {
			d.Checks = append(d.Checks, lifecycle.Check{Name: c.Name, Probe: func(ctx context.Context) error {
				if !ready {
					return nil
				}
				return c.Probe(ctx)
			}})
		}
	}
	g := s.serve(append(tweaks, gate)...)
	g.svc.ready.mu.Lock()
	ready = true
	g.svc.ready.keep = func(map[string]string) time.Duration { return 0 }
	g.svc.ready.until = g.svc.ready.until.Add(-healthShared)
	g.svc.ready.mu.Unlock()
	return g
}

func TestMetricsVersionAndHeaders(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("Yes."))
	g := s.serve(func(_ *Config, d *Deps) { d.Version = Version{Version: "1.2.3"} })
	g.ask(t, `{"question":"Why?"}`)
	g.askStreaming(nil).rest()
	g.get("/nowhere")
	eventually(t, "the metrics", func() bool {
		m := string(g.get("/metrics").body)
		for _, want := range []string{
			`ragbus_http_requests_total{method="POST",route="/v1/chat",status="200"} 2`,
			`ragbus_http_requests_total{method="GET",route="unmatched",status="404"} 1`,
			`ragbus_chat_first_frame_seconds_count 2`, `ragbus_sse_streams 0`, `ragbus_http_request_seconds_count{route="/v1/chat"} 2`,
		} {
			if !strings.Contains(m, want) {
				return false
			}
		}
		return true
	})
	var v Version
	got := g.do(http.MethodGet, "/version", nil, header{headerRequestID: "my-id.1"})
	got.decode(t, &v)
	if v.Version != "1.2.3" || v.Go == "" || got.header.Get(headerRequestID) != "my-id.1" || got.header.Get("X-Content-Type-Options") != "nosniff" ||
		got.header.Get("Server") != "" || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Fatalf("%+v %v", v, got.header)
	}
	if got := g.do(http.MethodGet, "/version", nil, header{headerRequestID: "no good\"id"}); strings.Contains(got.header.Get(headerRequestID), " ") {
		t.Fatalf("%v", got.header)
	}
	logs := s.logs.String()
	if strings.Contains(logs, "Why?") || !strings.Contains(logs, `"route":"/v1/chat"`) {
		t.Fatal("the log holds content, or no requests")
	}
}

func TestNamedOriginsMayCall(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve(func(c *Config, _ *Deps) { c.CORSOrigins = []string{"https://app.example"} })
	pre := g.do(http.MethodOptions, "/v1/chat", nil, header{"Origin": "https://app.example", "Access-Control-Request-Method": "POST"})
	if pre.status != http.StatusNoContent || pre.header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
		!strings.Contains(pre.header.Get("Access-Control-Allow-Headers"), "Idempotency-Key") {
		t.Fatalf("%d %v", pre.status, pre.header)
	}
	got := g.do(http.MethodGet, "/v1/documents", nil, header{"Origin": "https://app.example"})
	if got.status != http.StatusOK || got.header.Get("Access-Control-Allow-Origin") != "https://app.example" || got.header.Get("Vary") != "Origin" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	other := g.do(http.MethodOptions, "/v1/chat", nil, header{"Origin": "https://app.example.evil", "Access-Control-Request-Method": "POST"})
	if other.header.Get("Access-Control-Allow-Origin") != "" {
		t.Fatalf("%v", other.header)
	}
	if same := g.postJSON("/v1/chat", `{}`, header{"Origin": g.url}); same.status != http.StatusBadRequest {
		t.Fatalf("a page of this server's own is refused: %d", same.status)
	}
}

func TestSpansFollowTheCaller(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("Yes."))
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	g := s.serve(func(_ *Config, d *Deps) { d.Tracers = provider })
	h := header{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	g.ask(t, `{"question":"Why?"}`, h)
	g.askStreaming(h).rest()
	eventually(t, "both spans", func() bool {
		n := 0
		for _, span := range recorder.Ended() {
			if span.Name() == "POST /v1/chat" && span.Parent().TraceID().String() == "0af7651916cd43dd8448eb211c80319c" {
				n++
			}
		}
		return n == 2
	})
}

func TestNotReadyIsToldForAMomentOnly(t *testing.T) {
	t.Parallel()
	well, unwell := map[string]string{"a": lifecycle.Healthy}, map[string]string{"a": lifecycle.Healthy, "b": "unhealthy: it loads"}
	if got := keepReadiness(well); got != readyShared {
		t.Errorf("ready is shared for %s", got)
	}
	if got := keepReadiness(unwell); got != notReadyShared || got > 100*time.Millisecond {
		t.Errorf("not ready is shared for %s", got)
	}
	asked := 0
	s := shared[map[string]string]{keep: keepReadiness}
	for range 3 {
		s.get(func() map[string]string { asked++; return well })
	}
	if asked != 1 {
		t.Errorf("asked %d times while ready", asked)
	}
}
