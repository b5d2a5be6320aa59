package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
)

// The largest bodies that are read: of vectors, and of an error.
const (
	maxAnswer = 64 << 20
	maxError  = 64 << 10
)

// maxPause bounds the delay that is believed of a service.
const maxPause = time.Hour

// Client returns an HTTP client for an API: it follows no redirect, which
// would carry the key to wherever it points, bounds what it reads, and notes
// what [Watch] asks for. base may be nil.
func Client(base http.RoundTripper, connections int) *http.Client {
	if base == nil {
		base = defaultTransport(connections)
	}
	return &http.Client{
		Transport:     transport{base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func defaultTransport(connections int) http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	// The standard two idle connections a host would be opened and closed all the time.
	t.MaxIdleConnsPerHost = max(connections, t.MaxIdleConnsPerHost)
	return t
}

// Exchange is what the transport saw of one call.
type Exchange struct {
	mu     sync.Mutex
	status int
	pause  time.Duration
	body   []byte
}

// Status returns the answer's status, or zero when there was none.
func (e *Exchange) Status() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

// Pause returns the pause that the answer's header asked for, else zero.
func (e *Exchange) Pause() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pause
}

// Body returns what was read of the body of an answer that is an error.
func (e *Exchange) Body() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.body
}

type exchangeKey struct{}

// Watch returns a context whose next call through a [Client] is noted in the exchange.
func Watch(ctx context.Context) (context.Context, *Exchange) {
	e := &Exchange{}
	return context.WithValue(ctx, exchangeKey{}, e), e
}

type transport struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("call: %w", err)
	}
	e, ok := r.Context().Value(exchangeKey{}).(*Exchange)
	if !ok {
		e = &Exchange{}
	}
	e.mu.Lock()
	e.status, e.pause, e.body = resp.StatusCode, retryAfter(resp.Header, time.Now()), nil
	e.mu.Unlock()
	if resp.StatusCode >= http.StatusBadRequest {
		resp.Body = &explanation{ReadCloser: resp.Body, exchange: e, left: maxError}
	} else {
		resp.Body = &body{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, nil
}

// errTooLarge ends an answer that nobody asked for.
var errTooLarge = errors.New("the answer is larger than any should be")

// body is an answer of bounded size.
type body struct {
	io.ReadCloser
	left int64
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}

// explanation is the body of an error: kept in the exchange, and whatever
// comes of it is enough, for the status has said the most already.
type explanation struct {
	io.ReadCloser
	exchange *Exchange
	left     int64
}

// Read implements [io.Reader]; the only error it returns is io.EOF.
func (b *explanation) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.exchange.mu.Lock()
	b.exchange.body = append(b.exchange.body, p[:n]...)
	b.exchange.mu.Unlock()
	if err != nil {
		return n, io.EOF
	}
	return n, nil
}

// retryAfter reads the headers that ask for a pause, in milliseconds, seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return seconds(ms / 1000)
	}
	text := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 0 {
		return seconds(s)
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return min(at.Sub(now), maxPause)
	}
	return 0
}

func seconds(s float64) time.Duration {
	if s >= maxPause.Seconds() {
		return maxPause
	}
	return time.Duration(s * float64(time.Second))
}

// Problem is what an API said about a failure, as its adapter read it.
type Problem struct {
	// Provider is put before the cause.
	Provider string
	Status   int
	// Pause is what the service asked for, else zero.
	Pause time.Duration
	// Name is the API's own code or type.
	Name string
	// Message is the API's; it goes into the cause only, shortened and without the secret.
	Message string
	Secret  string
	// TooLong, WrongKey and NoCredit say what the status does not.
	TooLong, WrongKey, NoCredit bool
}

// errTooLong is the cause of every fault that [Batcher] mends by sending less.
var errTooLong = errors.New("too many tokens")

// Fault gives the problem its class.
func (p Problem) Fault() error {
	cause := p.cause()
	pause := min(p.Pause, maxPause)
	switch {
	case p.NoCredit, p.Status == http.StatusPaymentRequired:
		return fault.Permanentf("embedder_no_credit", "the account of the embedding model has no credit left").WithCause(cause)
	case p.Status == http.StatusTooManyRequests, p.Status == http.StatusServiceUnavailable && pause > 0:
		return fault.ThrottledFor(pause, cause)
	case p.WrongKey, p.Status == http.StatusUnauthorized, p.Status == http.StatusForbidden:
		return fault.Permanentf("embedder_unauthorized", "the embedding model does not accept this server's credentials").WithCause(cause)
	case p.TooLong, p.Status == http.StatusRequestEntityTooLarge:
		return fault.Permanentf("text_too_long", "the text does not fit into the embedding model").WithCause(fmt.Errorf("%w: %w", errTooLong, cause))
	case p.Status == http.StatusNotFound:
		return fault.Permanentf("embedder_not_found", "the configured embedding model does not exist").WithCause(cause)
	case p.Status == http.StatusRequestTimeout, p.Status == http.StatusConflict, p.Status == 499, p.Status >= 500, p.Status < 400:
		return fault.Transientf("embedder_unavailable", "the embedding model is not available at the moment").WithCause(cause)
	default:
		return fault.Permanentf("embedder_refused", "the embedding model did not accept the request").WithCause(cause)
	}
}

// maxMessage bounds how much of a service's message goes to the log.
const maxMessage = 200

func (p Problem) cause() error {
	text := strings.ToValidUTF8(strings.TrimSpace(p.Name+" "+p.Message), "")
	if p.Secret != "" {
		text = strings.ReplaceAll(text, p.Secret, "[redacted]")
	}
	if len(text) > maxMessage {
		at := maxMessage
		for !utf8.RuneStart(text[at]) {
			at--
		}
		text = text[:at] + "…"
	}
	return fmt.Errorf("%s: %d %s", p.Provider, p.Status, text)
}

// Unreachable is the fault of a call that brought no answer. Of the error,
// only what the network said is kept: others may quote what they could not read.
func Unreachable(provider string, err error) error {
	cause := errors.New(provider + " sent something that is not its format")
	var network *url.Error
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		cause = fmt.Errorf("%s: the answer broke off: %w", provider, io.ErrUnexpectedEOF)
	case errors.Is(err, errTooLarge):
		cause = fmt.Errorf("%s: %w", provider, errTooLarge)
	case errors.As(err, &network):
		// The URL is left out: a base URL is the operator's, but nobody needs it in every record.
		cause = fmt.Errorf("%s: %w", provider, network.Err)
	}
	return fault.Transientf("embedder_unavailable", "the embedding model is not reachable").WithCause(cause)
}

func plainURL(base string) bool {
	u, err := url.Parse(base)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}
