package reply_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/reply"
)

func hub(t *testing.T, b *brokertest.Broker, gateway string) *reply.Hub {
	t.Helper()
	h, err := reply.NewHub(b.Connect().NATS(), gateway, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func writer(t *testing.T, b *brokertest.Broker, subject, request string) *reply.Writer {
	t.Helper()
	w, err := reply.NewWriter(b.NATS, subject, request, reply.Generate, 1)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// read folds frames until the answer is closed.
func read(t *testing.T, from reply.Source) (text string, kinds []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var a reply.Assembler
	for !a.Closed() {
		f, err := from.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range a.Next(f) {
			kinds = append(kinds, string(u.Kind))
			if u.Kind == reply.Added {
				text += string(u.Data)
			}
		}
	}
	return text, kinds
}

func TestAnAnswerIsReadLiveAndAgainOnAnyGateway(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *brokertest.Broker{
		"in the process": brokertest.Start, "over TCP": brokertest.StartTCP,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t)
			one := hub(t, b, "gw1")
			in, second, other := one.Expect("r1"), one.Expect("r1"), one.Expect("r2")
			w := writer(t, b, one.Subject("r1"), "r1")
			must(t, w.Sources(json.RawMessage("[1]")), w.Delta("hel"), w.Delta(""), w.Delta("lo"))
			replay, err := reply.Replay(t.Context(), b.Connect().JetStream(), "r1")
			if err != nil {
				t.Fatal(err)
			}
			defer replay.Close()
			must(t, w.Citation(map[string]int{"marker": 1}), w.End(map[string]string{"answer": "hello"}))
			if err := w.Delta("late"); !errors.Is(err, reply.ErrEnded) {
				t.Errorf("got %v", err)
			}
			want := "sources delta delta citation end" //nolint:dupword // two of them
			for who, from := range map[string]reply.Source{"live": in, "a second reader": second, "replay": replay} {
				text, kinds := read(t, from)
				if text != "hello" || strings.Join(kinds, " ") != want {
					t.Errorf("%s: %q %v", who, text, kinds)
				}
			}
			in.Close()
			in.Close()
			if _, err := in.Next(t.Context()); !errors.Is(err, reply.ErrClosed) {
				t.Errorf("got %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if f, err := other.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the other request got %+v, %v", f, err)
			}
			second.Close()
			other.Close()
			if n := one.Waiting(); n != 0 {
				t.Errorf("%d inboxes are left", n)
			}
		})
	}
}

func TestWritersRefuseForeignSubjectsAndAreSilentWithoutOne(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	if _, err := reply.NewWriter(b.NATS, "rag.answer.v1.gw.other", "r1", reply.Generate, 1); !fault.Is(err, fault.Permanent) {
		t.Errorf("got %v", err)
	}
	w := writer(t, b, "", "r1")
	must(t, w.Delta("x"), w.End(nil))
	if err := w.Error(nil); !errors.Is(err, reply.ErrEnded) {
		t.Errorf("got %v", err)
	}
	if n := b.Messages("RAG_FRAMES"); n != 0 {
		t.Errorf("%d frames", n)
	}
}

