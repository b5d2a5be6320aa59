package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// sseEvent is one event as a client sees it.
type sseEvent struct {
	id   int
	name string
	data string
}

func (e sseEvent) String() string { return fmt.Sprintf("%d %s %s", e.id, e.name, e.data) }

// sseReader reads a stream of events.
type sseReader struct {
	t        testing.TB
	resp     *http.Response
	lines    *bufio.Reader
	cancel   context.CancelFunc
	comments int
	retry    string
}

// open starts reading a stream; the answer must be one.
func (g *server) open(method, path, body string, h header) *sseReader {
	g.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, strings.NewReader(body))
	must(g.t, err)
	req.Header.Set("Content-Type", "application/json")
	for k, v := range h {
		req.Header.Set(k, v)
	}
	resp, err := g.http.Do(req)
	must(g.t, err)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != mimeEventStream ||
		resp.Header.Get("X-Accel-Buffering") != "no" || resp.Header.Get("Cache-Control") != "no-cache" {
		data, _ := io.ReadAll(resp.Body)
		g.t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, data)
	}
	r := &sseReader{t: g.t, resp: resp, lines: bufio.NewReader(resp.Body), cancel: cancel}
	g.t.Cleanup(r.close)
	return r
}

func (g *server) askStreaming(h header) *sseReader {
	g.t.Helper()
	return g.open(http.MethodPost, "/v1/chat", `{"question":"Why?","stream":true}`, h)
}

func (g *server) reopen(chat string, last int) *sseReader {
	g.t.Helper()
	h := header{}
	if last > 0 {
		h["Last-Event-ID"] = strconv.Itoa(last)
	}
	return g.open(http.MethodGet, "/v1/chat/"+chat+"/stream", "", h)
}

func (r *sseReader) close() {
	r.cancel()
	_ = r.resp.Body.Close()
}

// next returns the next event; ok is false at the end of the stream.
func (r *sseReader) next() (e sseEvent, ok bool) {
	r.t.Helper()
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return e, false
		}
		line = strings.TrimSuffix(line, "\n")
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && e.name != "":
			return e, true
		case line == "":
		case strings.HasPrefix(line, ":"):
			r.comments++
		case key == "id":
			e.id, err = strconv.Atoi(value)
			must(r.t, err)
		case key == "event":
			e.name = value
		case key == "data":
			e.data = value
		case key == "retry":
			r.retry = value
		default:
			r.t.Fatalf("line %q", line)
		}
	}
}

func (r *sseReader) want(name string) sseEvent {
	r.t.Helper()
	e, ok := r.next()
	if !ok || e.name != name {
		r.t.Fatalf("event %s (%v), want %s", e, ok, name)
	}
	return e
}

func (r *sseReader) rest() []sseEvent {
	r.t.Helper()
	var all []sseEvent
	for {
		e, ok := r.next()
		if !ok {
			return all
		}
		all = append(all, e)
	}
}

func names(events []sseEvent) string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.name
	}
	return strings.Join(out, ",")
}

// text returns what a reader holds after the events: deltas since the last restart.
func text(t testing.TB, events []sseEvent) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		switch e.name {
		case "restart":
			b.Reset()
		case "delta":
			var d delta
			must(t, json.Unmarshal([]byte(e.data), &d))
			b.WriteString(d.Text)
		}
	}
	return b.String()
}

func countUp(t testing.TB, events []sseEvent) {
	t.Helper()
	for i, e := range events {
		if e.id != 1+i {
			t.Fatalf("event %d has id %d in %v", 1+i, e.id, events)
		}
	}
}

func startedID(t testing.TB, e sseEvent) string {
	t.Helper()
	var s started
	must(t, json.Unmarshal([]byte(e.data), &s))
	return s.ID
}
