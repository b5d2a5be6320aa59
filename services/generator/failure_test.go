package generator

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
	"github.com/ragbus/ragbus/pkg/reply"
	"github.com/ragbus/ragbus/pkg/worker"
)

func TestCancelClosesTheModelAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model := scriptllm.New(func(llm.Request) scriptllm.Reply {
		return scriptllm.Reply{Deltas: []string{"It opens "}, Hang: true, After: 1}
	})
	s := b.service(t, model)
	s.frames = &failing{Conn: b.NATS, after: func(m *nats.Msg) {
		if strings.HasSuffix(m.Header.Get(reply.HeaderFrame), "/delta") {
			if err := reply.Cancel(b.NATS, "stopped"); err != nil {
				t.Error(err)
			}
		}
	}}
	e := b.retrieved(t, "stopped", nil)
	reader := b.listen(t, "stopped")
	trial := try(t, s, e, 1)
	got, a := reader.wait(t), b.stored(t, "stopped")
	if trial.Err != nil || a.Status != conversation.Cancelled || a.Answer != "It opens" || got.Answer.Status != conversation.Cancelled || model.Closed() != 1 {
		t.Errorf("trial %+v, answer %+v, closed %d", trial, a, model.Closed())
	}
}

// What a reader keeps of a cancelled answer has its evidence.
func TestACancelledAnswerKeepsTheCitationsThatHold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const written = "It opens at nine o'clock [1]."
	model := scriptllm.New(func(llm.Request) scriptllm.Reply {
		return scriptllm.Reply{Deltas: []string{written + " "}, Hang: true, After: 1}
	})
	s := b.service(t, model)
	s.frames = &failing{Conn: b.NATS, after: func(m *nats.Msg) {
		if strings.HasSuffix(m.Header.Get(reply.HeaderFrame), "/delta") {
			if err := reply.Cancel(b.NATS, "evidence"); err != nil {
				t.Error(err)
			}
		}
	}}
	e := b.retrieved(t, "evidence", nil)
	reader := b.listen(t, "evidence")
	try(t, s, e, 1)
	got, a := reader.wait(t), b.stored(t, "evidence")
	if a.Status != conversation.Cancelled || a.Answer != written || len(a.Citations) != 1 || !a.Grounded || got.Citations != 1 || got.Restarts != 0 {
		t.Errorf("stored %+v, told %+v", a, got)
	}
}

func TestCancelledBeforeItBegan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model := scriptllm.New(scriptllm.Say("no"))
	s := b.service(t, model)
	if err := reply.Cancel(b.NATS, "early"); err != nil {
		t.Fatal(err)
	}
	if err := b.NATS.Flush(); err != nil {
		t.Fatal(err)
	}
	e := b.retrieved(t, "early", nil)
	watched, stop := s.cancels.Watch(t.Context(), "early")
	<-watched.Done() // the listener has heard
	stop()
	reader := b.listen(t, "early")
	try(t, s, e, 1)
	reader.wait(t)
	if a := b.stored(t, "early"); a.Status != conversation.Cancelled || model.Calls() != 0 {
		t.Errorf("answer %+v, calls %d", a, model.Calls())
	}
}

func TestAFailureIsTriedAgainAndThenTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model := scriptllm.New(scriptllm.Sequence(
		scriptllm.Reply{Deltas: []string{"It "}, Err: fault.Transientf("model_unavailable", "the model is away"), After: 1},
		scriptllm.Reply{Deltas: []string{"It opens at nine o'clock [1]."}},
	))
	s := b.service(t, model)
	e := b.retrieved(t, "again", nil)
	reader := b.listen(t, "again")
	if trial := try(t, s, e, 1); trial.Verdict.Action != worker.Retry {
		t.Fatalf("trial %+v, want a retry", trial)
	}
	if trial := try(t, s, e, 2); trial.Err != nil {
		t.Fatal(trial.Err)
	}
	if got := reader.wait(t); got.Restarts != 1 || got.Text != "It opens at nine o'clock [1]." || got.Ends != 1 {
		t.Errorf("told %+v", got)
	}
}

func TestTheExtractiveWriterAnswersForAModelThatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply    scriptllm.Reply
		fallback bool
		// model is who wrote the answer, "" when there is none yet.
		model string
	}{
		"before a word":                     {scriptllm.Reply{Err: fault.Transientf("model_unavailable", "away")}, true, "extractive"},
		"before a word, without permission": {scriptllm.Reply{Err: fault.Transientf("model_unavailable", "away")}, false, ""},
		"in the middle": {
			scriptllm.Reply{Deltas: []string{"It opens "}, After: 1, Err: fault.Transientf("model_unavailable", "away")}, true, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			s := b.service(t, scriptllm.New(func(llm.Request) scriptllm.Reply { return c.reply }))
			s.fallback = c.fallback
			e := b.retrieved(t, "q", nil)
			trial := try(t, s, e, 1)
			if c.model == "" {
				if trial.Err == nil {
					t.Error("the failure is not told")
				}
				return
			}
			if a := b.stored(t, "q"); trial.Err != nil || a.Model != c.model || !a.Grounded || len(a.Citations) == 0 {
				t.Errorf("trial %+v, answer %+v", trial, a)
			}
		})
	}
}

func TestBurialEndsTheAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, err := range map[string]error{
		"spent":     fault.Transientf("model_unavailable", "the model is away"),
		"permanent": fault.Permanentf("prompt_too_long", "too long").WithCause(errors.New("secret")),
		"unknown":   errors.New("a secret that nobody may see"),
	} {
		s := b.service(t, scriptllm.New(scriptllm.Sequence(scriptllm.Reply{Deltas: []string{"It "}, Err: err, After: 1})))
		e := b.retrieved(t, "buried-"+name, nil)
		reader := b.listen(t, "buried-"+name)
		trial := try(t, s, e, 3)
		if trial.Burial == nil || trial.HookErr != nil || len(trial.Events) != 1 {
			t.Fatalf("%s: trial %+v", name, trial)
		}
		got, a := reader.wait(t), b.stored(t, "buried-"+name)
		code, _ := fault.Public(err)
		if a.Status != conversation.Failed || a.Error == nil || a.Error.Code != code || got.Problem.Code != code || got.Ends != 1 {
			t.Errorf("%s: stored %+v, told %+v; want %s", name, a, got, code)
		}
		if strings.Contains(a.Error.Message+got.Problem.Message, "secret") {
			t.Errorf("%s: the cause was told", name)
		}
	}
}

func TestPastItsDeadlineNothingIsSpent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model := scriptllm.New(scriptllm.Say("no"))
	s := b.service(t, model)
	e := b.retrieved(t, "late", nil)
	e.Deadline = time.Now().Add(-time.Second)
	reader := b.listen(t, "late")
	trial := try(t, s, e, 1)
	got := reader.wait(t)
	if trial.Verdict.Action != worker.Bury || got.Problem.Code != "deadline_exceeded" || model.Calls() != 0 {
		t.Errorf("trial %+v, told %+v, calls %d", trial, got, model.Calls())
	}
}

func TestDeletedConversation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.retrieved(t, "deleted", nil)
	data, _ := e.Data.(event.ChatRetrieved)
	model := scriptllm.New(func(llm.Request) scriptllm.Reply {
		if err := b.store.Delete(context.WithoutCancel(t.Context()), caller, data.Asked.ConversationID); err != nil {
			t.Error(err)
		}
		return scriptllm.Reply{Deltas: []string{"It opens at nine o'clock [1]."}}
	})
	s := b.service(t, model)
	reader := b.listen(t, "deleted")
	trial := try(t, s, e, 1)
	if got := reader.wait(t); trial.Err != nil || len(trial.Events) != 0 || got.Problem.Code != "chat_not_found" {
		t.Errorf("trial %+v, told %+v", trial, got)
	}
	if trial := try(t, s, e, 2); trial.Err != nil || model.Calls() != 1 {
		t.Errorf("trial %+v, calls %d", trial, model.Calls())
	}
}

// A process that dies at any of these moments leaves a turn that the next
// delivery brings to its one end.
func TestDyingAnywhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const text = "The archive opens at nine o'clock [1]."
	dead := errors.New("the process died")
	at := func(kind string) func(m *nats.Msg) bool {
		return func(m *nats.Msg) bool { return strings.HasSuffix(m.Header.Get(reply.HeaderFrame), "/"+kind) }
	}
	for name, tt := range map[string]struct {
		store  func(*dyingStore)
		before func(*nats.Msg) bool
		after  func(*nats.Msg) bool
		calls  int
	}{
		"before it is stored":  {store: func(d *dyingStore) { d.before = true }, calls: 2},
		"after it is stored":   {store: func(d *dyingStore) { d.after = true }, calls: 1},
		"at the first word":    {before: at("delta"), calls: 2},
		"after the first word": {after: at("delta"), calls: 2},
		"before a citation":    {before: at("citation"), calls: 1},
		"before the end":       {before: at("end"), calls: 1},
		"after the end":        {after: at("end"), calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := strings.ReplaceAll(name, " ", "-")
			model := scriptllm.New(scriptllm.Say(text))
			s := b.service(t, model)
			died := &dyingStore{Store: b.store, dead: dead}
			if tt.store != nil {
				tt.store(died)
			}
			s.store = died
			wire := &failing{Conn: b.NATS}
			if tt.before != nil {
				wire.before = func(m *nats.Msg) error {
					if tt.before(m) {
						panic(dead)
					}
					return nil
				}
			}
			if tt.after != nil {
				wire.after = func(m *nats.Msg) {
					if tt.after(m) {
						panic(dead)
					}
				}
			}
			s.frames = wire
			e := b.retrieved(t, id, nil)
			reader := b.listen(t, id)
			if trial := try(t, s, e, 1); trial.Err == nil {
				t.Fatalf("trial %+v, want that it died", trial)
			}

			next := b.service(t, model)
			for attempt := 2; attempt <= 3; attempt++ { // the second of them after the work was done already
				trial := try(t, next, e, attempt)
				if trial.Err != nil || len(trial.Events) != 1 || trial.Events[0].ID != event.New(caller.Tenant, time.Now(), trial.Events[0].Data).ID {
					t.Fatalf("delivery %d: %+v", attempt, trial)
				}
			}
			got, a := reader.wait(t), b.stored(t, id)
			if got.Ends != 1 || got.Text != text || a.Answer != text || !a.Grounded || got.Answer.Answer != text {
				t.Errorf("told %+v, stored %+v", got, a)
			}
			if model.Calls() != tt.calls {
				t.Errorf("the model was asked %d times, want %d", model.Calls(), tt.calls)
			}
		})
	}
}

