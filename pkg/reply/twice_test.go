package reply_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/reply"
)

// tape keeps the frames that are published.
type tape struct{ frames []reply.Frame }

func (p *tape) PublishMsg(m *nats.Msg) error {
	f, err := reply.ParseFrame(m)
	p.frames = append(p.frames, f)
	return err
}

// told is what a reader is told who gets the frames in that order: the text's
// pieces, and the names of what is no text.
func (p *tape) told(order []int) string {
	var a reply.Assembler
	var told []string
	for _, i := range order {
		for _, u := range a.Next(p.frames[i]) {
			if u.Kind == reply.Added {
				told = append(told, string(u.Data))
			} else {
				told = append(told, string(u.Kind))
			}
		}
	}
	return strings.Join(told, "|")
}

// A question that was delivered to two retrievers has two lists of sources, of
// which the answer is written from one. The reader ends up with that one.
func TestTheReaderHasTheSourcesThatTheAnswerIsWrittenFrom(t *testing.T) {
	t.Parallel()
	first, second := json.RawMessage(`[{"id":"a"}]`), json.RawMessage(`[{"id":"b"}]`)
	var out tape
	from := func(stage reply.Stage, attempt int) *reply.Writer {
		w, err := reply.NewWriter(&out, "rag.answer.v1.gw.r", "r", stage, attempt)
		must(t, err)
		return w
	}
	must(t, from(reply.Retrieve, 1).Sources(first), from(reply.Retrieve, 2).Sources(second))
	w := from(reply.Generate, 1)
	w.From(first)
	must(t, w.Delta("it "))
	again := from(reply.Generate, 3)
	again.From(second)
	must(t, again.Delta("it is"), again.End(nil))
	told := func(a *reply.Assembler, frames ...reply.Frame) string {
		var s []string
		for _, f := range frames {
			for _, u := range a.Next(f) {
				s = append(s, string(u.Kind)+string(u.Data))
			}
		}
		return strings.Join(s, " ")
	}
	const want = `sources[{"id":"a"}] sources[{"id":"b"}] sources[{"id":"a"}] deltait  restart sources[{"id":"b"}] deltait is endnull`
	if got := told(&reply.Assembler{}, out.frames...); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Who missed those of the first retrieval is given them, and goes on.
	var late reply.Assembler
	if got := told(&late, out.frames[1], out.frames[2]); got != `sources[{"id":"b"}] lost` {
		t.Errorf("without the first sources: %s", got)
	}
	if got := told(&late, out.frames[:3]...); got != `sources[{"id":"a"}] deltait ` {
		t.Errorf("when they are there: %s", got)
	}
}

// A question that is on its way twice, under two messages, is answered by two
// whose attempts have the same numbers. Their frames are not mixed: the later
// message's replace the earlier's.
func TestFramesOfTwoMessagesAreNotMixed(t *testing.T) {
	t.Parallel()
	var out tape
	for i, pieces := range [][]string{{"it ", "is so"}, {"it is", " so"}} {
		w, err := reply.NewWriter(&out, "rag.answer.v1.gw.r", "r", reply.Generate, 1)
		must(t, err)
		w.For(time.Unix(int64(i+1), 0))
		must(t, w.Delta(pieces[0]), w.Delta(pieces[1]), w.End(nil))
	}
	for name, c := range map[string]struct {
		order []int
		want  string
	}{
		"one after the other": {[]int{0, 1, 2, 3, 4, 5}, "it |is so|end"},
		"in turns":            {[]int{0, 3, 1, 4, 2, 5}, "it |restart|it is| so|end"},
		"the later first":     {[]int{3, 0, 1, 2, 4, 5}, "it is| so|end"},
	} {
		if got := out.told(c.order); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	for _, bad := range []string{"x", "-1", "1.5"} {
		if _, err := reply.ParseFrame(&nats.Msg{Subject: "rag.answer.v1.gw.r", Header: nats.Header{reply.HeaderFrame: {"generate/1/1/delta"}, reply.HeaderWork: {bad}}}); err == nil {
			t.Errorf("%q is taken for a time", bad)
		}
	}
}

// Two may write the same attempt: one who is thought dead goes on, and the
// number of its next try is that of the other's delivery. Whoever comes last
// is believed, and the other is not heard any more.
func TestFramesOfTwoWritersAreNotMixed(t *testing.T) {
	t.Parallel()
	var out tape
	for _, pieces := range [][]string{{"it ", "is so"}, {"it is", " so"}} {
		w, err := reply.NewWriter(&out, "rag.answer.v1.gw.r", "r", reply.Generate, 2)
		must(t, err)
		w.For(time.Unix(1, 0))
		must(t, w.Delta(pieces[0]), w.Delta(pieces[1]), w.End(nil))
	}
	for name, c := range map[string]struct {
		order []int
		want  string
	}{
		"one after the other": {[]int{0, 1, 2, 3, 4, 5}, "it |is so|end"},
		"in turns":            {[]int{0, 3, 1, 4, 2, 5}, "it |restart|it is| so|end"},
		"the other first":     {[]int{3, 0, 4, 5, 1, 2}, "it is|restart|it |is so|end"},
		"read again":          {[]int{0, 3, 0, 1, 2, 3, 4, 5}, "it |restart|it is| so|end"},
		"without a beginning": {[]int{0, 4, 3, 4, 5}, "it |lost|restart|it is| so|end"},
	} {
		if got := out.told(c.order); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// What a frame says of its message and its sources is kept with it: who reads
// the frames again folds them as those did who read them live.
func TestWhatIsReadAgainIsWhatWasReadLive(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := hub(t, b, "gw")
	in := h.Expect("r")
	defer in.Close()
	sources := json.RawMessage(`[{"id":"a"}]`)
	sent := 0
	for i, pieces := range [][]string{{"it ", "is so"}, {"it is", " so"}} {
		found, err := reply.NewWriter(b.NATS, h.Subject("r"), "r", reply.Retrieve, 1)
		must(t, err)
		must(t, found.For(time.Unix(int64(i+1), 0)).Sources(sources))
		w, err := reply.NewWriter(b.NATS, h.Subject("r"), "r", reply.Generate, 1)
		must(t, err)
		w.For(time.Unix(int64(i+1), 0)).From(sources)
		must(t, w.Delta(pieces[0]), w.Delta(pieces[1]))
		sent += 3
	}
	again, err := reply.Replay(t.Context(), b.JS, "r")
	must(t, err)
	defer again.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range sent {
		live, err := in.Next(ctx)
		must(t, err)
		kept, err := again.Next(ctx)
		must(t, err)
		if diff := cmp.Diff(live, kept); diff != "" {
			t.Error(diff)
		}
	}
}
