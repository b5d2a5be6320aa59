package gateway

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/fault"
)

// anyOrigin in the list of origins lets the pages of every one call.
const anyOrigin = "*"

// secure sets what every response has, whatever answers it: no browser
// guesses its type, shows it in a frame, runs anything in it, keeps it, or
// lets a page of another origin read it. TLS ends in front of the gateway,
// and so does what belongs to TLS (Strict-Transport-Security).
func secure(h *fasthttp.ResponseHeader, requestID string) {
	h.Set(headerRequestID, requestID)
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	h.Set(fiber.HeaderXFrameOptions, "DENY")
	h.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	h.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set(fiber.HeaderCacheControl, "no-store")
}

// admit answers preflights and lets the pages of named origins read answers.
// Where nobody is asked who they are it also refuses what a browser sends for
// a page that has no business here: a foreign origin, or a name that was made
// to point at this machine (DNS rebinding). Where callers bring a credential
// no page can send one that it was not given, so there is nothing to refuse.
func (s *Service) admit(r *request) error {
	open := s.cfg.Auth == access.AuthNone
	if open {
		if host := hostOf(string(r.c.Context().Host())); host != "" && !isLoopback(host) {
			return fault.Invalidf("host_not_allowed", "this server answers to names of this machine only, such as localhost")
		}
	}
	origin := r.c.Get(fiber.HeaderOrigin)
	if origin == "" {
		return nil
	}
	r.c.Vary(fiber.HeaderOrigin)
	switch {
	case slices.Contains(s.cfg.CORSOrigins, anyOrigin):
		return r.allowOrigin(anyOrigin)
	case slices.Contains(s.cfg.CORSOrigins, origin):
		return r.allowOrigin(origin)
	case !open:
		return nil // without CORS headers the browser keeps the answer from the page
	}
	switch r.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil // likewise
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, string(r.c.Context().Host())) {
		return nil
	}
	return fault.Invalidf("origin_not_allowed", "pages of this origin may not call this server; RAGBUS_CORS_ORIGINS names those that may")
}

// allowOrigin lets a page of a named origin read the answer. It never allows
// credentials of the browser's own (cookies, TLS certificates): callers are
// known by the Authorization header alone, which a page sets itself.
func (r *request) allowOrigin(origin string) error {
	r.c.Set(fiber.HeaderAccessControlAllowOrigin, origin)
	r.c.Set("Cross-Origin-Resource-Policy", "cross-origin")
	r.c.Set(fiber.HeaderAccessControlExposeHeaders, "X-Request-Id, Location, Retry-After, ETag, Accept-Ranges, Content-Range, Content-Disposition, WWW-Authenticate, "+
		headerRateLimit+", "+headerRateRemaining+", "+headerRateReset)
	if r.method != http.MethodOptions || r.c.Get(fiber.HeaderAccessControlRequestMethod) == "" {
		return nil
	}
	r.route = "preflight"
	r.c.Set(fiber.HeaderAccessControlAllowMethods, "GET, HEAD, POST, PATCH, DELETE")
	r.c.Set(fiber.HeaderAccessControlAllowHeaders,
		"Authorization, Content-Type, Accept, Idempotency-Key, If-None-Match, If-Range, Range, Last-Event-ID, X-Request-Id, traceparent, tracestate")
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
