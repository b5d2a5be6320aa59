package upstream

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type answering func(*http.Request) *http.Response

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

type watchedBody struct {
	io.Reader

	closed bool
}

func (b *watchedBody) Close() error {
	b.closed = true
	return nil
}

func TestPostSendsOnceAndKeepsTheHeaderItGot(t *testing.T) {
	t.Parallel()
	for status, fails := range map[int]bool{200: false, 202: false, 307: true, 400: true, 529: true} {
		var calls int
		var got http.Header
		var sent string
		body := &watchedBody{Reader: strings.NewReader("hush")}
		client := &http.Client{
			Transport: answering(func(r *http.Request) *http.Response {
				raw, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				calls, got, sent = calls+1, r.Header, string(raw)
				return &http.Response{StatusCode: status, Body: body, Request: r}
			}),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		header := http.Header{"X-Key": {"k"}}
		resp, err := Post(t.Context(), client, "http://h/", header, map[string]string{"a": "<b>"})
		if (err != nil) != fails || calls != 1 || sent != `{"a":"<b>"}`+"\n" || body.closed != fails {
			t.Errorf("%d: %v after %d calls with %s; closed %t", status, err, calls, sent, body.closed)
		}
		if err == nil {
			_ = resp.Body.Close()
		} else if strings.Contains(err.Error(), "hush") {
			t.Errorf("%d: %v", status, err)
		}
		if got.Get("X-Key") != "k" || got.Get("User-Agent") != "ragbus" || got.Get("Content-Type") != "application/json" {
			t.Errorf("%d: %v", status, got)
		}
		if diff := cmp.Diff(http.Header{"X-Key": {"k"}}, header); diff != "" {
			t.Errorf("%d: the caller's header changed: %s", status, diff)
		}
	}
}

func TestPostOfWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	for route, in := range map[string]any{"http://h/": func() {}, ":": 1} {
		if resp, err := Post(t.Context(), http.DefaultClient, route, nil, in); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s, %T: want an error", route, in)
		}
	}
}

func FuzzCount(f *testing.F) {
	for _, seed := range []string{`12`, `"12"`, `3.0`, `-1`, `1e300`, `null`, `"NaN"`, `[1]`, `"`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c, again Count
		if err := c.UnmarshalJSON(data); err != nil || c < 0 || c > maxCount {
			t.Errorf("%q is %d, %v", data, c, err)
		}
		raw, err := json.Marshal(int(c))
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalJSON(raw); err != nil || again != c {
			t.Errorf("%q is %d, and that %d, %v", data, c, again, err)
		}
	})
}
