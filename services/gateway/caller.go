package gateway

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/conversation"
)

// What an account has of its requests a minute, in every answer to it. In the
// form that Go and fasthttp write; names of headers have no case.
const (
	headerRateLimit     = "Ratelimit-Limit"
	headerRateRemaining = "Ratelimit-Remaining"
	headerRateReset     = "Ratelimit-Reset"
)

// permit settles on whose behalf the request acts and refuses what the caller
// may not do. Nothing of the body has been read by then.
func (r *request) permit(rt route) error {
	if rt.scope == public || r.s.cfg.Auth == access.AuthNone {
		return nil
	}
	who, err := r.authenticate()
	if err != nil {
		return err
	}
	r.who = who
	allowance := r.s.limiter.Take(who)
	if allowance.Limit > 0 {
		h := &r.c.Response().Header
		h.Set(headerRateLimit, strconv.Itoa(allowance.Limit))
		h.Set(headerRateRemaining, strconv.Itoa(allowance.Remaining))
		h.Set(headerRateReset, strconv.Itoa(wholeSeconds(allowance.Reset)))
	}
	if err := allowance.Err(); err != nil {
		return err
	}
	if err := who.May(rt.scope); err != nil {
		r.c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="ragbus", error="insufficient_scope", scope="`+string(rt.scope)+`"`)
		return err
	}
	return nil
}

// authenticate returns who sent the request's credential.
func (r *request) authenticate() (access.Identity, error) {
	bearer, ok := bearerOf(r.c.Get(fiber.HeaderAuthorization))
	if !ok {
		return access.Identity{}, access.Unauthenticated(nil)
	}
	who, err := r.s.deps.Callers.Authenticate(r.ctx, bearer)
	if errors.Is(err, access.ErrUnauthenticated) {
		r.auditRefusedKey(bearer, err)
	}
	return who, err
}

// isKnown reports whether the request's sender is somebody, for public routes
// that tell strangers less. Where nobody is asked, everybody is.
func (r *request) isKnown() bool {
	if r.s.cfg.Auth == access.AuthNone {
		return true
	}
	if r.c.Get(fiber.HeaderAuthorization) == "" {
		return false
	}
	_, err := r.authenticate()
	return err == nil
}

// bearerOf returns the credential of an Authorization header (RFC 6750). It
// is taken from nowhere else: URLs end up in logs and histories.
func bearerOf(header string) (string, bool) {
	scheme, bearer, ok := strings.Cut(header, " ")
	bearer = strings.TrimSpace(bearer)
	return bearer, ok && strings.EqualFold(scheme, "Bearer") && bearer != ""
}

// challenge tells whoever is not known what would do (RFC 6750, section 3).
func challenge(h *fasthttp.ResponseHeader, err error, given bool) {
	if !errors.Is(err, access.ErrUnauthenticated) {
		return
	}
	value := `Bearer realm="ragbus"`
	if given {
		value += `, error="invalid_token"`
	}
	h.Set(fiber.HeaderWWWAuthenticate, value)
}

// afford refuses a question whose asker has spent the tokens of the day.
func (r *request) afford() error {
	if r.s.quota == nil {
		return nil
	}
	_, err := r.s.quota.Check(r.ctx, r.who)
	return err
}

// shareLimits tells the other gateways what was given out here.
func (s *Service) shareLimits(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.onStop(cancel)()
	if err := s.limiter.Run(ctx, s.nats, s.log); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "requests a minute are counted at each gateway alone", slog.Any("error", err))
	}
}

// caller is whose conversations the request reads and writes.
func (r *request) caller() conversation.Caller {
	return conversation.Caller{Tenant: r.who.Tenant, Owner: r.who.Owner}
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
