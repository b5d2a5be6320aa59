package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	// The root package must not be imported, here or anywhere: see the
	// documentation of package openaillm.
	"github.com/openai/openai-go/v3/packages/ssestream"
)

// Stream is an answer as it comes. It must be closed.
type Stream = ssestream.Stream[Chunk]

// API is a server's chat completions. Make one with [NewAPI]; it is safe for
// concurrent use.
type API struct {
	client *http.Client
	url    string
	key    string
}

// NewAPI returns the API under a base URL without calling anybody. Calls go
// through the client, which must not follow redirects: they would carry the
// key elsewhere. An empty key is not sent.
func NewAPI(base, key string, client *http.Client) (*API, error) {
	route, err := join(base, "chat/completions")
	if err != nil {
		return nil, err
	}
	return &API{client: client, url: route, key: key}, nil
}

// join returns a route below the base URL, which may end in a slash. Its error
// does not quote the URL, which may hold a secret.
func join(base, route string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", errors.New("the OpenAI base URL is no URL")
	}
	if !strings.HasSuffix(u.EscapedPath(), "/") {
		// Not JoinPath, which takes out slashes that are doubled.
		u.Path += "/"
		if u.RawPath != "" {
			u.RawPath += "/"
		}
	}
	return u.ResolveReference(&url.URL{Path: route}).String(), nil
}

// Stream asks for an answer, once. Whatever fails, at once or later, is the
// stream's error; the end of the context closes the connection. It has read
// no event when it returns.
func (a *API) Stream(ctx context.Context, in Request) *Stream {
	resp, err := a.post(ctx, in) //nolint:bodyclose // closing the stream closes it
	if err != nil {
		return ssestream.NewStream[Chunk](nil, err)
	}
	return ssestream.NewStream[Chunk](ssestream.NewDecoder(resp), nil)
}

func (a *API) post(ctx context.Context, in Request) (*http.Response, error) {
	body, err := encode(in)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	if a.key != "" {
		r.Header.Set("Authorization", "Bearer "+a.key)
	}
	r.Header.Set("Content-Type", "application/json")
	// Errors come as JSON, and so do answers where only that is known as a format.
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("User-Agent", "ragbus")
	resp, err := a.client.Do(r)
	if err != nil {
		return nil, err // says whom it called
	}
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusMultipleChoices {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the server refused with status %d", resp.StatusCode)
	}
	return resp, nil
}

// encode writes the request with "stream" set, and with < and > as they are:
// escaped they would cost sources of markup a third of their size.
func encode(in Request) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		Request

		Stream bool `json:"stream"`
	}{in, true})
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	return out.Bytes(), nil
}
