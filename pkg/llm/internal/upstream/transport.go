package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// The largest bodies that are read: of an answer, and of a refusal.
const (
	maxAnswer  = 64 << 20
	maxRefusal = 64 << 10
)

// MaxPause bounds the delay that is believed of a provider.
const MaxPause = time.Hour

// Refusal is an answer without a stream.
type Refusal struct {
	// Status is the HTTP status: anything outside 200 to 299, or within it
	// when a page or an object came in place of a stream.
	Status int
	// Pause is how long the headers ask to wait; zero when they do not.
	Pause time.Duration
	// Body is the beginning of what came with it.
	Body []byte
	// MediaType of the body, "" when it is not said.
	MediaType string
}

// Client returns an HTTP client whose calls are watched. It follows no
// redirect, which would carry the key to wherever it points. A nil base is a
// transport of its own that keeps as many idle connections as calls may run at once.
func Client(base http.RoundTripper) *http.Client {
	if base == nil {
		base = ownTransport()
	}
	return &http.Client{
		Transport:     transport{base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// idleConnections is how many calls a process has under way at once, unless it is told otherwise.
const idleConnections = 256

func ownTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	own := t.Clone()
	own.MaxIdleConns, own.MaxIdleConnsPerHost = 0, idleConnections
	// A prompt with its sources fits and goes out in one write; else each is
	// copied through 4 KiB and another 32 KiB that are allocated for it.
	own.WriteBufferSize = 32 << 10
	return own
}

// transport notes a refusal and a broken body in the call. For the SDK both
// end like a complete body: some write read errors to the standard logger,
// some lose the status of a refusal whose body is not the JSON they expect.
type transport struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	// A server that closes an idle connection just as the next call goes out on
	// it (llama.cpp does so after 5 s) has not seen that call. Go repeats it on
	// a fresh connection when the request is marked as safe to repeat, and this
	// mark is not sent (see http.Transport). A call on a fresh connection, and
	// one that was answered at all, is never repeated.
	r = r.Clone(r.Context())
	r.Header["X-Idempotency-Key"] = nil
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("call the model: %w", err)
	}
	c := callOf(r.Context())
	if c == nil {
		return resp, nil
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 && media != "application/json" && media != "text/html" {
		resp.Body = &body{ReadCloser: resp.Body, call: c, left: maxAnswer}
		return resp, nil
	}
	begin, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	_ = resp.Body.Close()
	c.refuse(&Refusal{Status: resp.StatusCode, Pause: Pause(resp.Header, time.Now()), Body: begin, MediaType: media})
	resp.Body = http.NoBody
	resp.ContentLength = 0
	return resp, nil
}

func callOf(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

type body struct {
	io.ReadCloser
	call *Call
	left int64
	// more says that the last read brought so much that there may be more at once.
	more bool
}

// plenty is what a read brings only when the answer comes faster than it is
// read: half of what [http.Transport] holds, and dozens of tokens.
const plenty = 2048

// errTooLarge ends an answer that no reader would want.
var errTooLarge = errors.New("the answer is larger than any should be")

// Read implements [io.Reader]; the only error it returns is io.EOF.
func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.call.breakOff(errTooLarge)
		return 0, io.EOF
	}
	if !b.more {
		b.call.beforeBytes()
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.more = n == len(p) || n >= plenty
	if n > 0 {
		b.call.bytesCame()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.call.breakOff(err)
		return n, io.EOF
	}
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}

// Close implements [io.Closer]. A connection that is closed early has nothing to say.
func (b *body) Close() error {
	_ = b.ReadCloser.Close()
	return nil
}

// Pause returns the delay that headers ask for, at most MaxPause: Retry-After-Ms
// (OpenAI, Azure), else Retry-After in seconds or as a date (RFC 9110 section 10.2.3).
func Pause(h http.Header, now time.Time) time.Duration {
	if d := scaled(h.Get("Retry-After-Ms"), time.Millisecond); d > 0 {
		return d
	}
	after := h.Get("Retry-After")
	if d := scaled(after, time.Second); d > 0 {
		return d
	}
	if at, err := http.ParseTime(after); err == nil {
		return max(0, min(at.Sub(now), MaxPause))
	}
	return 0
}

// scaled reads a positive number of units, fractions allowed; zero when it is none.
func scaled(s string, unit time.Duration) time.Duration {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n > 0) { // not a number is not more than zero either
		return 0
	}
	return time.Duration(min(n*float64(unit), float64(MaxPause)))
}
