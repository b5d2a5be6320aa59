// Package telemetry sets up what a process tells about itself: structured
// logs with trace ids, OpenTelemetry traces, Prometheus metrics. Nothing here
// is global; what it makes is passed to those who use it.
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/ragbus/ragbus/pkg/config"
)

// flushTimeout bounds the export of the last spans at the end of a process.
const flushTimeout = 5 * time.Second

// Config is the operator's part. The exporter itself reads the standard
// OTEL_EXPORTER_OTLP_* variables; the two here only decide whether there is one.
type Config struct {
	// LogLevel is debug, info, warn or error.
	LogLevel string `env:"RAGBUS_LOG_LEVEL" envDefault:"info"`
	// LogFormat is text or json; empty: text on a terminal, else json.
	LogFormat string `env:"RAGBUS_LOG_FORMAT"`
	// OTLPEndpoint turns tracing on.
	OTLPEndpoint config.URL `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,OTEL_EXPORTER_OTLP_ENDPOINT"`
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	var problems []error
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		problems = append(problems, fmt.Errorf("RAGBUS_LOG_LEVEL: %q is not debug, info, warn or error", c.LogLevel))
	}
	if c.LogFormat != "" && c.LogFormat != formatText && c.LogFormat != formatJSON {
		problems = append(problems, fmt.Errorf("RAGBUS_LOG_FORMAT: %q is not text or json", c.LogFormat))
	}
	if err := c.OTLPEndpoint.Check("http", "https"); err != nil {
		problems = append(problems, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err))
	}
	return errors.Join(problems...)
}

// Telemetry is what the parts of a process report through.
type Telemetry struct {
	Log      *slog.Logger
	Registry *prometheus.Registry
	Tracers  oteltrace.TracerProvider

	shutdown func(context.Context) error
}

// Setup returns the telemetry of a process. Logs go to out; terminal says
// whether a person reads them there. Without an OTLP endpoint spans cost nothing.
func Setup(ctx context.Context, c Config, service, version string, out io.Writer, terminal bool) (*Telemetry, error) {
	t := &Telemetry{
		Log:      NewLogger(c, out, terminal).With("service", service),
		Registry: prometheus.NewRegistry(),
		Tracers:  noop.NewTracerProvider(),
		shutdown: func(context.Context) error { return nil },
	}
	t.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if c.OTLPEndpoint == "" {
		return t, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up tracing: %w", err)
	}
	res := resource.NewSchemaless(attribute.String("service.name", service), attribute.String("service.version", version))
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(res))
	t.Tracers, t.shutdown = provider, provider.Shutdown
	return t, nil
}

// Shutdown exports the last spans. It works on an ended context, within a bound of its own.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := t.shutdown(ctx); err != nil {
		return fmt.Errorf("export the last spans: %w", err)
	}
	return nil
}

// The formats of logs.
const (
	formatText = "text"
	formatJSON = "json"
)

// Format returns the format that counts; terminal says whether a person reads the log there.
func (c Config) Format(terminal bool) string {
	if c.LogFormat == "" && terminal {
		return formatText
	}
	return cmp.Or(c.LogFormat, formatJSON)
}

// NewLogger returns a logger whose records carry the trace they belong to.
func NewLogger(c Config, out io.Writer, terminal bool) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format(terminal) == formatText {
		return slog.New(traced{slog.NewTextHandler(out, opts)})
	}
	return slog.New(traced{slog.NewJSONHandler(out, opts)})
}

// traced adds the ids of the current span.
type traced struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if span := oteltrace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // a handler adds nothing to another's error
}

// WithAttrs implements slog.Handler.
func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
