package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait of a test for something that must happen.
const patience = 90 * time.Second

// api is the public API as a program sees it that knows nothing of ours.
type api struct {
	t    *testing.T
	base string
	http *http.Client
}

// requestID names the header that carries a request's id both ways.
const requestID = "X-Request-ID"

// header is a request's, given as name, value, name, value…
type header []string

// reply is a response that was read whole.
type reply struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

func newAPI(t *testing.T, base string) api {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	return api{t: t, base: base, http: &http.Client{Transport: transport, Timeout: patience}}
}

// in returns the same server seen by a subtest.
func (a api) in(t *testing.T) api {
	a.t = t
	return a
}

func (a api) request(method, path string, body any, h header) *http.Response {
	a.t.Helper()
	resp, err := a.try(a.t.Context(), method, path, body, h)
	must(a.t, err)
	return resp
}

// try sends a reader as it is and anything else as JSON.
func (a api) try(ctx context.Context, method, path string, body any, h header) (*http.Response, error) {
	var payload io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case io.Reader:
		payload = b
	default:
		data, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		payload, kind = bytes.NewReader(data), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, payload)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(h); i += 2 {
		req.Header.Set(h[i], h[i+1])
	}
	return a.http.Do(req)
}

func (a api) do(method, path string, body any, h ...string) reply {
	a.t.Helper()
	resp := a.request(method, path, body, h)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	must(a.t, err)
	return reply{t: a.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header, body: data}
}

func (a api) get(path string) reply { a.t.Helper(); return a.do(http.MethodGet, path, nil) }

// want fails the test unless the status is the expected one.
func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: status %d, want %d: %.600s", r.what, r.status, status, r.body)
	}
	return r
}

// problem checks that a refusal is one as API.md describes them.
func (r reply) problem(status int, code string) {
	r.t.Helper()
	r.want(status)
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
		RequestID                 string `json:"request_id"`
	}
	must(r.t, json.Unmarshal(r.body, &p))
	if kind := r.header.Get("Content-Type"); kind != "application/problem+json" {
		r.t.Errorf("%s: the problem is sent as %q", r.what, kind)
	}
	if p.Code != code || p.Status != status || p.Type == "" || p.Title == "" || p.Detail == "" || p.RequestID != r.header.Get(requestID) {
		r.t.Errorf("%s: the problem is %s, want the code %q and all fields", r.what, r.body, code)
	}
}

func decode[T any](r reply) T {
	r.t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		r.t.Fatalf("%s: %v in %.600s", r.what, err, r.body)
	}
	return v
}

// The objects of API.md, every field named: decode refuses one that is not there.
type (
	document struct {
		ID         string         `json:"id"`
		Collection string         `json:"collection"`
		Title      string         `json:"title"`
		Filename   string         `json:"filename"`
		Source     *string        `json:"source"`
		MediaType  string         `json:"media_type"`
		Bytes      int            `json:"bytes"`
		SHA256     string         `json:"sha256"`
		Version    string         `json:"version"`
		Status     string         `json:"status"`
		Progress   progress       `json:"progress"`
		Pages      *int           `json:"pages"`
		Error      *failure       `json:"error"`
		Warnings   []string       `json:"warnings"`
		Metadata   map[string]any `json:"metadata"`
		ACL        []string       `json:"acl"`
		CreatedAt  time.Time      `json:"created_at"`
		UpdatedAt  time.Time      `json:"updated_at"`
		IndexedAt  *time.Time     `json:"indexed_at"`
	}
	progress struct {
		Chunks   int `json:"chunks"`
		Embedded int `json:"embedded"`
	}
	failure struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		Retryable bool   `json:"retryable"`
	}
	chunk struct {
		ID         string `json:"id"`
		DocumentID string `json:"document_id"`
		Version    string `json:"version"`
		Ordinal    int    `json:"ordinal"`
		Section    string `json:"section"`
		Page       *int   `json:"page"`
		CharStart  int    `json:"char_start"`
		CharEnd    int    `json:"char_end"`
		Text       string `json:"text"`
	}
	passage struct {
		ID         string  `json:"id"`
		DocumentID string  `json:"document_id"`
		Version    string  `json:"version"`
		Title      string  `json:"title"`
		Source     *string `json:"source"`
		Section    string  `json:"section"`
		PageStart  *int    `json:"page_start"`
		PageEnd    *int    `json:"page_end"`
		CharStart  int     `json:"char_start"`
		CharEnd    int     `json:"char_end"`
		Text       string  `json:"text"`
		Score      float64 `json:"score"`
		Scores     struct {
			Keyword *float64 `json:"keyword"`
			Dense   *float64 `json:"dense"`
		} `json:"scores"`
	}
	found struct {
		Query    string         `json:"query"`
		Passages []passage      `json:"passages"`
		Timings  map[string]any `json:"timings"`
	}
	citation struct {
		Marker     int     `json:"marker"`
		PassageID  string  `json:"passage_id"`
		DocumentID string  `json:"document_id"`
		Version    string  `json:"version"`
		Title      string  `json:"title"`
		Source     *string `json:"source"`
		Page       *int    `json:"page"`
		Quote      string  `json:"quote"`
		CharStart  int     `json:"char_start"`
		CharEnd    int     `json:"char_end"`
		Supported  bool    `json:"supported"`
	}
	answer struct {
		ID             string                          `json:"id"`
		ConversationID string                          `json:"conversation_id"`
		Status         string                          `json:"status"`
		Answer         string                          `json:"answer"`
		Grounded       bool                            `json:"grounded"`
		Reason         *string                         `json:"reason"`
		Citations      []citation                      `json:"citations"`
		Sources        []passage                       `json:"sources"`
		SearchQuery    string                          `json:"search_query"`
		Model          string                          `json:"model"`
		Usage          map[string]int                  `json:"usage"`
		Timings        map[string]any                  `json:"timings"`
		Error          *struct{ Code, Message string } `json:"error"`
		CreatedAt      time.Time                       `json:"created_at"`
	}
	list[T any] struct {
		Data       []T     `json:"data"`
		NextCursor *string `json:"next_cursor"`
	}
)

