package outbound_test

import (
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/outbound"
)

func TestEveryAttemptIsASpan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		ctx, parent := trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test").Start(t.Context(), "process")
		guarded := outbound.Embedder(flaky(t, errDown), endpoint(t, outbound.Config{Name: "embedder"}, outbound.Deps{}))
		if _, err := guarded.Embed(ctx, embed.Query, []string{"what?"}); err != nil {
			t.Fatal(err)
		}
		parent.End()
		spans := recorder.Ended()
		if len(spans) != 3 {
			t.Fatalf("%d spans", len(spans))
		}
		for i, want := range []codes.Code{codes.Error, codes.Unset} {
			if s := spans[i]; s.Name() != "embedder" || s.Status().Code != want || s.Parent().SpanID() != parent.SpanContext().SpanID() {
				t.Errorf("attempt %d: %s, %+v", i+1, s.Name(), s.Status())
			}
		}
	})
}
