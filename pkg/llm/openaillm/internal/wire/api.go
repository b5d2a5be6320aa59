package wire

import (
	"context"
	"fmt"
	"net/http"

	// The root package must not be imported, here or anywhere: see the
	// documentation of package openaillm.
	"github.com/openai/openai-go/v3/packages/ssestream"

	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
)

// Stream is an answer as it comes. It must be closed.
type Stream = ssestream.Stream[Chunk]

// API is a server's chat completions. Make one with [NewAPI]; it is safe for
// concurrent use.
type API struct {
	client *http.Client
	url    string
	header http.Header
}

// NewAPI returns the API under a base URL without calling anybody. Calls go
// through the client, which must not follow redirects: they would carry the
// key elsewhere. An empty key is not sent.
func NewAPI(base, key string, client *http.Client) (*API, error) {
	route, err := upstream.Route(base, "chat/completions")
	if err != nil {
		return nil, fmt.Errorf("openai: %w", err)
	}
	header := http.Header{}
	if key != "" {
		header.Set("Authorization", "Bearer "+key)
	}
	return &API{client: client, url: route, header: header}, nil
}

// Stream asks for an answer, once. Whatever fails, at once or later, is the
// stream's error; the end of the context closes the connection. It has read
// no event when it returns.
func (a *API) Stream(ctx context.Context, in Request) *Stream {
	resp, err := upstream.Post(ctx, a.client, a.url, a.header, struct { //nolint:bodyclose // closing the stream closes it
		Request

		Stream bool `json:"stream"`
	}{in, true})
	if err != nil {
		return ssestream.NewStream[Chunk](nil, err)
	}
	return ssestream.NewStream[Chunk](ssestream.NewDecoder(resp), nil)
}
