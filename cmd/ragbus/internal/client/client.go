// Package client speaks the public HTTP API, for the command line. It uses
// nothing that another program could not use too.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// answerTimeout bounds the wait for a response's first byte: the longest
// wait that the API offers, and some.
const answerTimeout = 75 * time.Second

// maxResponse bounds a response that is not a stream.
const maxResponse = 64 << 20

// Client calls one server. It is safe for concurrent use.
type Client struct {
	base *url.URL
	http *http.Client
	// bearer is sent with every request; "" is none.
	bearer string
}

// New returns a client of the server at base, such as http://127.0.0.1:8080.
func New(base string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the address of a server; use http://host:port", base)
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: answerTimeout, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second,
	}
	return &Client{base: u, http: &http.Client{Transport: transport}}, nil
}

// Authorize has the client send an API key or a token from now on, none for
// "". It is not to be called while requests are made.
func (c *Client) Authorize(bearer string) { c.bearer = bearer }

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Problem is an error that the server explained (RFC 9457).
type Problem struct { //nolint:errname // RFC 9457 calls it so
	Title      string       `json:"title"`
	Status     int          `json:"status"`
	Detail     string       `json:"detail"`
	Code       string       `json:"code"`
	RequestID  string       `json:"request_id"`
	Errors     []FieldError `json:"errors"`
	RetryAfter float64      `json:"retry_after_s"`
}

// Unwell is the answer of a server that says which of its parts are not well.
type Unwell struct{ Health Health } //nolint:errname // a state more than an error

// Error returns one line for people.
func (u *Unwell) Error() string { return "the server is " + u.Health.Status }

// FieldError blames one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error returns one line for people.
func (p *Problem) Error() string {
	return fmt.Sprintf("%s (%s, status %d, request %s)", p.Reason(), p.Code, p.Status, p.RequestID)
}

// Reason returns what happened, in words and without code, status and request.
func (p *Problem) Reason() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// Do sends body as JSON (nil for none) and decodes the response into out
// (nil to drop it). A status of 400 and above is a [*Problem].
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body, out any) error {
	var payload io.Reader
	header := http.Header{"Accept": {"application/json"}}
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		payload = bytes.NewReader(data)
		header.Set("Content-Type", "application/json")
	}
	resp, err := c.send(ctx, method, path, query, header, payload)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return decode(resp, out)
}

// Text returns a response's body as it is.
func (c *Client) Text(ctx context.Context, path string) (string, error) {
	resp, err := c.send(ctx, http.MethodGet, path, nil, http.Header{}, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return "", fmt.Errorf("read the response: %w", err)
	}
	return string(data), nil
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (*http.Response, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", err)
	}
	req.Header = header
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, ctx.Err())
		}
		return nil, fmt.Errorf("no answer from %s (is `ragbus serve` running there?): %w", c.base.Host, err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	p := &Problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode), Code: "http_error"}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	unwell := &Unwell{}
	if path == "/health" && err == nil && json.Unmarshal(data, &unwell.Health) == nil && unwell.Health.Services != nil {
		return nil, unwell
	}
	if err == nil && strings.Contains(resp.Header.Get("Content-Type"), "json") {
		err = json.Unmarshal(data, p)
	}
	if err != nil {
		return nil, errors.Join(p, fmt.Errorf("read the problem: %w", err))
	}
	return nil, p
}

func decode(resp *http.Response, out any) error {
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxResponse)).Decode(out); err != nil {
		return fmt.Errorf("decode the response: %w", err)
	}
	return nil
}

// File is a document to upload.
type File struct {
	Name   string
	Open   func() (io.ReadCloser, error)
	Fields map[string]string
}

// Upload streams a file as multipart and returns the document as JSON would
// describe it. New says that the server began to work on it.
func (c *Client) Upload(ctx context.Context, f File) (doc Document, isNew bool, err error) {
	content, err := f.Open()
	if err != nil {
		return Document{}, false, fmt.Errorf("open %s: %w", f.Name, err)
	}
	defer func() { _ = content.Close() }()
	pr, pw := io.Pipe()
	form := multipart.NewWriter(pw)
	written := make(chan struct{})
	go func() {
		defer close(written)
		pw.CloseWithError(write(form, f, content))
	}()
	defer func() {
		_ = pr.Close()
		<-written
	}()
	header := http.Header{"Content-Type": {form.FormDataContentType()}, "Accept": {"application/json"}}
	resp, err := c.send(ctx, http.MethodPost, "/v1/documents", nil, header, pr)
	if err != nil {
		return Document{}, false, err
	}
	defer func() { _ = resp.Body.Close() }()
	err = decode(resp, &doc)
	return doc, resp.StatusCode == http.StatusAccepted, err
}

// write sends the fields before the file, so that the server can refuse them early.
func write(form *multipart.Writer, f File, content io.Reader) error {
	for name, value := range f.Fields {
		if err := form.WriteField(name, value); err != nil {
			return err //nolint:wrapcheck // comes back through the pipe
		}
	}
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", mime.FormatMediaType("form-data", map[string]string{"name": "file", "filename": filepath.Base(f.Name)}))
	if t := mime.TypeByExtension(filepath.Ext(f.Name)); t != "" {
		header.Set("Content-Type", t)
	}
	part, err := form.CreatePart(header)
	if err != nil {
		return err //nolint:wrapcheck // comes back through the pipe
	}
	if _, err := io.Copy(part, content); err != nil {
		return err //nolint:wrapcheck // comes back through the pipe
	}
	return form.Close() //nolint:wrapcheck // comes back through the pipe
}
