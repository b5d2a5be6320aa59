package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
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
	ctx     context.Context //nolint:containedctx // a request is what a context belongs to
	span    trace.Span
	who     Identity
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
	r := &request{s: s, c: c, ctx: s.base(), who: anonymous(), route: unmatched, started: time.Now(), method: c.Method()}
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
	c.Locals(requestKey{}, r)
	h := &c.Response().Header
	h.Set(headerRequestID, r.id)
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	h.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	h.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	h.Set(fiber.HeaderCacheControl, "no-store")
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
	return r.c.Next()
}

// fail answers with a problem and logs the cause that the problem hides.
func (r *request) fail(err error) {
	p := problemOf(err, r.id)
	level := slog.LevelDebug
	if p.Status >= http.StatusInternalServerError {
		level = slog.LevelWarn
		r.span.SetStatus(codes.Error, p.Code)
	}
	r.s.log.LogAttrs(r.ctx, level, "request failed", slog.String("request_id", r.id), slog.String("code", p.Code),
		slog.String("class", fault.Of(err).String()), slog.Any("error", err))
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
		slog.String("route", r.route), slog.Int("status", status), slog.Duration("took", took))
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

// admit refuses what a browser sends on behalf of a page that has no
// business here: a foreign origin, or a name that was made to point at this
// machine (DNS rebinding). It also answers CORS preflights.
func (s *Service) admit(r *request) error {
	if s.cfg.Auth == AuthNone {
		if host := hostOf(string(r.c.Context().Host())); host != "" && !isLoopback(host) {
			return fault.Invalidf("host_not_allowed", "this server answers to names of this machine only, such as localhost")
		}
	}
	origin := r.c.Get(fiber.HeaderOrigin)
	if origin == "" {
		return nil
	}
	r.c.Vary(fiber.HeaderOrigin)
	if slices.Contains(s.cfg.CORSOrigins, origin) {
		return r.allowOrigin(origin)
	}
	switch r.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil // without CORS headers the browser keeps the answer from the page
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, string(r.c.Context().Host())) {
		return nil
	}
	return fault.Invalidf("origin_not_allowed", "pages of this origin may not call this server; RAGBUS_CORS_ORIGINS names those that may")
}

// allowOrigin lets a page of a named origin read the answer.
func (r *request) allowOrigin(origin string) error {
	r.c.Set(fiber.HeaderAccessControlAllowOrigin, origin)
	r.c.Set(fiber.HeaderAccessControlExposeHeaders, "X-Request-Id, Location, Retry-After, ETag, Content-Disposition")
	if r.method != http.MethodOptions || r.c.Get(fiber.HeaderAccessControlRequestMethod) == "" {
		return nil
	}
	r.route = "preflight"
	r.c.Set(fiber.HeaderAccessControlAllowMethods, "GET, HEAD, POST, PATCH, DELETE")
	r.c.Set(fiber.HeaderAccessControlAllowHeaders,
		"Authorization, Content-Type, Accept, Idempotency-Key, Last-Event-ID, X-Request-Id, traceparent, tracestate")
	r.c.Set(fiber.HeaderAccessControlMaxAge, "600")
	r.c.Status(http.StatusNoContent)
	return nil
}

// hostOf returns a Host header without its port.
func hostOf(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}

// unreadable answers what fasthttp could not read as a request.
func (s *Service) unreadable(c *fiber.Ctx, err error) error {
	id := corpus.NewID()
	c.Response().Header.Set(headerRequestID, id)
	p := problemOf(err, id)
	p.write(c.Context())
	s.metrics.answered("unreadable", "none", p.Status, 0)
	s.log.LogAttrs(s.base(), slog.LevelInfo, "unreadable request", slog.String("request_id", id), slog.Int("status", p.Status))
	return nil
}

// knownMethods lets through the methods that Fiber can route; it answers any
// other in plain text, and that before every middleware.
func (s *Service) knownMethods(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if slices.Contains(fiber.DefaultMethods, string(ctx.Method())) {
			next(ctx)
			return
		}
		id := corpus.NewID()
		ctx.Response.Header.Set(headerRequestID, id)
		ctx.SetConnectionClose()
		problemOf(fmt.Errorf("method: %w", fiber.ErrMethodNotAllowed), id).write(ctx)
		s.metrics.answered("unreadable", "none", http.StatusMethodNotAllowed, 0)
	}
}