// dyingStore dies around storing an answer.
type dyingStore struct {
	conversation.Store
	dead          error
	before, after bool
}

func (d *dyingStore) Finish(ctx context.Context, c conversation.Caller, a conversation.Answer) (conversation.Answer, error) {
	if d.before {
		panic(d.dead)
	}
	got, err := d.Store.Finish(ctx, c, a)
	if d.after {
		panic(d.dead)
	}
	return got, err
}

// busyStore fails to store for a while.
type busyStore struct {
	conversation.Store
	failures int
}

func (b *busyStore) Finish(ctx context.Context, c conversation.Caller, a conversation.Answer) (conversation.Answer, error) {
	if b.failures--; b.failures >= 0 {
		return conversation.Answer{}, fault.Transientf("database_unavailable", "busy")
	}
	return b.Store.Finish(ctx, c, a)
}

func TestStoringIsTriedAgainBeforeTheModelIs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model := scriptllm.New(scriptllm.Say("The archive opens at nine o'clock [1]."))
	s := b.service(t, model)
	s.store = &busyStore{Store: b.store, failures: 6}
	e := b.retrieved(t, "busy", nil)
	if trial := try(t, s, e, 1); trial.Err != nil || model.Calls() != 1 {
		t.Errorf("trial %+v, calls %d", trial, model.Calls())
	}
}

func TestTheFirstStoredAnswerIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.retrieved(t, "race", nil)
	data, _ := e.Data.(event.ChatRetrieved)
	other := conversation.Answer{
		ID: "race", ConversationID: data.Asked.ConversationID, Status: conversation.Completed, Answer: "Another was first [1].", Grounded: true,
		Citations: []conversation.Citation{{Marker: 1}}, Sources: []byte("[]"), CreatedAt: data.Asked.AskedAt,
	}
	model := scriptllm.New(func(llm.Request) scriptllm.Reply {
		if _, err := b.store.Finish(context.WithoutCancel(t.Context()), caller, other); err != nil {
			t.Error(err)
		}
		return scriptllm.Reply{Deltas: []string{"The archive opens at nine o'clock [1]."}}
	})
	s := b.service(t, model)
	reader := b.listen(t, "race")
	if trial := try(t, s, e, 1); trial.Err != nil {
		t.Fatal(trial.Err)
	}
	// With its own sources too: they are not those that the reader was told.
	if got := reader.wait(t); got.Text != other.Answer || got.Answer.Answer != other.Answer || got.Restarts != 1 || got.Sources != "[]" {
		t.Errorf("told %+v", got)
	}
}

// TestAWriterTakenForDeadIsLetEnd: the lease of one that lives ran out, its
// question is delivered once more, to another process or to its own.
func TestAWriterTakenForDeadIsLetEnd(t *testing.T) {
	t.Parallel()
	for name, same := range map[string]bool{"another process": false, "the same process": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			asked, goOn := make(chan struct{}), make(chan struct{})
			first := b.service(t, scriptllm.New(func(llm.Request) scriptllm.Reply {
				close(asked)
				<-goOn
				return scriptllm.Reply{Deltas: []string{"It opens at nine o'clock [1]."}}
			}))
			second, again := b.service(t, scriptllm.New(scriptllm.Say("No."))), &askedStore{Store: b.store, asked: make(chan struct{})}
			if same {
				second = first
			}
			e := b.retrieved(t, "stalled", nil)
			reader := b.listen(t, "stalled")
			trials := make(chan worker.Trial, 2)
			go func() { trials <- try(t, first, e, 1) }()
			<-asked
			taking := *second
			taking.store = again
			go func() { trials <- try(t, &taking, e, 2) }()
			<-again.asked // it has looked, and the answer is not there
			close(goOn)
			for range 2 {
				if trial := <-trials; trial.Err != nil {
					t.Error(trial.Err)
				}
			}
			if got := reader.wait(t); got.Text != "It opens at nine o'clock [1]." {
				t.Errorf("told %+v", got)
			}
			if m, _ := second.model.(*scriptllm.Model); !same && m.Calls() != 0 || same && m.Calls() != 1 {
				t.Errorf("the model was asked %d times more", m.Calls())
			}
		})
	}
}

// askedStore tells when a turn was read first.
type askedStore struct {
	conversation.Store
	once  sync.Once
	asked chan struct{}
}

func (a *askedStore) Get(ctx context.Context, c conversation.Caller, id string) (conversation.Turn, error) {
	turn, err := a.Store.Get(ctx, c, id)
	a.once.Do(func() { close(a.asked) })
	return turn, err //nolint:wrapcheck // passed on
}
