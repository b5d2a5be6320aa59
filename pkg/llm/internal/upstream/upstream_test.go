package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPause(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		milliseconds, after string
		want                time.Duration
	}{
		{"", "", 0},
		{"", "7", 7 * time.Second},
		{"", "1.5", 1500 * time.Millisecond},
		{"250", "7", 250 * time.Millisecond},
		{"x", "7", 7 * time.Second},
		{"", "Mon, 23 Nov 2026 01:00:30 GMT", 30 * time.Second},
		{"", "Mon, 23 Nov 2026 00:59:30 GMT", 0},
		{"", "Tue, 24 Nov 2026 01:00:30 GMT", MaxPause},
		{"", "1e300", MaxPause},
		{"", "Inf", MaxPause},
		{"", "NaN", 0},
		{"", "-3", 0},
		{"", "soon", 0},
	} {
		h := http.Header{}
		h.Set("Retry-After-Ms", tt.milliseconds)
		h.Set("Retry-After", tt.after)
		if got := Pause(h, now); got != tt.want {
			t.Errorf("%q, %q: %s, want %s", tt.milliseconds, tt.after, got, tt.want)
		}
	}
}

func FuzzPause(f *testing.F) {
	f.Add("250", "Mon, 23 Nov 2026 01:00:30 GMT")
	f.Fuzz(func(t *testing.T, ms, after string) {
		h := http.Header{"Retry-After-Ms": {ms}, "Retry-After": {after}}
		if d := Pause(h, time.Unix(0, 0)); d < 0 || d > MaxPause {
			t.Errorf("%q, %q: %s", ms, after, d)
		}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status  int
		meaning Meaning
		pause   time.Duration
		class   fault.Class
		code    string
	}{
		{400, Plain, 0, fault.Permanent, "model_refused"},
		{400, Overflow, 0, fault.Permanent, "prompt_too_long"},
		{413, Plain, 0, fault.Permanent, "prompt_too_long"},
		{400, WrongKey, 0, fault.Permanent, "model_unauthorized"},
		{401, Plain, 0, fault.Permanent, "model_unauthorized"},
		{402, Plain, 0, fault.Permanent, "model_no_credit"},
		{429, NoCredit, 9, fault.Permanent, "model_no_credit"},
		{404, Plain, 0, fault.Permanent, "model_not_found"},
		{400, NoModel, 0, fault.Permanent, "model_not_found"},
		{429, Plain, 0, fault.Throttled, "throttled"},
		{429, Plain, time.Second, fault.Throttled, "throttled"},
		{200, SlowDown, time.Second, fault.Throttled, "throttled"},
		{503, Plain, 0, fault.Transient, "model_unavailable"},
		{503, Plain, time.Second, fault.Throttled, "throttled"},
		{529, Plain, 0, fault.Transient, "model_unavailable"},
		{307, Plain, 0, fault.Transient, "model_unavailable"},
		{200, Busy, 0, fault.Transient, "model_unavailable"},
		{408, Plain, 0, fault.Transient, "model_unavailable"},
		{422, Plain, 0, fault.Permanent, "model_refused"},
	} {
		err := Fault(tt.status, tt.meaning, tt.pause, errors.New("cause"))
		code, _ := fault.Public(err)
		after := tt.pause
		if tt.class != fault.Throttled {
			after = 0
		}
		if fault.Of(err) != tt.class || code != tt.code || fault.RetryAfter(err) != after {
			t.Errorf("%+v: %v (%s, %s, %s)", tt, err, fault.Of(err), code, fault.RetryAfter(err))
		}
	}
	if got := fault.RetryAfter(Fault(429, Plain, 100*time.Hour, nil)); got != MaxPause {
		t.Errorf("a pause of %s is believed", got)
	}
}

func TestDescribeKeepsSecretsAndLengths(t *testing.T) {
	t.Parallel()
	got := Describe("x", 401, "auth", "key sk-123 is wrong "+strings.Repeat("ü", 300), "sk-123").Error()
	if strings.Contains(got, "sk-123") || !strings.Contains(got, "[redacted]") || len(got) > maxMessage+len("…") || strings.ContainsRune(got, '�') {
		t.Errorf("%q", got)
	}
	if got := Redact("abc", ""); got != "abc" {
		t.Errorf("no key: %q", got)
	}
}

func TestBaseURLs(t *testing.T) {
	t.Parallel()
	for base, ok := range map[string]bool{
		"https://api.openai.com/v1": true, "http://localhost:11434/v1/": true, "http://[::1]:8080": true,
		"": false, "localhost:8080": false, "ftp://x/v1": false, "http://": false, "https://user:hush@x/v1": false,
		"https://x/v1?key=hush": false, "https://x/v1#hush": false, "http:opaque": false, "http://x y": false, "://hush": false,
	} {
		err := CheckBaseURL("base URL", base)
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", base, err)
		}
	}
	for key, ok := range map[string]bool{"sk-1": true, "": false, "a b": false, "a\n": false, "ключ": false} {
		if err := CheckKey("key", key, true); (err == nil) != ok || err != nil && key != "" && strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v", key, err)
		}
	}
	if err := CheckKey("key", "", false); err != nil {
		t.Error(err)
	}
}

