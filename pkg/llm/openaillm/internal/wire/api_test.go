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
	return &http.Response{StatusCode: c.status, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(c.body)), Request: r}, nil
}

func read(t *testing.T, c *carrier, base, key string, in Request) ([]Chunk, error) {
	t.Helper()
	api, err := NewAPI(base, key, &http.Client{Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	s := api.Stream(t.Context(), in)
	var chunks []Chunk
	for s.Next() {
		chunks = append(chunks, s.Current())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return chunks, s.Err()
}

func TestTheRouteIsBelowTheBaseURL(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"http://h":                              "http://h/chat/completions",
		"http://h/":                             "http://h/chat/completions",
		"http://h/v1":                           "http://h/v1/chat/completions",
		"http://h/v1/":                          "http://h/v1/chat/completions",
		"http://[::1]:8000/a/b/v1":              "http://[::1]:8000/a/b/v1/chat/completions",
		"http://h/a//v1":                        "http://h/a//v1/chat/completions",
		"http://h/a/../v1":                      "http://h/v1/chat/completions",
		"http://h/a%2Fb/v1":                     "http://h/a%2Fb/v1/chat/completions",
		"http://h/a%2F":                         "http://h/a%2F/chat/completions",
		"http://h/an answer":                    "http://h/an%20answer/chat/completions",
		"http://h/v1?":                          "http://h/v1/chat/completions",
		"https://api.openai.com/v1":             "https://api.openai.com/v1/chat/completions",
		"https://x.openai.azure.com/openai/v1/": "https://x.openai.azure.com/openai/v1/chat/completions",
	} {
		var c carrier
		if _, err := read(t, &c, base, "", Request{}); err == nil {
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
	if _, err := read(t, &c, "http://h", "sk-1", Request{
		Model: "m", Messages: []Message{{Role: "user", Content: "<a> & \xff"}}, MaxTokens: 5, MaxCompletionTokens: 6, Temperature: &none,
		ReasoningEffort: "low", Stop: []string{"END"}, StreamOptions: &StreamOptions{IncludeUsage: true},
	}); err != nil {
		t.Error(err)
	}
	const want = `{"model":"m","messages":[{"content":"<a> & \ufffd","role":"user"}],"max_tokens":5,"max_completion_tokens":6,"temperature":0,` +
		`"reasoning_effort":"low","stop":["END"],"stream_options":{"include_usage":true},"stream":true}` + "\n"
	if c.sent != want {
		t.Errorf("sent %s, want %s", c.sent, want)
	}
	if c.request.Method != http.MethodPost || c.request.ContentLength != int64(len(want)) || c.request.GetBody == nil {
		t.Errorf("%s of %d bytes; can be sent again: %t", c.request.Method, c.request.ContentLength, c.request.GetBody != nil)
	}
	if diff := cmp.Diff(http.Header{
		"Authorization": {"Bearer sk-1"}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "User-Agent": {"ragbus"},
	}, c.request.Header); diff != "" {
		t.Error(diff)
	}
	if _, err := read(t, &c, "http://h", "", Request{Model: "m", Messages: []Message{}}); err != nil {
		t.Error(err)
	}
	if want := `{"model":"m","messages":[],"stream":true}` + "\n"; c.sent != want || c.request.Header["Authorization"] != nil {
		t.Errorf("without a key sent %s with %v, want %s", c.sent, c.request.Header, want)
	}
}

func TestAStreamIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	const event = `data: {"choices":[{"delta":{"content":"x"}}]}` + "\n\n"
	for name, tt := range map[string]struct {
		status int
		body   string
		chunks int
		failed string
	}{
		"to the mark":               {200, event + event + "data: [DONE]\n\n" + event, 2, ""},
		"to the end of the body":    {200, ": ping\n\n" + event, 1, ""},
		"to what is not JSON":       {200, event + `data: {"choices":[{"delta":{"content":"hush` + "\n\n" + event, 1, "invalid character"},
		"to what is no object":      {200, event + `data: ["hush"]` + "\n\n" + event, 1, "not the object"},
		"a refusal is not read":     {400, event, 0, "status 400"},
		"a redirection is not read": {307, event, 0, "status 307"},
	} {
		chunks, err := read(t, &carrier{status: tt.status, body: tt.body}, "http://h", "", Request{})
		if len(chunks) != tt.chunks || (err != nil) != (tt.failed != "") {
			t.Errorf("%s: %d events, %v", name, len(chunks), err)
		}
		if err != nil && (!strings.Contains(err.Error(), tt.failed) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: error %q, want it to say %q", name, err, tt.failed)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	const events = 200
	c := carrier{status: http.StatusOK, body: strings.Repeat(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m",`+
		`"choices":[{"index":0,"delta":{"content":"some words "},"logprobs":null,"finish_reason":null}],"usage":null}`+"\n\n", events)}
	api, err := NewAPI("http://h", "", &http.Client{Transport: &c})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s, n := api.Stream(b.Context(), Request{}), 0
		for s.Next() {
			n++
		}
		if n != events {
			b.Fatalf("%d events, %v", n, s.Err())
		}
	}
	b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
}