func TestConcurrentWritesMakeNoGap(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := hub(t, b, "gw")
	in := h.Expect("r")
	defer in.Close()
	w := writer(t, b, h.Subject("r"), "r")
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 100 {
				if err := w.Delta("x"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	must(t, w.End(nil))
	if text, kinds := read(t, in); len(text) != 800 || len(kinds) != 801 {
		t.Errorf("%d characters, %d updates", len(text), len(kinds))
	}
}

func TestAGivenUpAttemptIsToldAsAnError(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := hub(t, b, "gw")
	in := h.Expect("r")
	defer in.Close()
	w := writer(t, b, h.Subject("r"), "r")
	must(t, w.Delta("half an ans"))
	must(t, reply.Abort(b.NATS, h.Subject("r"), "r", reply.Generate, time.Time{}, 1, map[string]string{"code": "internal"}))
	if _, kinds := read(t, in); strings.Join(kinds, " ") != "delta error" {
		t.Errorf("%v", kinds)
	}
}

func TestASlowReaderLosesOnlyItsOwnAndHealsFromTheStream(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := hub(t, b, "gw")
	slow, fast := h.Expect("slow"), h.Expect("fast")
	defer slow.Close()
	defer fast.Close()
	w := writer(t, b, h.Subject("slow"), "slow")
	const deltas = 6000
	for range deltas {
		must(t, w.Delta("x"))
	}
	must(t, w.End(nil))
	f := writer(t, b, h.Subject("fast"), "fast")
	must(t, f.Delta("ok"), f.End(nil))
	if text, _ := read(t, fast); text != "ok" {
		t.Errorf("the fast reader got %q", text)
	}
	var a reply.Assembler
	n := 0
	for {
		frame, err := slow.Next(t.Context())
		if err != nil {
			if !errors.Is(err, reply.ErrOverflow) {
				t.Errorf("got %v", err)
			}
			break
		}
		n += len(a.Next(frame))
	}
	if n == 0 || n >= deltas {
		t.Errorf("%d updates before the overflow", n)
	}
	replay, err := reply.Replay(t.Context(), b.JS, "slow")
	if err != nil {
		t.Fatal(err)
	}
	defer replay.Close()
	for !a.Closed() {
		frame, err := replay.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n += len(a.Next(frame))
	}
	if n != deltas+1 {
		t.Errorf("%d updates, want %d", n, deltas+1)
	}
}

func TestReplayIsBounded(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	r, err := reply.Replay(t.Context(), b.JS, "unknown")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	r.Close()
	r.Close()
	if _, err := r.Next(t.Context()); !errors.Is(err, reply.ErrClosed) {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"", "*", ">", "a.b"} {
		if _, err := reply.Replay(t.Context(), b.JS, bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestNoiseOnTheReplySubjectHarmsNobody(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := hub(t, b, "gw")
	in := h.Expect("r")
	defer in.Close()
	for _, header := range []string{"", "x", "generate/1/99/nonsense"} {
		must(t, b.NATS.PublishMsg(&nats.Msg{Subject: h.Subject("r"), Header: nats.Header{reply.HeaderFrame: {header}}, Data: []byte("noise")}))
	}
	w := writer(t, b, h.Subject("r"), "r")
	must(t, w.Delta("ok"), w.End(nil))
	if text, _ := read(t, in); text != "ok" {
		t.Errorf("got %q", text)
	}
}

func TestAClosedHubEndsItsReaders(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := hub(t, b, "gw")
	in := h.Expect("r")
	done := make(chan error, 1)
	go func() {
		_, err := in.Next(t.Context())
		done <- err
	}()
	must(t, h.Close(), h.Close())
	if err := <-done; !errors.Is(err, reply.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := h.Expect("r").Next(t.Context()); !errors.Is(err, reply.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := reply.NewHub(b.NATS, "g.w", nil); err == nil {
		t.Error("a gateway that is no token was accepted")
	}
}

// What was sent while the broker was away is in no inbox.
func TestAReaderLearnsThatFramesMayHaveBeenMissed(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	h := hub(t, b, "gw")
	waits := h.Expect("r")
	replay, err := reply.Replay(t.Context(), b.Connect().JetStream(), "r")
	must(t, err)
	defer replay.Close()
	b.Restart()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := waits.Next(ctx); !errors.Is(err, reply.ErrMissed) {
		t.Errorf("who waited got %v", err)
	}
	for ctx.Err() == nil {
		beat, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		_, err = replay.Next(beat)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	if !errors.Is(err, reply.ErrMissed) {
		t.Errorf("who read what is kept got %v", err)
	}
	later := h.Expect("r")
	out, err := reply.NewWriter(b.Connect().NATS(), h.Subject("r"), "r", reply.Generate, 1)
	must(t, err)
	must(t, out.Delta("all of it"), out.End("done"))
	if text, _ := read(t, later); text != "all of it" {
		t.Errorf("who came later got %q", text)
	}
}

func TestCancelling(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	l := reply.NewCancelListener(b.Connect().NATS())
	must(t, l.Start(t.Context()), l.Start(t.Context()))
	t.Cleanup(func() { must(t, l.Close(), l.Close()) })
	watched, stop := l.Watch(t.Context(), "r1")
	again, stopAgain := l.Watch(t.Context(), "r1")
	other, stopOther := l.Watch(t.Context(), "r2")
	defer stop()
	defer stopAgain()
	must(t, reply.Cancel(b.NATS, "r1"))
	<-watched.Done()
	<-again.Done()
	if !errors.Is(context.Cause(watched), reply.ErrCancelled) || other.Err() != nil {
		t.Errorf("%v, %v", context.Cause(watched), other.Err())
	}
	stopOther()
	if errors.Is(context.Cause(other), reply.ErrCancelled) {
		t.Error("stopping is not cancelling")
	}
	late, stopLate := l.Watch(t.Context(), "r1")
	defer stopLate()
	if !errors.Is(context.Cause(late), reply.ErrCancelled) {
		t.Error("work that begins after its cancellation goes on")
	}
	for _, bad := range []string{"", "*", "a.b"} {
		if err := reply.Cancel(b.NATS, bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	b.Stop()
	for err := error(nil); !fault.Is(err, fault.Transient); {
		if err = reply.Cancel(b.NATS, "r1"); err != nil && !fault.Is(err, fault.Transient) {
			t.Fatal(err)
		}
	}
}

func ExampleAssembler() {
	var a reply.Assembler
	for _, f := range []reply.Frame{
		{Stage: reply.Generate, Attempt: 1, Seq: 1, Type: reply.Delta, Data: []byte("It ra")},
		{Stage: reply.Generate, Attempt: 2, Seq: 1, Type: reply.Delta, Data: []byte("It rains.")},
		{Stage: reply.Generate, Attempt: 2, Seq: 2, Type: reply.End, Data: []byte("{}")},
	} {
		for _, u := range a.Next(f) {
			fmt.Printf("%s %q\n", u.Kind, u.Data)
		}
	}
	// Output:
	// delta "It ra"
	// restart ""
	// delta "It rains."
	// end "{}"
}
