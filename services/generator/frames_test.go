package generator

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
	"github.com/ragbus/ragbus/pkg/worker"
)

func TestWithoutStreamOnlyTheEndIsSent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, text := range map[string]string{"whole": "It opens at nine o'clock [1].", "whole-bad": "It opens at ten [2]."} {
		s := b.service(t, scriptllm.New(scriptllm.Say(text)))
		e := b.retrieved(t, name, func(r *event.ChatRetrieved) { r.Asked.Stream = false })
		reader := b.listen(t, name)
		try(t, s, e, 1)
		if got := reader.wait(t); len(got.Deltas) != 0 || got.Citations != 0 || got.Restarts != 0 || got.Answer.Answer == "" || !strings.Contains(string(got.Answer.Sources), "d2.v.4") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWhoLooksAtABackgroundQuestionReadsItAsItComes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.service(t, scriptllm.New(scriptllm.Say("It opens at nine o'clock [1].")))
	e := b.retrieved(t, "background", func(r *event.ChatRetrieved) { r.Asked.Stream, r.Asked.Background = false, true })
	reader := b.listen(t, "background")
	try(t, s, e, 1)
	if got := reader.wait(t); strings.Join(got.Deltas, "") != "It opens at nine o'clock [1]." || got.Citations != 1 || got.Restarts != 0 {
		t.Errorf("%+v", got)
	}
}

func TestFirstWordIsSentAtOnceAndOthersTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	words := scriptllm.Words("It opens at nine o'clock " + strings.Repeat("and so on ", 40) + "[1].")
	s := b.service(t, scriptllm.New(scriptllm.Sequence(scriptllm.Reply{Deltas: words})))
	e := b.retrieved(t, "pieces", nil)
	reader := b.listen(t, "pieces")
	try(t, s, e, 1)
	got := reader.wait(t)
	if got.Deltas[0] != "It" || len(got.Deltas) > 6 {
		t.Errorf("%d frames for %d words, the first %q", len(got.Deltas), len(words), got.Deltas[0])
	}
	if n := s.pace.speaking.Load(); n != 0 {
		t.Errorf("%d speak in the end", n)
	}
}

func TestForeignReplySubjectIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model := scriptllm.New(scriptllm.Say("no"))
	s := b.service(t, model)
	e := b.retrieved(t, "foreign", nil)
	e.ReplyTo = "rag.answer.v1.gw.another"
	trial := try(t, s, e, 1)
	if trial.Verdict.Action != worker.Bury || trial.HookErr != nil || model.Calls() != 0 {
		t.Errorf("trial %+v, calls %d", trial, model.Calls())
	}
	if a := b.stored(t, "foreign"); a.Status != conversation.Failed {
		t.Errorf("answer %+v", a)
	}
}

func TestAFrameThatCannotBeSentCostsNoModelCall(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model := scriptllm.New(scriptllm.Sequence(scriptllm.Reply{Deltas: scriptllm.Words("The archive opens at nine o'clock [1]."), Pause: 25 * time.Millisecond}))
	s := b.service(t, model)
	n := 0
	s.frames = &failing{Conn: b.NATS, before: func(*nats.Msg) error {
		if n++; n == 2 {
			return nats.ErrReconnectBufExceeded
		}
		return nil
	}}
	e := b.retrieved(t, "lossy", nil)
	reader := b.listen(t, "lossy")
	if trial := try(t, s, e, 1); trial.Err != nil {
		t.Fatal(trial.Err)
	}
	if got := reader.wait(t); got.Text != "The archive opens at nine o'clock [1]." || model.Calls() != 1 {
		t.Errorf("told %+v, calls %d", got, model.Calls())
	}
}