// serve starts a server and returns a watched call of it.
func serve(t *testing.T, limits Limits, h http.HandlerFunc) (*Call, *http.Response) {
	t.Helper()
	s := httptest.NewServer(h)
	base := &http.Transport{}
	t.Cleanup(s.Close)
	t.Cleanup(base.CloseIdleConnections)
	ctx, call := Begin(t.Context(), limits, nil)
	t.Cleanup(call.End)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := Client(base).Do(r)
	if err != nil {
		return call, nil
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return call, resp
}

func stream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.WriteHeader(http.StatusOK)
}

func TestARefusalIsKeptWhole(t *testing.T) {
	t.Parallel()
	call, resp := serve(t, Limits{time.Minute, time.Minute}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, strings.Repeat("x", maxRefusal+1))
	})
	rest, err := io.ReadAll(resp.Body)
	got := call.Refusal()
	if got == nil || got.Status != 502 || got.Pause != 3*time.Second || len(got.Body) != maxRefusal || got.MediaType != "text/html" || len(rest) != 0 || err != nil {
		t.Errorf("%+v, %d bytes, %v", got, len(rest), err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	call, _ := serve(t, Limits{time.Minute, time.Minute}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			t.Error("the redirect was followed")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if r := call.Refusal(); r == nil || r.Status != http.StatusTemporaryRedirect {
		t.Errorf("%+v", r)
	}
}

func TestWhatIsNoStreamIsARefusal(t *testing.T) {
	t.Parallel()
	call, _ := serve(t, Limits{time.Minute, time.Minute}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[]}`)
	})
	if r := call.Refusal(); r == nil || r.Status != 200 || string(r.Body) != `{"choices":[]}` {
		t.Errorf("%+v", r)
	}
}

func TestABrokenBodyEndsQuietlyAndIsNoted(t *testing.T) {
	t.Parallel()
	call, resp := serve(t, Limits{time.Minute, time.Minute}, func(w http.ResponseWriter, _ *http.Request) {
		stream(w)
		_, _ = io.WriteString(w, "data: x\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if got, err := io.ReadAll(resp.Body); string(got) != "data: x\n" || err != nil || !errors.Is(call.Broken(), io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v; broken: %v", got, err, call.Broken())
	}
}

func TestAnEndlessAnswerIsCut(t *testing.T) {
	t.Parallel()
	call := &Call{limits: Limits{Silence: time.Minute}, alarm: time.NewTimer(time.Minute)}
	b := &body{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", 100))), call: call, left: 10}
	if got, err := io.ReadAll(b); len(got) != 10 || err != nil || !errors.Is(call.Broken(), errTooLarge) {
		t.Errorf("%d bytes, %v; broken: %v", len(got), err, call.Broken())
	}
}

func TestPingsDoNotStandInForTheFirstToken(t *testing.T) {
	t.Parallel()
	call, resp := serve(t, Limits{FirstToken: 60 * time.Millisecond, Silence: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
		stream(w)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			_, _ = io.WriteString(w, ":\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	_, _ = io.Copy(io.Discard, resp.Body)
	if err := call.Interrupted(); !fault.Is(err, fault.Transient) || !errors.Is(err, errNoFirstToken) {
		t.Errorf("%v", err)
	}
}

func TestPingsKeepAnAnswerAliveAndSilenceEndsIt(t *testing.T) {
	t.Parallel()
	const silence = 100 * time.Millisecond
	call, resp := serve(t, Limits{FirstToken: time.Minute, Silence: silence}, func(w http.ResponseWriter, r *http.Request) {
		stream(w)
		tick := time.NewTicker(silence / 5)
		defer tick.Stop()
		for range 10 { // twice as long as the silence that ends a call
			_, _ = io.WriteString(w, ":\n\n")
			_ = http.NewResponseController(w).Flush()
			<-tick.C
		}
		<-r.Context().Done()
	})
	if !call.Deliver(func() bool { return true }) {
		t.Fatal("the reader wanted more")
	}
	got, _ := io.ReadAll(resp.Body)
	if err := call.Interrupted(); !errors.Is(err, errSilence) || len(got) != 30 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestAReaderMayTakeItsTime(t *testing.T) {
	t.Parallel()
	ctx, call := Begin(t.Context(), Limits{FirstToken: time.Hour, Silence: time.Millisecond}, nil)
	defer call.End()
	// Deliver stops the clock; a second delivery proves that it was not ringing in between.
	call.Deliver(func() bool {
		timer := time.NewTimer(20 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			t.Error("the call ended while its reader was busy")
		}
		return false
	})
}

func TestTheCallersCauseIsKept(t *testing.T) {
	t.Parallel()
	parent, cancel := context.WithCancelCause(t.Context())
	_, call := Begin(parent, Limits{time.Minute, time.Minute}, nil)
	defer call.End()
	if err := call.Interrupted(); err != nil {
		t.Errorf("%v before anything happened", err)
	}
	why := errors.New("the reader left")
	cancel(why)
	if err := call.Interrupted(); !errors.Is(err, why) || !fault.Is(err, fault.Transient) {
		t.Errorf("%v", err)
	}
}

func TestAlternate(t *testing.T) {
	t.Parallel()
	got := Alternate([]llm.Message{
		{Role: llm.Assistant, Text: "lost its question"},
		{Role: llm.User, Text: " "},
		{Role: llm.User, Text: "a"},
		{Role: llm.Assistant, Text: ""},
		{Role: llm.User, Text: "b"},
		{Role: llm.Assistant, Text: "c"},
	})
	want := []llm.Message{{Role: llm.User, Text: "a\n\nb"}, {Role: llm.Assistant, Text: "c"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestAConnectionThatDiedIdleCostsNothing(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, sent := r.Header["X-Idempotency-Key"]; sent {
			t.Error("the mark is sent")
		}
		if calls.Add(1) == 2 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				err = conn.Close()
			}
			if err != nil {
				t.Error(err)
			}
			return
		}
		stream(w)
		_, _ = io.Copy(w, r.Body)
	}))
	defer s.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	client := Client(base)
	for i, fresh := range []bool{false, false, true} {
		if fresh {
			base.CloseIdleConnections()
			calls.Store(1)
		}
		ctx, call := Begin(t.Context(), Limits{time.Minute, time.Minute}, nil)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader("data: x"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		switch {
		case fresh && err == nil:
			t.Error("a call on a fresh connection was repeated")
			_ = resp.Body.Close()
		case !fresh && err != nil:
			t.Errorf("call %d: %v", i, err)
		case !fresh:
			if body, _ := io.ReadAll(resp.Body); string(body) != "data: x" {
				t.Errorf("call %d: %q", i, body)
			}
			_ = resp.Body.Close()
		}
		call.End()
	}
}
