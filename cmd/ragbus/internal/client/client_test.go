package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// server answers every request with what handle writes.
func server(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	c, err := New(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestNewRefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "127.0.0.1:8080", "localhost", "ftp://host", "http://", "://", "http://a b"} {
		if _, err := New(base); err == nil || !strings.Contains(err.Error(), "http://host:port") {
			t.Errorf("New(%q): %v", base, err)
		}
	}
}

func TestDoSendsAndDecodes(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != `{"a":1}` || r.URL.String() != "/v1/search?q=x+y" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %q, %v", r.Method, r.URL, body, err)
		}
		_, _ = io.WriteString(w, `{"query":"hotel"}`)
	})
	var got SearchResult
	err := c.Do(t.Context(), http.MethodPost, "/v1/search", url.Values{"q": {"x y"}}, map[string]int{"a": 1}, &got)
	if err != nil || got.Query != "hotel" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestACredentialIsSentToItsServerOnly(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 3)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") }))
	t.Cleanup(elsewhere.Close)
	// Another host, to a client: the same machine by another name.
	other := strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Authorization")
		http.Redirect(w, r, other, http.StatusFound)
	})
	c.Authorize("rb_id_secret")
	if _, err := c.Text(t.Context(), "/v1/documents"); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != "Bearer rb_id_secret" {
		t.Errorf("sent %q", got)
	}
	if got := <-seen; got != "" {
		t.Errorf("sent elsewhere: %q", got)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, kind, body string
		status           int
		want             Problem
	}{
		{
			"explained", "application/problem+json", `{"title":"Not Found","status":404,"detail":"no such document","code":"document_not_found","request_id":"r1"}`, 404,
			Problem{Title: "Not Found", Status: 404, Detail: "no such document", Code: "document_not_found", RequestID: "r1"},
		},
		{"by a proxy", "text/html", "<h1>Bad Gateway</h1>", 502, Problem{Title: "Bad Gateway", Status: 502, Code: "http_error"}},
		{
			"with the time to wait", "application/problem+json", `{"status":429,"code":"queue_full","retry_after_s":3,"errors":[{"field":"x","message":"y"}]}`, 429,
			Problem{Title: "Too Many Requests", Status: 429, Code: "queue_full", RetryAfter: 3, Errors: []FieldError{{Field: "x", Message: "y"}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cl := server(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			err := cl.Do(t.Context(), http.MethodGet, "/v1/documents/x", nil, nil, nil)
			var got *Problem
			if !errors.As(err, &got) {
				t.Fatalf("the error is %v", err)
			}
			if d := cmp.Diff(c.want, *got); d != "" {
				t.Error(d)
			}
			if !strings.Contains(got.Error(), got.Code) {
				t.Errorf("the text is %q", got)
			}
		})
	}
}

func TestAnUnwellServerSaysHow(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"status":"degraded","services":{"llm":"unhealthy: no quota"}}`)
	})
	err := c.Do(t.Context(), http.MethodGet, "/health", nil, nil, nil)
	var unwell *Unwell
	if !errors.As(err, &unwell) || unwell.Health.Services["llm"] != "unhealthy: no quota" || unwell.Error() != "the server is degraded" {
		t.Errorf("the error is %v", err)
	}
}

func TestASilentServerIsNamed(t *testing.T) {
	t.Parallel()
	c, err := New("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), http.MethodGet, "/livez", nil, nil, nil); err == nil || !strings.Contains(err.Error(), "no answer from 127.0.0.1:1") {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Do(ctx, http.MethodGet, "/livez", nil, nil, nil); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "no answer") {
		t.Errorf("the error of a caller who gave up is %v", err)
	}
}

func TestUploadStreamsFieldsThenFile(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		form, err := r.MultipartReader()
		if err != nil {
			t.Error(err)
			return
		}
		var got []string
		for {
			part, err := form.NextPart()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Error(err)
				return
			}
			data, err := io.ReadAll(part)
			got = append(got, part.FormName()+"|"+part.FileName()+"|"+string(data))
			if err != nil {
				t.Error(err)
			}
		}
		if d := cmp.Diff([]string{"id||d1", "file|ä b.txt|content"}, got); d != "" {
			t.Error(d)
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"d1","status":"accepted"}`)
	})
	doc, isNew, err := c.Upload(t.Context(), File{
		Name: "folder/ä b.txt", Fields: map[string]string{"id": "d1"},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("content")), nil },
	})
	if err != nil || !isNew || doc.ID != "d1" || doc.Settled() {
		t.Errorf("%+v, new %v, %v", doc, isNew, err)
	}
}

// TestARefusedUploadEnds: the server answers without reading; nothing may wait for it to.
func TestARefusedUploadEnds(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, `{"status":413,"code":"file_too_large"}`)
	})
	_, _, err := c.Upload(t.Context(), File{Name: "endless", Open: func() (io.ReadCloser, error) { return io.NopCloser(endless{}), nil }})
	if err == nil {
		t.Error("an endless upload succeeded")
	}
	broken := errors.New("the disk is gone")
	_, _, err = c.Upload(t.Context(), File{Name: "x", Open: func() (io.ReadCloser, error) { return nil, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
