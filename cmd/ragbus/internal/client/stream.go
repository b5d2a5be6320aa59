package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxEvent bounds one event of a stream.
const maxEvent = 8 << 20

// Event is one event of a chat's stream.
type Event struct {
	Name string
	Data json.RawMessage
}

// ErrCut is returned for a stream that ended without its last event.
var ErrCut = errors.New("the stream ended before the answer did")

// Chat asks a question and hands each event of the answer to each, until the
// answer is complete. It returns the complete answer, or the [*Problem] that
// ended it.
func (c *Client) Chat(ctx context.Context, request map[string]any, each func(Event) error) (Answer, error) {
	request["stream"] = true
	data, err := json.Marshal(request)
	if err != nil {
		return Answer{}, fmt.Errorf("encode the request: %w", err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}
	resp, err := c.send(ctx, http.MethodPost, "/v1/chat", nil, header, strings.NewReader(string(data)))
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	for e, err := range events(resp.Body) {
		if err != nil {
			return Answer{}, err
		}
		switch e.Name {
		case "done":
			var a Answer
			if err := json.Unmarshal(e.Data, &a); err != nil {
				return Answer{}, fmt.Errorf("decode the answer: %w", err)
			}
			return a, nil
		case "error":
			p := &Problem{}
			if err := json.Unmarshal(e.Data, p); err != nil {
				return Answer{}, fmt.Errorf("decode the problem: %w", err)
			}
			return Answer{}, p
		default:
			if err := each(e); err != nil {
				return Answer{}, err
			}
		}
	}
	return Answer{}, ErrCut
}

// events reads server-sent events; comments and unknown fields are skipped.
func events(r io.Reader) func(yield func(Event, error) bool) {
	return func(yield func(Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
		var name string
		var data []string
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case lines.Text() == "":
				if len(data) > 0 && !yield(Event{Name: name, Data: json.RawMessage(strings.Join(data, "\n"))}, nil) {
					return
				}
				name, data = "", nil
			case field == "event":
				name = value
			case field == "data":
				data = append(data, value)
			}
		}
		if err := lines.Err(); err != nil {
			yield(Event{}, fmt.Errorf("read the stream: %w", err))
		}
	}
}
