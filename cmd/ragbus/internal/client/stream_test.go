package client

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChatReadsAStreamToItsEnd(t *testing.T) {
	t.Parallel()
	const done = "id: 3\nevent: done\ndata: {\"id\":\"c1\",\ndata: \"answer\":\"Yes.\"}\n\n"
	for _, c := range []struct {
		name, stream string
		want         []string
		code         string
		err          error
	}{
		{"whole", ": \n\nid: 1\nevent: started\ndata: {}\n\n: beat\n\nid: 2\nevent: delta\ndata: {\"text\":\"Yes.\"}\n\n" + done, []string{"started", "delta"}, "", nil},
		{"a problem", "event: started\ndata: {}\n\nevent: error\ndata: {\"code\":\"deadline_exceeded\",\"status\":504}\n\n", []string{"started"}, "deadline_exceeded", nil},
		{"cut", "event: started\ndata: {}\n\nevent: delta\ndata: {\"te", []string{"started"}, "", ErrCut},
		{"empty", "", nil, "", ErrCut},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cl := server(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || !strings.Contains(string(body), `"stream":true`) {
					t.Errorf("asked with %s, %v", body, err)
				}
				_, _ = io.WriteString(w, c.stream)
			})
			var got []string
			answer, err := cl.Chat(t.Context(), map[string]any{"question": "?"}, func(e Event) error {
				got = append(got, e.Name)
				return nil
			})
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			var p *Problem
			switch {
			case c.code != "":
				if !errors.As(err, &p) || p.Code != c.code {
					t.Errorf("the error is %v", err)
				}
			case c.err != nil:
				if !errors.Is(err, c.err) {
					t.Errorf("the error is %v", err)
				}
			case err != nil || answer.ID != "c1" || answer.Answer != "Yes.":
				t.Errorf("%+v, %v", answer, err)
			}
		})
	}
}

func TestChatStopsWhenItsReaderDoes(t *testing.T) {
	t.Parallel()
	c := server(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "event: delta\ndata: {}\n\nevent: delta\ndata: {}\n\n")
	})
	enough := errors.New("enough")
	calls := 0
	_, err := c.Chat(t.Context(), map[string]any{}, func(Event) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// FuzzEvents: whatever comes, reading ends; and what was written comes back.
func FuzzEvents(f *testing.F) {
	f.Add("event: delta\ndata: {}\n\n", "delta", `{"text":"a"}`)
	f.Add(":\n\n\r\n\r\nid:1\n", "", "")
	f.Add("data\nid:\ndata: \n\n", "x y", "\"\\n\"")
	f.Fuzz(func(t *testing.T, stream, name, data string) {
		for e, err := range events(strings.NewReader(stream)) {
			if err == nil && e.Data == nil {
				t.Errorf("%q: an event without data", stream)
			}
		}
		if strings.ContainsAny(name, "\r\n") {
			return
		}
		text, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for e, err := range events(strings.NewReader("id: 1\nevent: " + name + "\ndata: " + string(text) + "\n\n")) {
			n++
			if err != nil || e.Name != name || string(e.Data) != string(text) {
				t.Errorf("%q and %s came back as %q and %s, %v", name, text, e.Name, e.Data, err)
			}
		}
		if n != 1 {
			t.Errorf("one event came back as %d", n)
		}
	})
}
