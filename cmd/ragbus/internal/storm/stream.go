package storm

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// replayed is where the ids begin of an answer that is told from the record.
const replayed = 1_000_000

// sent is one server-sent event.
type sent struct {
	id   int
	name string
	data string
}

// tape is a stream as its reader has it, over any number of connections.
type tape struct {
	events []sent
	// chat is the id that the first event told, done the object that ended it,
	// and problem the code of the error that did, request its id.
	chat    string
	done    *answer
	problem string
	request string
	ended   bool
	breaks  int
	// wrong is the first thing that no stream may do.
	wrong string
}

func (t *tape) last() int {
	if len(t.events) == 0 {
		return 0
	}
	return t.events[len(t.events)-1].id
}

func (t *tape) faultf(format string, args ...any) {
	if t.wrong == "" {
		t.wrong = fmt.Sprintf(format, args...)
	}
}

// take adds an event and checks that it may follow.
func (t *tape) take(e sent) {
	if t.ended {
		t.faultf("%s %d came after the end", e.name, e.id)
	}
	told := t.last() < replayed && e.id > replayed && e.id <= replayed+3 // the rest from the record, from its start, its sources or its text on
	if e.id != t.last()+1 && !told {
		t.faultf("event %d (%s) came after event %d, over %d connections", e.id, e.name, t.last(), t.breaks+1)
	}
	if (e.name == "started") != (e.id == 1) {
		t.faultf("%s is event %d", e.name, e.id)
	}
	t.events = append(t.events, e)
	switch e.name {
	case "started":
		var begun struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(e.data), &begun); err != nil || begun.ID == "" {
			t.faultf("the stream began with %s", e.data)
		}
		t.chat = begun.ID
	case "done":
		t.ended = true
		var a answer
		if err := json.Unmarshal([]byte(e.data), &a); err != nil {
			t.faultf("the stream ended with %s: %v", e.data, err)
		}
		t.done = &a
		t.checkEnd(a)
	case "error":
		t.ended = true
		var p struct {
			Code string `json:"code"`
			ID   string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(e.data), &p); err != nil || p.Code == "" || p.Code == "internal" {
			t.faultf("the stream ended with %s", e.data)
		}
		t.problem, t.request = p.Code, p.ID
	}
}

// checkEnd checks that the pieces since the last restart make the answer.
func (t *tape) checkEnd(a answer) {
	var text strings.Builder
	for _, e := range t.events {
		switch e.name {
		case "restart":
			text.Reset()
		case "delta":
			var d struct {
				Text string `json:"text"`
			}
			if err := json.Unmarshal([]byte(e.data), &d); err != nil {
				t.faultf("a delta is %s", e.data)
			}
			text.WriteString(d.Text)
		}
	}
	if a.Status == "completed" && text.String() != a.Answer {
		t.faultf("the pieces make %q, the answer is %q", text.String(), a.Answer)
	}
	if a.ID != t.chat {
		t.faultf("the stream of %s ended with %s", t.chat, a.ID)
	}
}

func (t *tape) String() string {
	var b strings.Builder
	for _, e := range t.events {
		fmt.Fprintf(&b, "%d:%s ", e.id, e.name)
	}
	return b.String()
}

// read adds the events of one connection until it ends, or until it has more than upTo events (0: no bound).
func (t *tape) read(body io.Reader, upTo int, look func([]byte)) {
	var e sent
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if e.name != "" {
				look([]byte(e.data))
				t.take(e)
			}
			e = sent{}
			if upTo > 0 && len(t.events) >= upTo || t.ended {
				return
			}
		case name == "id":
			n, err := strconv.Atoi(value)
			if err != nil {
				t.faultf("an event has the id %q", value)
			}
			e.id = n
		case name == "event":
			e.name = value
		case name == "data":
			e.data += value
		}
	}
}

// connect opens one connection and reads it. It returns the response's
// status, 0 when there was none.
func (c *client) connect(ctx context.Context, t *tape, gateway, upTo int, method, path string, body any, h header) response {
	urls := c.shape.gateways()
	req, err := c.request(ctx, method, urls[gateway%len(urls)]+path, body, append(h, "Accept", "text/event-stream"))
	if err != nil {
		return response{err: err}
	}
	watched, stop := context.WithCancel(ctx)
	defer stop()
	silence := time.AfterFunc(maxSilence, stop)
	defer silence.Stop()
	resp, err := c.http.Do(req.WithContext(watched))
	if err != nil {
		return response{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	what := method + " " + path
	if resp.StatusCode != http.StatusOK {
		data, err := io.ReadAll(resp.Body)
		c.look(what, data)
		if err != nil {
			return response{err: err}
		}
		c.sane(what, resp.StatusCode, data)
		return response{status: resp.StatusCode, body: data}
	}
	t.read(alive{resp.Body, silence}, upTo, func(data []byte) { c.look(what, data) })
	return response{status: resp.StatusCode}
}

// maxSilence is after how long a stream without a sign of life is broken off: it should have one every second.
const maxSilence = 6 * time.Second

// alive postpones the end of a stream with each sign of life.
type alive struct {
	io.Reader

	silence *time.Timer
}

func (a alive) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.silence.Reset(maxSilence)
	}
	return n, err
}
