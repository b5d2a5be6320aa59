// Package span makes the spans of what a program does for a request or a
// message: calls to other parts, and the steps that take their time.
//
// A span is made by whoever made its parent, so that nothing has to be handed
// down; where nothing is traced, none is made and nothing is paid.
package span

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ragbus/ragbus/pkg/fault"
)

// scope is the instrumentation scope of all spans made here.
const scope = "github.com/ragbus/ragbus/pkg/telemetry/span"

// Span is one step in progress. The zero Span is one that nobody records. It
// is safe for concurrent use.
type Span struct{ recorded trace.Span }

// Step starts the span of a step within this program.
func Step(ctx context.Context, name string) (context.Context, Span) {
	return start(ctx, name, trace.SpanKindInternal)
}

// Call starts the span of a call to another part, whose name it has: "llm",
// "embedder", "vector".
func Call(ctx context.Context, part string) (context.Context, Span) {
	return start(ctx, part, trace.SpanKindClient)
}

func start(ctx context.Context, name string, kind trace.SpanKind) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, s := parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithSpanKind(kind)) //nolint:spancheck // End ends it
	return ctx, Span{recorded: s}                                                              //nolint:spancheck // End ends it
}

// Recording reports whether anybody will see the span: what costs more than
// a few instructions to find out is worth it then.
func (s Span) Recording() bool { return s.recorded != nil }

// Set adds what is known of the step. Values hold no text of questions,
// documents or answers.
func (s Span) Set(attributes ...attribute.KeyValue) {
	if s.recorded != nil {
		s.recorded.SetAttributes(attributes...)
	}
}

// End ends the span. Of an error it shows the class and the public code, and
// never the text, which may quote what was sent.
func (s Span) End(err error) {
	if s.recorded == nil {
		return
	}
	if err != nil {
		code, _ := fault.Public(err)
		s.recorded.SetStatus(codes.Error, code)
		s.recorded.SetAttributes(attribute.String("error.type", fault.Of(err).String()))
	}
	s.recorded.End()
}
