package gateway

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/fault"
)

// askedPart returns the part of a document that the request wants; ok is
// false for the whole. When no byte of it is in the document the answer says
// how many there are.
func (r *request) askedPart(size int64, etag string) (part blob.Part, ok bool, err error) {
	if r.method != http.MethodGet {
		return part, false, nil
	}
	// Another version than the one of If-Range is sent whole. We give no
	// Last-Modified, so that a date there is never ours.
	if since := r.c.Get(fiber.HeaderIfRange); since != "" && since != etag {
		return part, false, nil
	}
	part, ok = parseRange(r.c.Get(fiber.HeaderRange), size)
	if ok && part.Bytes < 1 {
		r.c.Set(fiber.HeaderContentRange, fmt.Sprintf("bytes */%d", size))
		return part, false, fault.Invalidf("range_not_satisfiable", "the range begins after the end of the document, which has %d bytes", size)
	}
	return part, ok, nil
}

// parseRange reads the Range of a request for something of the given size.
// One range of bytes is served; ok is false for several, for other units, and
// for what is malformed, where the header is ignored (RFC 9110, 14.2). A part
// without a byte is a range that cannot be satisfied.
func parseRange(header string, size int64) (part blob.Part, ok bool) {
	unit, set, _ := strings.Cut(header, "=")
	from, to, ok := strings.Cut(strings.Trim(set, " \t"), "-")
	first, hasFirst := position(from)
	last, hasLast := position(to)
	switch {
	case !ok || !strings.EqualFold(unit, "bytes"):
		return part, false
	case hasFirst && to == "":
		last = size - 1
	case hasFirst && hasLast && first <= last:
		last = min(last, size-1)
	case from == "" && hasLast:
		first, last = size-min(last, size), size-1
	default:
		return part, false
	}
	return blob.Part{Offset: first, Bytes: last - first + 1}, true
}

// position reads a place in a range: digits alone. One beyond all numbers is
// beyond the end of everything.
func position(text string) (int64, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}
