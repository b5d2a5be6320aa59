package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Route returns a route below an API's base URL, which may end in a slash. Its
// error does not quote the URL, which may hold a secret.
func Route(base, route string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", errors.New("the base URL is no URL")
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

// Post sends a request as JSON, once, and returns the answer to it, whose body
// must be closed. An answer without success is an error. The header holds what
// only this API wants; the rest is added. The client must not follow
// redirects: they would carry a key elsewhere.
func Post(ctx context.Context, client *http.Client, route string, header http.Header, in any) (*http.Response, error) {
	body, err := encode(in)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, route, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	// Errors come as JSON, and so do answers where only that is known as a format.
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("User-Agent", "ragbus")
	resp, err := client.Do(r)
	if err != nil {
		return nil, err //nolint:wrapcheck // says whom it called
	}
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusMultipleChoices {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the server refused with status %d", resp.StatusCode)
	}
	return resp, nil
}

// encode leaves < and > as they are: escaped they would cost sources of markup
// a third of their size.
func encode(in any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(in); err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	return out.Bytes(), nil
}

// Count is a number of tokens, as an answer tells it.
type Count int

// maxCount is more than any answer has, and fits into an int everywhere.
const maxCount = math.MaxInt32

// UnmarshalJSON reads a number, which may have a fraction or be written as a
// string. What is no number of tokens is zero. It never fails.
func (c *Count) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseFloat(strings.Trim(string(data), `"`), 64)
	*c = 0
	if err == nil && n > 0 && n <= maxCount {
		*c = Count(n)
	}
	return nil
}
