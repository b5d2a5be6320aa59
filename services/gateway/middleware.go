package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// headerRequestID carries the request's id in and out.
const headerRequestID = "X-Request-ID"

// unmatched is the route of requests that no route matches.
const unmatched = "unmatched"

// requestKey is under which a request is found in Fiber's context.
type requestKey struct{}

// request is one HTTP request on its way through a handler.
type request struct {
	s *Service
	c *fiber.Ctx
	// ctx ends when the server must stop, not when the client leaves: that
	// is only seen by a write that fails.
	ctx  context.Context //nolint:containedctx // a request is what a context belongs to
	span trace.Span
	who  access.Identity
	// audited is what the request is called in the audit log, when its route does not say.
	audited string
	// params are the query parameters, of which the route knows every one.
	params map[string]string
	// target is what it is about, when the path does not say.
	target  string
	id      string
	method  string
	route   string
	quiet   bool
	started time.Time
	body    *patientBody
	// streaming says that the answer goes on after the handler returned;
	// then c must not be touched any more and the stream calls finish.
	streaming bool
}

// observe is around every request: it makes its id and span, turns errors
// and panics into problems, and counts and logs what came of it.
func (s *Service) observe(c *fiber.Ctx) error {
	r := s.newRequest(c)
	err := s.admit(r)
	if err == nil && r.route == unmatched {
		err = r.next()
	}
	if err != nil {
		r.fail(err)
	}
	r.leaveBody()
	if !r.streaming {
		r.finish(c.Response().StatusCode())
	}
	return nil
}

func (s *Service) newRequest(c *fiber.Ctx) *request {
	r := &request{s: s, c: c, ctx: s.base(), route: unmatched, started: time.Now(), method: c.Method()}
	if r.id = c.Get(headerRequestID); !saneRequestID(r.id) {
		r.id = corpus.NewID()
	}
	if parent := c.Get("traceparent"); parent != "" {
		carrier := propagation.MapCarrier{"traceparent": parent, "tracestate": c.Get("tracestate")}
		r.ctx = propagation.TraceContext{}.Extract(r.ctx, carrier)
	}
	r.ctx, r.span = s.tracer.Start(r.ctx, r.method, trace.WithSpanKind(trace.SpanKindServer)) //nolint:spancheck // finish ends it
	if sc := r.span.SpanContext(); sc.IsValid() && sc.IsSampled() {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(r.ctx, carrier)
		c.Set("traceresponse", carrier["traceparent"])
	}
	if s.cfg.Auth == access.AuthNone {
		r.who = access.Anonymous()
	}
	c.Locals(requestKey{}, r)
	secure(&c.Response().Header, r.id)
	return r
}

func saneRequestID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// next runs the routes, surviving a handler that panics.
func (r *request) next() (err error) {
	defer func() {
		if v := recover(); v != nil {
			r.s.log.ErrorContext(r.ctx, "a handler panicked", slog.String("request_id", r.id), slog.Any("panic", v),
				slog.String("stack", string(debug.Stack())))
			err = errors.New("panic")
		}
	}()
	if absent(r.c.Path()) {
		return fiber.ErrNotFound
	}
	return r.c.Next()
}

// fail answers with a problem and logs the cause that the problem hides.
func (r *request) fail(err error) {
	if cause := context.Cause(r.ctx); errors.Is(cause, errStopping) && errors.Is(err, context.Canceled) {
		err = cause
	}
	p := problemOf(err, r.id)
	challenge(&r.c.Response().Header, err, r.c.Get(fiber.HeaderAuthorization) != "")
	level := slog.LevelDebug
	if p.Status >= http.StatusInternalServerError {
		level = slog.LevelWarn
		r.span.SetStatus(codes.Error, p.Code)
	}
	attrs := []slog.Attr{slog.String("request_id", r.id), slog.String("code", p.Code), slog.String("class", fault.Of(err).String())}
	if p.Status >= http.StatusInternalServerError {
		// What is wrong with a request is told to its sender, often in words of
		// the request; those may be a secret in the wrong place, so the log has the code alone.
		attrs = append(attrs, slog.Any("error", err))
	}
	r.s.log.LogAttrs(r.ctx, level, "request failed", attrs...)
	p.write(r.c.Context())
}

