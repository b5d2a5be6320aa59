package span_test

import (
	"errors"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/telemetry/span"
)

func TestASpanIsTheChildOfItsContexts(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	ctx, parent := provider.Tracer("test").Start(t.Context(), "parent")

	inner, step := span.Step(ctx, "step")
	_, call := span.Call(inner, "llm")
	if !step.Recording() || !call.Recording() {
		t.Error("a span under a recorded one is not recorded")
	}
	step.Set(attribute.Int("hits", 3))
	call.End(fault.Throttledf(0, "model_busy", "try again").WithCause(errors.New("the secret text of a document")))
	step.End(nil)
	parent.End()

	ended := recorder.Ended()
	if len(ended) != 3 {
		t.Fatalf("%d spans", len(ended))
	}
	gotCall, gotStep := ended[0], ended[1]
	if gotCall.Parent().SpanID() != gotStep.SpanContext().SpanID() || gotStep.Parent().SpanID() != parent.SpanContext().SpanID() {
		t.Error("the spans are not each other's parents")
	}
	if gotCall.SpanKind() != oteltrace.SpanKindClient || gotStep.SpanKind() != oteltrace.SpanKindInternal {
		t.Errorf("kinds %s and %s", gotCall.SpanKind(), gotStep.SpanKind())
	}
	if got := gotCall.Status(); got.Code != codes.Error || got.Description != "model_busy" {
		t.Errorf("status %+v", got)
	}
	if len(gotCall.Events()) != 0 {
		t.Error("the text of an error is in the span")
	}
	if got := gotStep.Attributes(); len(got) != 1 || got[0] != attribute.Int("hits", 3) {
		t.Errorf("attributes %v", got)
	}
}

// Not parallel: allocations are counted for the whole process.
func TestNothingIsPaidWhereNothingIsTraced(t *testing.T) { //nolint:paralleltest // see above
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		got, s := span.Call(ctx, "llm")
		if got != ctx || s.Recording() {
			t.Error("a span nobody asked for")
		}
		s.Set()
		s.End(nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
