package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
)

// problemType is what every problem's type starts with; its code follows.
const problemType = "urn:ragbus:problem:"

// statusClientLeft is for the log and the metrics: nobody is there to get it.
const statusClientLeft = 499

// mimeProblem is the media type of RFC 9457.
const mimeProblem = "application/problem+json"

// Problem is the body of every error answer (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Code is stable and snake_case: programs act on it, never on the texts.
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
	// ChatID is the chat that the request made, when it got that far.
	ChatID      string       `json:"chat_id,omitempty"`
	Errors      []FieldError `json:"errors,omitempty"`
	RetryAfterS int          `json:"retry_after_s,omitempty"`
}

// FieldError blames one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// chatError is an error of a request that already had made a chat.
type chatError struct {
	error
	id string
}

func (e chatError) Unwrap() error { return e.error }

// codeStatus lists the codes whose HTTP status is not that of their fault
// class. A switch and not a map: it is a table that nothing may change.
func codeStatus(code string) int {
	switch code {
	case "body_too_large", "file_too_large":
		return http.StatusRequestEntityTooLarge
	case "unsupported_media_type":
		return http.StatusUnsupportedMediaType
	case "id_taken", "collection_mismatch", "not_failed", "conversation_mismatch",
		"dead_letter_expired", "dead_letter_answered", "dead_letter_truncated", "dead_letter_unreadable", "dead_letter_cause_persists":
		return http.StatusConflict
	case "idempotency_key_reused":
		return http.StatusUnprocessableEntity
	case "origin_not_allowed", "host_not_allowed":
		return http.StatusForbidden
	case "request_timeout":
		return http.StatusRequestTimeout
	case "deadline_exceeded":
		return http.StatusGatewayTimeout
	case "range_not_satisfiable":
		return http.StatusRequestedRangeNotSatisfiable
	case "header_too_large":
		return http.StatusRequestHeaderFieldsTooLarge
	case "method_not_allowed":
		return http.StatusMethodNotAllowed
	case "method_unknown":
		return http.StatusNotImplemented
	case "client_left":
		return statusClientLeft
	}
	return 0
}

// statusOf returns the HTTP status of a fault. It is the only place where a
// class becomes one.
func statusOf(err error, code string) int {
	// By what refused, not by its code: a worker's fault may have the same one.
	if errors.Is(err, access.ErrUnauthenticated) {
		return http.StatusUnauthorized
	}
	if errors.Is(err, access.ErrForbidden) {
		return http.StatusForbidden
	}
	if s := codeStatus(code); s != 0 {
		return s
	}
	if _, ok := errors.AsType[*fault.Error](err); !ok {
		return http.StatusInternalServerError
	}
	switch fault.Of(err) {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Permanent:
		return http.StatusUnprocessableEntity
	case fault.Throttled:
		return http.StatusTooManyRequests
	case fault.Transient:
		return http.StatusServiceUnavailable
	}
	return http.StatusServiceUnavailable
}

// problemOf translates an error for a stranger, who never sees its cause.
func problemOf(err error, requestID string) Problem {
	if fe, ok := errors.AsType[*fiber.Error](err); ok {
		err = httpFault(fe)
	}
	err = classify(err)
	code, message := fault.Public(err)
	p := Problem{Status: statusOf(err, code), Code: code, Detail: message, RequestID: requestID}
	if code == "internal" && p.Status == http.StatusServiceUnavailable {
		p.Code, p.Detail = "unavailable", "something that this server depends on does not answer; try again"
	}
	p.Type, p.Title = problemType+p.Code, http.StatusText(p.Status)
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		p.RetryAfterS = retryAfter(err)
	}
	if field := fault.Field(err); field != "" {
		p.Errors = []FieldError{{Field: field, Message: p.Detail}}
	}
	if list, ok := errors.AsType[*fieldsError](err); ok {
		p.Errors = list.list
	}
	if chat, ok := errors.AsType[chatError](err); ok {
		p.ChatID = chat.id
	}
	return p
}

// classify gives faults of the standard library their class and public text.
func classify(err error) error {
	var f *fault.Error
	var timeout net.Error
	switch {
	case errors.Is(err, errStopping):
		return fault.Transientf("stopping", "the server is stopping; send the request again").WithCause(err)
	case errors.Is(err, errReaderGone):
		return fault.Invalidf("client_left", "the client closed the connection before the answer").WithCause(err)
	case errors.Is(err, conversation.ErrMismatch):
		return fault.Invalidf("idempotency_key_reused", "this Idempotency-Key came before with another question").WithCause(err)
	case errors.As(err, &f):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Transientf("deadline_exceeded", "the work took longer than its deadline").WithCause(err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fault.Invalidf("request_timeout", "the request's body did not arrive in time").WithCause(err)
	}
	return err
}

// httpFault translates what Fiber and fasthttp complain about before, or
// without, a handler. Their texts quote the request, so none is passed on.
func httpFault(e *fiber.Error) error {
	switch e.Code {
	case http.StatusNotFound:
		return fault.NotFoundf("route_not_found", "there is nothing at this path; /openapi.json lists what there is").WithCause(e)
	case http.StatusMethodNotAllowed:
		return fault.Invalidf("method_not_allowed", "this path exists, but not with this method; the Allow header lists those it has").WithCause(e)
	case http.StatusRequestEntityTooLarge:
		return fault.Invalidf("body_too_large", "the request's body is too large").WithCause(e)
	case http.StatusRequestHeaderFieldsTooLarge:
		return fault.Invalidf("header_too_large", "the request's header is larger than %d bytes", maxHeaderBytes).WithCause(e)
	case http.StatusRequestTimeout:
		return fault.Invalidf("request_timeout", "the request did not arrive in time").WithCause(e)
	}
	return fault.Invalidf("malformed_request", "this is not an HTTP/1.1 request that the server can read").WithCause(e)
}

// retryAfter returns whole seconds, at least one.
func retryAfter(err error) int {
	return int(max(1, math.Ceil(fault.RetryAfter(err).Seconds())))
}

// write sends the problem as the answer.
func (p Problem) write(ctx *fasthttp.RequestCtx) {
	body, err := json.Marshal(p)
	if err != nil { // strings and integers only: it cannot fail
		body = []byte(`{"status":500}`)
	}
	ctx.Response.ResetBody()
	if p.RetryAfterS > 0 {
		ctx.Response.Header.Set(fiber.HeaderRetryAfter, strconv.Itoa(p.RetryAfterS))
	}
	ctx.SetStatusCode(p.Status)
	ctx.Response.Header.SetContentType(mimeProblem)
	ctx.Response.SetBodyRaw(body)
}

// fieldsError is an Invalid fault that blames several fields.
type fieldsError struct {
	cause *fault.Error
	list  []FieldError
}

func (e *fieldsError) Error() string { return e.cause.Error() }
func (e *fieldsError) Unwrap() error { return e.cause }

// overloaded is the answer to one more than the server takes at a time.
func overloaded(code, what string) error {
	return fault.New(fault.Transient, code, "the server is busy with as many "+what+" as it takes at a time; try again")
}