// finish records the request. It is called once, by the handler's goroutine or the stream's.
func (r *request) finish(status int) {
	took := time.Since(r.started)
	r.s.metrics.answered(r.route, r.method, status, took)
	r.span.SetName(r.method + " " + r.route)
	r.span.SetAttributes(attribute.String("http.request.method", r.method), attribute.String("http.route", r.route),
		attribute.Int("http.response.status_code", status))
	r.span.End()
	level := slog.LevelInfo
	if r.quiet && status < http.StatusInternalServerError {
		level = slog.LevelDebug
	}
	r.s.log.LogAttrs(r.ctx, level, "request", slog.String("request_id", r.id), slog.String("method", r.method),
		slog.String("route", r.route), slog.Int("status", status), slog.Duration("took", took),
		slog.String("tenant", r.who.Tenant), slog.String("key_id", r.who.KeyID))
}

// openBody returns the request's body, bounded in time; nil when there is none.
func (r *request) openBody(whole time.Duration) io.Reader {
	if r.body != nil {
		return r.body
	}
	stream := r.c.Context().RequestBodyStream()
	if stream == nil {
		return http.NoBody
	}
	r.body = &patientBody{
		body: stream, conn: r.c.Context().Conn(), length: int64(r.c.Request().Header.ContentLength()),
		pause: r.s.cfg.ReadTimeout, until: time.Now().Add(whole),
	}
	return r.body
}

// leaveBody reads what little may be left of the body. When there is more,
// the connection cannot be used again: fasthttp would take the rest for the
// next request.
func (r *request) leaveBody() {
	const little, patience = 64 << 10, 100 * time.Millisecond
	if r.c.Context().RequestBodyStream() == nil || r.body != nil && r.body.done {
		return
	}
	r.openBody(patience)
	r.body.pause, r.body.until = patience, time.Now().Add(patience)
	_, err := io.CopyN(io.Discard, r.body, little)
	if errors.Is(err, io.EOF) && r.body.done {
		return
	}
	r.c.Context().SetConnectionClose()
	if own, ok := r.c.Context().Conn().(*conn); ok {
		own.lingerOnClose()
	}
}

// unreadable answers what fasthttp could not read as a request.
func (s *Service) unreadable(c *fiber.Ctx, err error) error {
	id := corpus.NewID()
	secure(&c.Response().Header, id)
	p := problemOf(err, id)
	p.write(c.Context())
	s.metrics.answered("unreadable", "none", p.Status, 0)
	s.log.LogAttrs(s.base(), slog.LevelInfo, "unreadable request", slog.String("request_id", id), slog.Int("status", p.Status))
	return nil
}

// methodBytes are what the name of a method is made of (RFC 9110, 5.6.2).
const methodBytes = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// knownMethods lets through the methods that Fiber can route; it answers any
// other in plain text, and that before every middleware. What no path has is
// not refused for this one (405, with what it allows): RFC 9110, 9.1 has 501
// for it. What is no token is no method, and the line no request.
func (s *Service) knownMethods(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if slices.Contains(fiber.DefaultMethods, string(ctx.Method())) {
			next(ctx)
			return
		}
		id := corpus.NewID()
		secure(&ctx.Response.Header, id)
		ctx.SetConnectionClose()
		var err error = fault.Invalidf("method_unknown", "this server does not know the method; it has GET, HEAD, POST, PATCH and DELETE")
		if strings.Trim(string(ctx.Method()), methodBytes) != "" {
			err = fiber.ErrBadRequest
		}
		p := problemOf(err, id)
		p.write(ctx)
		s.metrics.answered("unreadable", "none", p.Status, 0)
	}
}
