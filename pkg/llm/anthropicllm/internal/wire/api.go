// Package wire is Anthropic's Messages API as package anthropicllm uses it: one
// streaming request, and the few members of its events that are read.
package wire

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	// The root package must not be imported by what goes into a program: see
	// the documentation of package anthropicllm. Tests measure against it.
	"github.com/anthropics/anthropic-sdk-go/packages/ssestream"

	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
)

// version is the version of the API (platform.claude.com/docs/en/api/versioning).
const version = "2023-06-01"

// API is a server's messages. Make one with [NewAPI]; it is safe for
// concurrent use.
type API struct {
	client *http.Client
	url    string
	header http.Header
}

// NewAPI returns the API under a base URL, without /v1, without calling
// anybody. Calls go through the client, which must not follow redirects: they
// would carry the key elsewhere.
func NewAPI(base, key string, client *http.Client) (*API, error) {
	route, err := upstream.Route(base, "v1/messages")
	if err != nil {
		return nil, fmt.Errorf("anthropic: %w", err)
	}
	header := http.Header{}
	header.Set("X-Api-Key", key)
	header.Set("Anthropic-Version", version)
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
		return &Stream{err: err}
	}
	return &Stream{decoder: ssestream.NewDecoder(resp)}
}

// Stream is an answer as it comes. It must be closed, and is for one goroutine.
type Stream struct {
	decoder ssestream.Decoder
	current Event
	err     error
}

// Next reads the next event that has data, and reports whether there is one:
// not after the end nor after an error. Like the SDK it passes over pings and
// events without a name.
func (s *Stream) Next() bool {
	if s.err != nil {
		return false
	}
	for s.decoder.Next() {
		event := s.decoder.Event()
		switch event.Type {
		case "", "ping":
			continue
		case "error":
			s.err = &StreamError{Data: event.Data}
			return false
		}
		if len(bytes.TrimSuffix(event.Data, []byte("\n"))) == 0 {
			continue
		}
		s.current, s.err = parse(event.Data)
		return s.err == nil
	}
	s.err = s.decoder.Err()
	return false
}

// Current returns the event that Next read last.
func (s *Stream) Current() Event { return s.current }

// Err returns why there is no next event; nil at the end. It is a [*StreamError]
// when the server said so.
func (s *Stream) Err() error { return s.err }

// Close closes the connection if it is still open.
func (s *Stream) Close() error {
	if s.decoder == nil {
		return nil
	}
	if err := s.decoder.Close(); err != nil {
		return fmt.Errorf("close the stream: %w", err)
	}
	return nil
}

// StreamError is an error event: the server gives up in the middle of a stream.
type StreamError struct {
	// Data is what came with it, usually an error object.
	Data []byte
}

// Error implements error. It does not quote the data, which may hold anything.
func (*StreamError) Error() string { return "the server reports an error in the middle of its answer" }
