package storm

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const end = `{"id":"c","status":"completed","answer":"one two"}`

// A stream that is wrong must be seen to be: the storm is worth as much as this.
func TestTape(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream string
		wrong  string
	}{
		"right":            {"1 started {\"id\":\"c\"}|2 sources {}|3 delta {\"text\":\"one \"}|4 delta {\"text\":\"two\"}|5 done " + end, ""},
		"begun anew":       {"1 started {\"id\":\"c\"}|2 delta {\"text\":\"no\"}|3 restart {}|4 delta {\"text\":\"one two\"}|5 done " + end, ""},
		"an error":         {"1 started {\"id\":\"c\"}|2 error {\"code\":\"model_unavailable\"}", ""},
		"a gap":            {"1 started {\"id\":\"c\"}|3 delta {\"text\":\"one two\"}", "event 3 (delta) came after event 1"},
		"one twice":        {"1 started {\"id\":\"c\"}|2 delta {\"text\":\"one \"}|2 delta {\"text\":\"one \"}", "event 2 (delta) came after event 2"},
		"no beginning":     {"1 sources {}", "sources is event 1"},
		"from the record":  {"1 started {\"id\":\"c\"}|1000002 sources {}|1000003 delta {\"text\":\"one two\"}|1000004 done " + end, ""},
		"anew from it":     {"1 started {\"id\":\"c\"}|2 delta {\"text\":\"no\"}|1000001 restart {}|1000002 delta {\"text\":\"one two\"}|1000003 done " + end, ""},
		"a gap in it":      {"1 started {\"id\":\"c\"}|1000005 done " + end, "event 1000005 (done) came after event 1"},
		"another text":     {"1 started {\"id\":\"c\"}|2 delta {\"text\":\"one\"}|3 done " + end, "the pieces make"},
		"another chat":     {"1 started {\"id\":\"d\"}|2 delta {\"text\":\"one two\"}|3 done " + end, "ended with c"},
		"not taken back":   {"1 started {\"id\":\"c\"}|2 delta {\"text\":\"no\"}|3 delta {\"text\":\"one two\"}|4 done " + end, "the pieces make"},
		"an unnamed error": {"1 started {\"id\":\"c\"}|2 error {\"code\":\"internal\"}", "the stream ended with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			for e := range strings.SplitSeq(c.stream, "|") {
				parts := strings.SplitN(e, " ", 3)
				text.WriteString(": \n\nid: " + parts[0] + "\nevent: " + parts[1] + "\ndata: " + parts[2] + "\n\n")
			}
			var tp tape
			tp.read(strings.NewReader(text.String()), 0, func([]byte) {})
			if c.wrong == "" && (tp.wrong != "" || !tp.ended) || !strings.Contains(tp.wrong, c.wrong) {
				t.Errorf("wrong is %q, want %q; ended %t", tp.wrong, c.wrong, tp.ended)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	const text = "first part. second part."
	whole := []chunk{{Ordinal: 0, Version: "v", CharStart: 0, CharEnd: 11, Text: "first part."}, {Ordinal: 1, Version: "v", CharStart: 12, CharEnd: 24, Text: "second part."}}
	if why := covers(text, "v", whole); why != "" {
		t.Errorf("the whole text: %s", why)
	}
	for name, c := range map[string][]chunk{
		"the end is missing":       whole[:1],
		"the beginning is missing": {{Ordinal: 0, Version: "v", CharStart: 12, CharEnd: 24, Text: "second part."}},
		"one twice":                {whole[0], whole[0], whole[1]},
		"another version":          {whole[0], {Ordinal: 1, Version: "w", CharStart: 12, CharEnd: 24, Text: "second part."}},
		"another text":             {whole[0], {Ordinal: 1, Version: "v", CharStart: 12, CharEnd: 24, Text: "second p4rt."}},
	} {
		if covers(text, "v", c) == "" {
			t.Errorf("%s: not seen", name)
		}
	}
}

func TestWhatAPaperMayBe(t *testing.T) {
	t.Parallel()
	p := &paper{accepted: true, text: "new", maybe: []content{{text: "perhaps"}, {deleted: true}}}
	if got := p.allowed(); len(got) != 3 || got[2].text != "new" {
		t.Errorf("it may be %+v", got)
	}
	if p = (&paper{maybe: []content{{text: "perhaps"}}}); len(p.allowed()) != 1 {
		t.Errorf("never accepted, it may be %+v", p.allowed())
	}
	p = &paper{accepted: true, removed: time.Now()}
	if at, why := p.unseenSince(); at.IsZero() || why != "deleted" {
		t.Errorf("unseen since %s: %s", at, why)
	}
}

func TestCanariesAreFound(t *testing.T) {
	t.Parallel()
	got := sightings(canaryPattern(), []byte(`{"text":"the `+canary(2, 17)+` baker","title":"`+canary(0, 3)+`"}`))
	if len(got) != 2 || !got[sighting{2, 17}] || !got[sighting{0, 3}] {
		t.Errorf("found %v", got)
	}
	first, again := story("w", 3, 1), story("w", 3, 1)
	if first != again || first == story("w", 3, 2) {
		t.Error("a version's text is not its own, or not always the same")
	}
}

func TestDifference(t *testing.T) {
	t.Parallel()
	a := answer{ID: "c", Status: "completed", Answer: "one", Sources: []byte(`[]`), Citations: []byte(`[]`)}
	b := a
	if d := difference(a, b); d != "" {
		t.Error(d)
	}
	b.Sources = []byte(`[{"id":"p"}]`)
	if d := difference(a, b); !strings.HasPrefix(d, "sources: ") {
		t.Errorf("the difference is %q", d)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	j := newJournal()
	w := j.open(fault{kind: "SIGKILL generator", target: "generator 1", hits: []string{"generator"}})
	from := time.Now()
	j.close(w)
	if n := len(j.between(from.Add(-time.Minute), from.Add(time.Minute), "generator")); n != 1 {
		t.Errorf("%d faults hit the generator, want 1", n)
	}
	if n := len(j.between(from.Add(-time.Minute), from.Add(time.Minute), "retriever")); n != 0 {
		t.Errorf("%d faults hit the retriever, want 0", n)
	}
	if n := len(j.between(from.Add(time.Minute), from.Add(time.Hour))); n != 0 {
		t.Errorf("%d faults come later, want 0", n)
	}
	j.still("the machine stood still", from, from.Add(standstill-time.Millisecond))
	if n := j.counted()["the machine stood still"]; n != 0 {
		t.Errorf("a pause of less than %s is a fault", standstill)
	}
	j.still("the machine stood still", from, from.Add(standstill))
	if n := len(j.between(from.Add(standstill/2), from.Add(time.Minute), hitEverything)); n != 1 {
		t.Errorf("%d faults hit everything while the machine stood still, want 1", n)
	}
}

// echo answers what it is sent, until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestProxy(t *testing.T) {
	t.Parallel()
	p, err := newProxy(t.Context(), "p", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	say := func(within time.Duration) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(within))
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	if err := say(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	p.slow(30 * time.Millisecond)
	began := time.Now()
	if err := say(10 * time.Second); err != nil || time.Since(began) < 60*time.Millisecond {
		t.Errorf("delayed twice by 30 ms, the echo came after %s: %v", time.Since(began), err)
	}
	p.slow(0)
	p.hold()
	if err := say(50 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("what is held came through: %v", err)
	}
	p.release()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("what was held is lost: %v", err)
	}
	p.cut()
	if err := say(10 * time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection that was cut answers: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	good := Config{Mode: ModeServe, Documents: 10, Chats: 10, Duration: time.Minute, FaultEvery: time.Second, Settle: time.Minute, Tenants: 2, Tools: t.TempDir()}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Config){
		"mode": func(c *Config) { c.Mode = "calm" }, "documents": func(c *Config) { c.Documents = 1 }, "duration": func(c *Config) { c.Duration = 0 },
		"tools": func(c *Config) { c.Tools = "/nowhere" }, "tenants": func(c *Config) { c.Tenants = 0 },
	} {
		bad := good
		spoil(&bad)
		if err := Run(context.WithoutCancel(t.Context()), bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
