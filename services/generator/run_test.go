package generator

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
	"github.com/ragbus/ragbus/pkg/reply"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/pkg/worker/workertest"
)

// run starts a whole generator; stop, or the test's end, stops it.
func (b *bench) run(t testing.TB, model llm.Model) (rec *workertest.Recorder, stop func()) {
	t.Helper()
	rec = &workertest.Recorder{}
	conn := b.Connect()
	s, err := New(Config{Grace: 6 * time.Second, Slots: 16}, Deps{
		NATS: conn.NATS(), JetStream: conn.JetStream(), Conversations: b.store, Model: model, Observer: rec,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(stop)
	return rec, stop
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model := scriptllm.New(scriptllm.Say("The archive opens at nine o'clock [1]."))
	rec, _ := b.run(t, model)
	const n = 20
	readers := make([]*fold, n)
	for i := range n {
		id := fmt.Sprintf("q%d", i)
		readers[i] = b.listen(t, id)
		if err := b.Publisher.Publish(t.Context(), b.retrieved(t, id, nil)); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range readers {
		if got := r.wait(t); got.Answer.ID != fmt.Sprintf("q%d", i) || !got.Answer.Grounded || got.Text != got.Answer.Answer {
			t.Errorf("reader %d: %+v", i, got)
		}
	}
	for _, s := range rec.Await(t, n, nil) {
		if s.Verdict.Action != worker.Done {
			t.Errorf("settled %+v", s)
		}
	}
	if got := b.Messages(broker.StreamEvents); got != n {
		t.Errorf("%d facts, want %d", got, n)
	}
	if got := b.Messages(broker.StreamChat); got != 0 {
		t.Errorf("%d questions are left", got)
	}
	if model.Calls() != n {
		t.Errorf("the model was asked %d times, want %d", model.Calls(), n)
	}
}

func TestThrottledModelIsAskedLater(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model := scriptllm.New(scriptllm.Sequence(
		scriptllm.Reply{Err: fault.ThrottledFor(50*time.Millisecond, nil)},
		scriptllm.Reply{Deltas: []string{"The archive opens at nine o'clock [1]."}},
	))
	rec, _ := b.run(t, model)
	reader := b.listen(t, "later")
	if err := b.Publisher.Publish(t.Context(), b.retrieved(t, "later", nil)); err != nil {
		t.Fatal(err)
	}
	if got := reader.wait(t); !got.Answer.Grounded || got.Restarts != 0 {
		t.Errorf("told %+v", got)
	}
	first := rec.Await(t, 1, nil)[0]
	if first.Verdict.Action != worker.Later {
		t.Errorf("settled %+v, want later", first)
	}
}

func TestStoppingHandsTheQuestionToAReplica(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	stuck := scriptllm.New(func(llm.Request) scriptllm.Reply {
		return scriptllm.Reply{Deltas: []string{"It opens "}, Hang: true, After: 1}
	})
	rec, stop := b.run(t, stuck)
	reader := b.listen(t, "handed")
	if err := b.Publisher.Publish(t.Context(), b.retrieved(t, "handed", nil)); err != nil {
		t.Fatal(err)
	}
	rec.AwaitStarted(t, 1)
	stop()
	if got := rec.Await(t, 1, nil)[0]; got.Verdict.Action != worker.HandBack {
		t.Errorf("settled %+v, want handed back", got)
	}
	b.run(t, scriptllm.New(scriptllm.Say("The archive opens at nine o'clock [1].")))
	if got := reader.wait(t); got.Text != "The archive opens at nine o'clock [1]." || got.Answer.Status != conversation.Completed {
		t.Errorf("told %+v", got)
	}
}

func TestCancelReachesARunningGenerator(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	model := scriptllm.New(func(llm.Request) scriptllm.Reply { return scriptllm.Reply{Hang: true} })
	rec, _ := b.run(t, model)
	reader := b.listen(t, "gone")
	if err := b.Publisher.Publish(t.Context(), b.retrieved(t, "gone", nil)); err != nil {
		t.Fatal(err)
	}
	rec.AwaitStarted(t, 1)
	if err := reply.Cancel(b.NATS, "gone"); err != nil {
		t.Fatal(err)
	}
	if got := reader.wait(t); got.Answer.Status != conversation.Cancelled {
		t.Errorf("told %+v", got)
	}
}

func TestNewReportsWhatIsMissing(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Slots: -1}, Deps{}); err == nil {
		t.Error("a generator with -1 slots was made")
	}
	if _, err := New(Config{}, Deps{}); err == nil {
		t.Error("a generator without NATS was made")
	}
}

func TestConfigDefaultsAreValid(t *testing.T) {
	t.Parallel()
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{Timeout: -1, MaxAttempts: -1, Grace: 1, AnswerTokens: 1, Temperature: new(3.0), Coalesce: time.Hour}
	if err := bad.Validate(); err == nil {
		t.Error("a bad configuration is valid")
	}
	if none := (Config{Temperature: new(0.0)}).WithDefaults(); *none.Temperature != 0 || none.Validate() != nil {
		t.Errorf("a temperature of 0 is %g", *none.Temperature)
	}
}

// memory is a record without a database, so that the handler alone is measured.
type memory struct{ conversation.Store }

func (memory) Get(context.Context, conversation.Caller, string) (conversation.Turn, error) {
	return conversation.Turn{}, nil
}

func (memory) Finish(_ context.Context, _ conversation.Caller, a conversation.Answer) (conversation.Answer, error) {
	return a, nil
}

func (b *bench) benchmark(t *testing.B, model llm.Model, passagesOf int) {
	s := newService(Config{}.WithDefaults(), Deps{NATS: b.NATS, JetStream: b.JS, Conversations: memory{}, Model: model})
	from := passages()
	for len(from) < passagesOf {
		more := passages()[len(from)%2]
		more.ID = fmt.Sprintf("d%d.v.0", len(from))
		for len(more.Text) < 900 {
			more.Text += fmt.Sprintf(" The %d. shelf of the archive holds maps of the %d. district, in good order.", len(more.Text), len(from))
		}
		from = append(from, more)
	}
	e := b.retrieved(t, "bench", func(r *event.ChatRetrieved) { r.Passages = listed(t, from) })
	data, _ := e.Data.(event.ChatRetrieved)
	e.ReplyTo = ""
	d := delivery{Event: e, Data: data, Attempt: 1, StoredAt: time.Now()}
	d.Event.Deadline = time.Time{}
	t.ReportAllocs()
	for t.Loop() {
		if _, err := s.answer(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkHandler is the handler with a scripted model and eight passages,
// without the broker and the database.
func BenchmarkHandler(t *testing.B) {
	words := scriptllm.Words("The archive opens at nine o'clock from Monday to Friday [1]. A copy costs 30 cents, and photography is not allowed [2].")
	model := scriptllm.New(func(llm.Request) scriptllm.Reply { return scriptllm.Reply{Deltas: words} }, scriptllm.WithoutRequests())
	newBench(t).benchmark(t, model, 8)
}

// BenchmarkExtractive is the same without a model.
func BenchmarkExtractive(t *testing.B) { newBench(t).benchmark(t, nil, 8) }
