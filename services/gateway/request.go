package gateway

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Bounds of what a request may hold. They are documented in docs/openapi.yaml.
const (
	maxJSONBytes     = 1 << 20
	maxTextBytes     = 20 << 20
	maxHeaderBytes   = 16 << 10
	maxQuestionBytes = 16 << 10
	maxCollections   = 32
	maxKeyBytes      = 255
	maxCursorBytes   = 1024
)

// jsonBody reads a JSON body of up to maxJSONBytes, whose media type must say that it is JSON.
func (r *request) jsonBody() ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.c.Get(fiber.HeaderContentType))
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return nil, fault.Invalidf("unsupported_media_type", "send the body as application/json")
	}
	return r.wholeBody(maxJSONBytes, 0)
}

// wholeBody reads a body into memory; see [request.checkLength] for its bounds.
func (r *request) wholeBody(limit, overhead int64) ([]byte, error) {
	if err := r.checkLength(limit, overhead); err != nil {
		return nil, err
	}
	most := limit + overhead
	// Sized by what was announced, so that a small body costs a small buffer.
	size := int64(r.c.Request().Header.ContentLength())
	if size < 0 {
		size = 4 << 10
	}
	buf := make([]byte, 0, min(size, most)+1)
	body := io.LimitReader(r.openBody(r.s.cfg.UploadTimeout), most+1)
	for {
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > most {
			return nil, tooLarge(limit)
		}
		if err == io.EOF { // the contract of io.Reader
			return buf, nil
		}
		if err != nil {
			return nil, brokenBody(err)
		}
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
	}
}

// checkLength refuses by header what cannot be accepted, before a byte of it is
// read. The limit is that of what the body carries, and what a refusal names;
// overhead is what may come around it.
func (r *request) checkLength(limit, overhead int64) error {
	if enc := r.c.Get(fiber.HeaderContentEncoding); enc != "" && enc != "identity" {
		return fault.Invalidf("unsupported_media_type", "send the body without Content-Encoding")
	}
	if int64(r.c.Request().Header.ContentLength()) > limit+overhead {
		return tooLarge(limit)
	}
	return nil
}

func tooLarge(limit int64) error {
	return fault.Invalidf("body_too_large", "the body is larger than %d bytes, the limit here", limit)
}

// brokenBody classifies an error of reading a request's body.
func brokenBody(err error) error {
	if timedOut(err) {
		return fault.Invalidf("request_timeout", "the request's body did not arrive in time").WithCause(err)
	}
	return fault.Invalidf("incomplete_body", "the request's body ended early or is malformed").WithCause(err)
}

// id returns a path parameter that must be a token.
func (r *request) idParam() (string, error) {
	id := r.c.Params("id")
	return id, corpus.CheckToken("id", id)
}

// query returns the query parameters after refusing unknown, repeated and undecodable ones.
func (r *request) query(known ...string) (map[string]string, error) {
	raw := string(r.c.Request().URI().QueryString())
	if raw == "" {
		return map[string]string{}, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fault.Invalidf("invalid_query", "the query string is malformed")
	}
	out := make(map[string]string, len(values))
	for name, list := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, fault.Invalidf("unknown_parameter", "the query parameter %q is not known here", shown(name)).WithField(shown(name))
		case len(list) > 1:
			return nil, fault.Invalidf("duplicate_parameter", "the query parameter %q comes twice", name).WithField(name)
		case !utf8.ValidString(list[0]) || strings.ContainsRune(list[0], 0):
			return nil, fault.Invalidf("invalid_utf8", "the query parameter %q is not valid UTF-8 text", name).WithField(name)
		}
		out[name] = list[0]
	}
	return out, nil
}

// page reads limit (default 20, 1 to 100) and a cursor.
func page(q map[string]string, cursorName string) (limit int, cursor string, err error) {
	limit = 20
	if text, ok := q["limit"]; ok {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > 100 {
			return 0, "", fault.Invalidf("invalid_limit", "limit is a whole number from 1 to 100").WithField("limit")
		}
	}
	cursor = q[cursorName]
	if len(cursor) > maxCursorBytes {
		return 0, "", fault.Invalidf("invalid_cursor", "the %s is not one that this server gave", cursorName).WithField(cursorName)
	}
	return limit, cursor, nil
}

// idempotencyKey returns the Idempotency-Key header; "" when there is none.
func (r *request) idempotencyKey() (string, error) {
	key := r.c.Get("Idempotency-Key")
	if len(key) > maxKeyBytes {
		return "", fault.Invalidf("invalid_idempotency_key", "an Idempotency-Key has 1 to %d bytes", maxKeyBytes)
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return "", fault.Invalidf("invalid_idempotency_key", "an Idempotency-Key has printable ASCII characters only")
		}
	}
	return key, nil
}

// checkText refuses what a question or query may not be.
func checkText(name, text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return fault.Invalidf("empty_"+name, "%s is empty", name).WithField(name)
	case len(text) > maxQuestionBytes:
		return fault.Invalidf(name+"_too_long", "%s has %d bytes; the limit is %d", name, len(text), maxQuestionBytes).WithField(name)
	case strings.ContainsRune(text, 0):
		return fault.Invalidf("invalid_text", "%s holds a NUL character", name).WithField(name)
	}
	return nil
}

// checkCollections refuses names that are no tokens, and too many of them.
func checkCollections(names []string) error {
	if len(names) > maxCollections {
		return fault.Invalidf("too_many_collections", "collections lists %d names; the limit is %d", len(names), maxCollections).
			WithField("collections")
	}
	for _, name := range names {
		if err := corpus.CheckToken("collections", name); err != nil {
			return err
		}
	}
	return nil
}

// json answers with a value as JSON.
func (r *request) json(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fault.As(fault.Permanent, err)
	}
	return r.raw(status, body)
}

// raw answers with JSON that is ready.
func (r *request) raw(status int, body []byte) error {
	r.c.Status(status)
	r.c.Response().Header.SetContentType(fiber.MIMEApplicationJSON)
	r.c.Response().SetBodyRaw(body)
	return nil
}

// list is the shape of every list.
type list[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

func listOf[T any](data []T, next string) list[T] {
	if data == nil {
		data = []T{}
	}
	return list[T]{Data: data, NextCursor: orNull(next)}
}

// orNull returns nil for "", which becomes null.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// timeOrNull returns a time in UTC, nil for the zero time.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// accepted answers 202 and says where the thing made can be looked at.
func (r *request) accepted(location string, v any) error {
	r.c.Set(fiber.HeaderLocation, location)
	return r.json(http.StatusAccepted, v)
}
