package telemetry

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLogRecordsCarryTheTrace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := NewLogger(Config{LogLevel: "info"}, &out, false).With("k", "v").WithGroup("g")
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	log.InfoContext(trace.ContextWithSpanContext(t.Context(), span), "hello")
	if !strings.Contains(out.String(), span.TraceID().String()) || !strings.Contains(out.String(), `"k":"v"`) {
		t.Errorf("got %s", out.String())
	}
}

func TestFormatFollowsTheTerminalUnlessSet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format   string
		terminal bool
		json     bool
	}{{"", true, false}, {"", false, true}, {"json", true, true}, {"text", false, false}} {
		var out bytes.Buffer
		NewLogger(Config{LogLevel: "info", LogFormat: c.format}, &out, c.terminal).Info("x")
		if got := strings.HasPrefix(out.String(), "{"); got != c.json {
			t.Errorf("%+v: %s", c, out.String())
		}
	}
}

func TestValidateNamesTheVariable(t *testing.T) {
	t.Parallel()
	err := Config{LogLevel: "loud", LogFormat: "xml"}.Validate()
	if err == nil || !strings.Contains(err.Error(), "RAGBUS_LOG_LEVEL") || !strings.Contains(err.Error(), "RAGBUS_LOG_FORMAT") {
		t.Errorf("got %v", err)
	}
}

func TestSpansAreExportedAtTheEnd(t *testing.T) {
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- r.URL.Path + " " + string(body)
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	tel, err := Setup(t.Context(), Config{LogLevel: "info", OTLPEndpoint: config.URL(server.URL)}, "tester", "1", io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracers.Tracer("t").Start(t.Context(), "a step")
	span.End()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if body := <-got; !strings.HasPrefix(body, "/v1/traces") || !strings.Contains(body, "a step") {
		t.Errorf("got %q", body)
	}
}
