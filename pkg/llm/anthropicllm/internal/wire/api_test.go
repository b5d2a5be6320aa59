package wire

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// carrier answers every request and keeps the last.
type carrier struct {
	status int
	body   string

	request *http.Request
	sent    string
	closed  bool
}

func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.request, c.sent = r, string(raw)
	if c.status == 0 {
		return nil, errors.New("nobody is there")
	}
	return &http.Response{StatusCode: c.status, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: &body{strings.NewReader(c.body), c}, Request: r}, nil
}

type body struct {
	io.Reader

	of *carrier
}

func (b *body) Close() error {
	b.of.closed = true
	return nil
}

func read(t *testing.T, c *carrier, base string, in Request) ([]Event, error) {
	t.Helper()
	api, err := NewAPI(base, "sk-ant-1", &http.Client{Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	s := api.Stream(t.Context(), in)
	var events []Event
	for s.Next() {
		events = append(events, s.Current())
	}
	err = s.Err()
	if s.Next() || !errors.Is(s.Err(), err) {
		t.Errorf("went on after its end: %+v, %v", s.Current(), s.Err())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if c.status != 0 && !c.closed {
		t.Error("the body is left open")
	}
	return events, err
}

func TestTheRouteIsBelowTheBaseURL(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://api.anthropic.com":    "https://api.anthropic.com/v1/messages",
		"https://api.anthropic.com/":   "https://api.anthropic.com/v1/messages",
		"http://[::1]:8000/proxy/a%2F": "http://[::1]:8000/proxy/a%2F/v1/messages",
	} {
		var c carrier
		if _, err := read(t, &c, base, Request{}); err == nil {
			t.Errorf("%s: want the failure of the call", base)
		}
		if got := c.request.URL.String(); got != want {
			t.Errorf("%s became %s, want %s", base, got, want)
		}
	}
	if _, err := NewAPI("http://user:hush@h:port/", "", nil); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("error %v", err)
	}
}

func TestHeadersAndBody(t *testing.T) {
	t.Parallel()
	c := carrier{status: http.StatusOK}
	none := 0.0
	if _, err := read(t, &c, "http://h", Request{
		Model: "m", MaxTokens: 5, System: Text("be <brief>"), Messages: []Message{{Role: User, Content: Text("<a> & \xff")}},
		Temperature: &none, StopSequences: []string{"END"}, OutputConfig: &OutputConfig{Effort: "low"},
	}); err != nil {
		t.Error(err)
	}
	const want = `{"model":"m","max_tokens":5,"system":[{"type":"text","text":"be <brief>"}],"messages":[{"role":"user","content":[{"type":"text","text":"<a> & \ufffd"}]}],` +
		`"temperature":0,"stop_sequences":["END"],"output_config":{"effort":"low"},"stream":true}` + "\n"
	if c.sent != want {
		t.Errorf("sent %s, want %s", c.sent, want)
	}
	if c.request.Method != http.MethodPost || c.request.ContentLength != int64(len(want)) || c.request.GetBody == nil {
		t.Errorf("%s of %d bytes; can be sent again: %t", c.request.Method, c.request.ContentLength, c.request.GetBody != nil)
	}
	if diff := cmp.Diff(http.Header{
		"X-Api-Key": {"sk-ant-1"}, "Anthropic-Version": {"2023-06-01"}, "Content-Type": {"application/json"},
		"Accept": {"application/json, text/event-stream"}, "User-Agent": {"ragbus"},
	}, c.request.Header); diff != "" {
		t.Error(diff)
	}
	if _, err := read(t, &c, "http://h", Request{Model: "m", MaxTokens: 1, Messages: []Message{}}); err != nil {
		t.Error(err)
	}
	if want := `{"model":"m","max_tokens":1,"messages":[],"stream":true}` + "\n"; c.sent != want {
		t.Errorf("of the least sent %s, want %s", c.sent, want)
	}
}

func TestAStreamIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	const event = "event: content_block_delta\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}` + "\n\n"
	for name, tt := range map[string]struct {
		status int
		body   string
		events int
		failed string
	}{
		"to the end of the body":            {200, event + event, 2, ""},
		"past pings and comments":           {200, ": hello\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n" + event, 1, ""},
		"past an event without a name":      {200, "data: [DONE]\n\n" + event, 1, ""},
		"past an event without data":        {200, "event: message_stop\n\nevent: message_stop\ndata:\n\n" + event, 1, ""},
		"with any line ends":                {200, strings.ReplaceAll(event, "\n", "\r\n"), 1, ""},
		"an event of several lines":         {200, strings.Replace(event, `"index"`, "\ndata: \"index\"", 1), 1, ""},
		"not to an event that is cut":       {200, event + strings.TrimSpace(event), 1, ""},
		"to what is not JSON":               {200, event + strings.Replace(event, `"x"}}`, `"hush`, 1) + event, 1, "unexpected end"},
		"to what is no object":              {200, event + "event: message_stop\n" + `data: ["hush"]` + "\n\n" + event, 1, "not the object"},
		"to an error":                       {200, event + "event: error\n" + `data: {"error":{"message":"hush"}}` + "\n\n" + event, 1, "reports an error"},
		"to a line longer than any":         {200, event + "data: " + strings.Repeat("x", 33<<20) + "\n\n", 1, "too long"},
		"a refusal is not read":             {400, event, 0, "status 400"},
		"a redirection is not read":         {307, event, 0, "status 307"},
		"an answer of another kind is none": {204, "", 0, ""},
	} {
		events, err := read(t, &carrier{status: tt.status, body: tt.body}, "http://h", Request{})
		if len(events) != tt.events || (err != nil) != (tt.failed != "") {
			t.Errorf("%s: %d events, %v", name, len(events), err)
		}
		for _, e := range events {
			if e.Type != ContentBlockDelta || e.Delta.Type != TextDelta || e.Delta.Text != "x" {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if err != nil && (!strings.Contains(err.Error(), tt.failed) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: error %q, want it to say %q", name, err, tt.failed)
		}
	}
}

func TestAFailureKeepsWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	_, err := read(t, &carrier{status: http.StatusOK, body: "event: error\ndata: {\"a\":\ndata: 1}\n\n"}, "http://h", Request{})
	failed, ok := errors.AsType[*StreamError](err)
	if !ok || string(failed.Data) != "{\"a\":\n1}\n" {
		t.Errorf("%v, %+v", err, failed)
	}
}
