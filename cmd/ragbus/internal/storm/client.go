package storm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// client is a program of one tenant that talks to gateways and looks at every
// response for what it must not see.
type client struct {
	tenant int
	keys   keys
	http   *http.Client
	shape  shape
	docs   *library
	found  *findings

	canaries *regexp.Regexp
}

// insider returns a client of the same tenant that meets the acl of hidden
// documents; nil where nobody has a key.
func (c *client) insider() *client {
	if c.keys.insider == "" {
		return nil
	}
	other := *c
	other.keys.member = c.keys.insider
	return &other
}

// within bounds a request that is no stream.
const within = 20 * time.Second

func newClient(tenant int, k keys, s shape, docs *library, found *findings) *client {
	return &client{
		tenant: tenant, keys: k, shape: s, docs: docs, found: found, canaries: canaryPattern(),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: 5 * time.Second}},
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// response is one that was read whole; status 0 stands for none.
type response struct {
	status int
	body   []byte
	err    error
}

// refused reports whether the server certainly did not do what it was asked.
func (r response) refused() bool {
	return r.status >= http.StatusBadRequest && r.status < http.StatusInternalServerError
}

func (r response) ok() bool { return r.status >= 200 && r.status < 300 }

func (r response) String() string {
	if r.err != nil {
		return r.err.Error()
	}
	return fmt.Sprintf("%d %.300s", r.status, r.body)
}

func (r response) into(v any) error {
	if err := json.Unmarshal(r.body, v); err != nil {
		return fmt.Errorf("%w in %.300s", err, r.body)
	}
	return nil
}

// header is a request's, given as name, value, name, value…
type header []string

func (c *client) request(ctx context.Context, method, url string, body any, h header) (*http.Request, error) {
	var payload io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case []byte:
		payload = bytes.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			return nil, fmt.Errorf("encode a request: %w", err)
		}
		payload, kind = bytes.NewReader(data), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.keys.member != "" {
		req.Header.Set("Authorization", "Bearer "+c.keys.member)
	}
	for i := 0; i+1 < len(h); i += 2 {
		req.Header.Set(h[i], h[i+1])
	}
	return req, nil
}

// do asks one gateway, by its number, and looks at the response.
func (c *client) do(ctx context.Context, gateway int, method, path string, body any, h ...string) response {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	urls := c.shape.gateways()
	req, err := c.request(ctx, method, urls[gateway%len(urls)]+path, body, h)
	if err != nil {
		return response{err: err}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return response{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	// What came of a body that was cut is looked at, too.
	c.look(method+" "+path, data)
	if err != nil {
		return response{err: err}
	}
	c.sane(method+" "+path, resp.StatusCode, data)
	return response{status: resp.StatusCode, body: data}
}

// look is point 7: nobody sees a document of another tenant.
func (c *client) look(what string, body []byte) {
	c.found.count("responses looked at for what their asker must not see")
	for s := range sightings(c.canaries, body) {
		if s.tenant != c.tenant {
			c.found.violatef(7, nil, "%s of tenant %d shows document %d of tenant %d: %.600s", what, c.tenant, s.document, s.tenant, body)
		}
	}
}

// sane checks that a refusal is one as the API describes them.
func (c *client) sane(what string, status int, body []byte) {
	if status < http.StatusBadRequest {
		return
	}
	var p struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
		ID     string `json:"request_id"`
	}
	if json.Unmarshal(body, &p) != nil || p.Code == "" || p.Code == "internal" || p.Detail == "" {
		c.found.violatef(1, nil, "%s is answered %d without a reason: %.400s\n  the logs say: %s", what, status, body, strings.Join(c.logged(p.ID), "\n  "))
	}
	c.found.count(fmt.Sprintf("refused: %d %s", status, p.Code))
}

// logged returns what the logs say of a request just now, nothing of "".
func (c *client) logged(request string) []string {
	if request == "" {
		return nil
	}
	return c.shape.said(request)
}

// The objects of the API, as far as the storm reads them.
type (
	document struct {
		ID       string   `json:"id"`
		Title    string   `json:"title"`
		Version  string   `json:"version"`
		Status   string   `json:"status"`
		Progress progress `json:"progress"`
		Error    *failure `json:"error"`
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
		CharStart  int    `json:"char_start"`
		CharEnd    int    `json:"char_end"`
		Text       string `json:"text"`
	}
	answer struct {
		ID             string          `json:"id"`
		ConversationID string          `json:"conversation_id"`
		Status         string          `json:"status"`
		Answer         string          `json:"answer"`
		Grounded       bool            `json:"grounded"`
		Reason         *string         `json:"reason"`
		Citations      json.RawMessage `json:"citations"`
		Sources        json.RawMessage `json:"sources"`
		Model          string          `json:"model"`
		Error          *failure        `json:"error"`
		CreatedAt      time.Time       `json:"created_at"`
	}
	page[T any] struct {
		Data       []T     `json:"data"`
		NextCursor *string `json:"next_cursor"`
	}
)

// all reads every page of a list.
func all[T any](ctx context.Context, c *client, gateway int, path string) ([]T, error) {
	var out []T
	at := path
	for {
		r := c.do(ctx, gateway, http.MethodGet, at, nil)
		if !r.ok() {
			return nil, fmt.Errorf("GET %s: %s", at, r)
		}
		var p page[T]
		if err := r.into(&p); err != nil {
			return nil, err
		}
		out = append(out, p.Data...)
		if p.NextCursor == nil {
			return out, nil
		}
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		at = path + sep + "cursor=" + *p.NextCursor
	}
}

// pause waits, or reports that there is no time left.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
