package genaillm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The largest bodies that are read: of an answer, and of an error, which the SDK reads whole.
const (
	maxAnswer = 64 << 20
	maxError  = 64 << 10
)

// wire is what the transport learns about one call that the SDK does not tell.
type wire struct {
	mu    sync.Mutex
	err   error
	pause time.Duration
}

type wireKey struct{}

func (w *wire) broken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *wire) retryAfter() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pause
}

// transport keeps the SDK quiet: it writes read errors to the standard
// logger, so a body that breaks ends for the SDK like a complete one, and the
// adapter finds the error in the call's wire.
type transport struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("call gemini: %w", err)
	}
	w := callOf(r.Context())
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 && seconds < 1<<20 {
		w.mu.Lock()
		w.pause = time.Duration(seconds) * time.Second
		w.mu.Unlock()
	}
	limit := int64(maxAnswer)
	if resp.StatusCode >= http.StatusBadRequest {
		limit = maxError
	}
	resp.Body = &body{ReadCloser: resp.Body, wire: w, left: limit}
	return resp, nil
}

func callOf(ctx context.Context) *wire {
	if w, ok := ctx.Value(wireKey{}).(*wire); ok {
		return w
	}
	return &wire{}
}

type body struct {
	io.ReadCloser
	wire *wire
	left int64
}

// errTooLarge ends an answer that no reader would want.
var errTooLarge = errors.New("the answer is larger than any should be")

// Read implements [io.Reader]; the only error it returns is io.EOF.
func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.note(errTooLarge)
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.note(err)
		return n, io.EOF
	}
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}

// Close implements [io.Closer]. A connection that is closed early has nothing to say.
func (b *body) Close() error {
	_ = b.ReadCloser.Close()
	return nil
}

func (b *body) note(err error) {
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	if b.wire.err == nil {
		b.wire.err = err
	}
}