func (d document) settled() bool {
	return d.Status == "indexed" || d.Status == "failed" || d.Status == "deleted"
}

// upload sends a text as the raw body of a plain text document.
func (a api) upload(id, text string, query ...string) {
	a.t.Helper()
	q := url.Values{"id": {id}, "filename": {id + ".txt"}}
	for i := 0; i+1 < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	r := a.do(http.MethodPost, "/v1/documents?"+q.Encode(), strings.NewReader(text), "Content-Type", "text/plain")
	if r.status != http.StatusOK {
		r.want(http.StatusAccepted)
		if at := r.header.Get("Location"); at != "/v1/documents/"+id {
			a.t.Errorf("the new document is said to be at %q", at)
		}
	}
	if d := decode[document](r); d.ID != id {
		a.t.Errorf("document %s became %q", id, d.ID)
	}
}

// settled waits until nothing more happens to a document by itself.
func (a api) settled(id string) document {
	a.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if d := decode[document](a.get("/v1/documents/" + id + "?wait=30s").want(http.StatusOK)); d.settled() {
			return d
		}
	}
	a.t.Fatalf("document %s is not settled after %s", id, patience)
	return document{}
}

// indexed uploads a text and waits until it can be found.
func (a api) indexed(id, text string, query ...string) document {
	a.t.Helper()
	a.upload(id, text, query...)
	d := a.settled(id)
	if d.Status != "indexed" || d.Error != nil || d.IndexedAt == nil || d.Progress.Chunks == 0 || d.Progress.Embedded != d.Progress.Chunks {
		a.t.Fatalf("document %s is not indexed: %+v %+v", id, d, d.Error)
	}
	return d
}

// all reads every page of a list.
func all[T any](a api, path string, limit int) []T {
	a.t.Helper()
	var out []T
	cursor := ""
	for {
		at, err := url.Parse(path)
		must(a.t, err)
		q := at.Query()
		q.Set("limit", strconv.Itoa(limit))
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		page := decode[list[T]](a.get(at.Path + "?" + q.Encode()).want(http.StatusOK))
		if len(page.Data) > limit || len(page.Data) == 0 && page.NextCursor != nil {
			a.t.Fatalf("a page of %s has %d entries of at most %d", path, len(page.Data), limit)
		}
		out = append(out, page.Data...)
		if page.NextCursor == nil {
			return out
		}
		cursor = *page.NextCursor
	}
}

func (a api) chunks(id string) []chunk {
	a.t.Helper()
	return all[chunk](a, "/v1/documents/"+id+"/chunks", 7)
}

func (a api) search(request map[string]any) found {
	a.t.Helper()
	return decode[found](a.do(http.MethodPost, "/v1/search", request).want(http.StatusOK))
}

func (a api) ask(request map[string]any, h ...string) answer {
	a.t.Helper()
	return decode[answer](a.do(http.MethodPost, "/v1/chat", request, h...).want(http.StatusOK))
}

// sent is one server-sent event.
type sent struct {
	ID   int
	Name string
	Data string
}

// events reads a stream until its end, or until it has limit events (0: all).
func (a api) events(method, path string, body any, limit int, h ...string) []sent {
	a.t.Helper()
	resp := a.open(method, path, body, h...)
	defer resp.Body.Close()
	return a.read(resp, limit)
}

// open begins to read a stream.
func (a api) open(method, path string, body any, h ...string) *http.Response {
	a.t.Helper()
	resp := a.request(method, path, body, append(header{"Accept", "text/event-stream"}, h...))
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		data, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		a.t.Fatalf("%s %s: status %d, %q: %.600s", method, path, resp.StatusCode, kind, data)
	}
	return resp
}

// read reads a stream until its end, or until it has limit events (0: all).
func (a api) read(resp *http.Response, limit int) []sent {
	a.t.Helper()
	var out []sent
	var e sent
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if e.Name != "" {
				out = append(out, e)
			}
			e = sent{}
			if limit > 0 && len(out) == limit {
				return out
			}
		case name == "id":
			n, err := strconv.Atoi(value)
			must(a.t, err)
			e.ID = n
		case name == "event":
			e.Name = value
		case name == "data":
			e.Data += value
		case name != "" && name != "retry":
			a.t.Errorf("a line of the stream is none of its format: %q", lines.Text())
		}
	}
	must(a.t, lines.Err())
	return out
}

func parse[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.600s", err, text)
	}
	return v
}

// eventually looks until ok, for what no request can wait for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-end.C:
			t.Fatalf("not after %s: %s", patience, what)
		case <-t.Context().Done():
			t.Fatalf("not before the test ended: %s", what)
		}
	}
}
