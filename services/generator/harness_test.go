package generator

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/conversation/sqlconversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/reply"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// bench is all that a generator needs around it: a broker, a database, a reader.
type bench struct {
	*brokertest.Broker
	store conversation.Store
	hub   *reply.Hub
	// found are the sources that the retriever sent, by question.
	found sync.Map
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{Broker: brokertest.Start(t)}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqldb.FileURL(filepath.Join(t.TempDir(), "chat.db"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if b.store, err = sqlconversation.Open(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if b.hub, err = reply.NewHub(b.NATS, "gw", nil); err != nil {
		t.Fatal(err)
	}
	if err := b.hub.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.hub.Close() })
	return b
}

var (
	caller  = conversation.Caller{Tenant: "acme", Owner: "ann"}
	onePage = 3
)

// passages are about an archive.
func passages() []corpus.Passage {
	return []corpus.Passage{
		{
			ID: "d1.v.0", DocumentID: "d1", Version: "v", Title: "Visiting", Section: "Hours", PageStart: &onePage, PageEnd: &onePage, CharStart: 100, CharEnd: 260, Score: 1,
			Text: "The town archive was founded in 1887. It opens at nine o'clock from Monday to Friday. The reading room has 42 seats.",
		},
		{
			ID: "d2.v.4", DocumentID: "d2", Version: "v", Title: "Fees", CharStart: 0, CharEnd: 90, Score: 0.6,
			Text: "A copy costs 30 cents. Photography is not allowed in the reading room.",
		},
	}
}

// listed is what a retriever passes on.
func listed(t testing.TB, list []corpus.Passage) event.Passages {
	t.Helper()
	out, err := event.NewPassages(list)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// retrieved records a question and returns its event.
func (b *bench) retrieved(t testing.TB, id string, change func(*event.ChatRetrieved)) event.Event {
	t.Helper()
	now := time.Now().UTC()
	turn, _, err := b.store.Accept(t.Context(), conversation.Question{
		Caller: caller, ID: id, Digest: id, Text: "When does the archive open?", AskedAt: now, Deadline: now.Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	data := event.ChatRetrieved{
		Asked: event.ChatAsked{
			ID: id, ConversationID: turn.Question.ConversationID, Owner: caller.Owner, Question: "When does the archive open?", Stream: true, AskedAt: now,
		},
		SearchQuery: "When does the archive open?", Passages: listed(t, passages()), Relevant: true, QueueMS: 1, RetrieveMS: 2,
	}
	if change != nil {
		change(&data)
	}
	b.found.Store(id, data.Passages.JSON())
	e := event.New(caller.Tenant, now, data)
	e.Deadline = now.Add(time.Minute)
	e.ReplyTo = b.hub.Subject(id)
	return e
}

// told is what a reader was told until the end.
type told struct {
	Deltas    []string
	Text      string // since the last restart
	Sources   string // other than those of the retriever
	Citations int
	Restarts  int
	Ends      int
	Answer    conversation.Answer
	Problem   conversation.Problem
}

// fold folds frames as a gateway does.
type fold struct {
	mu   sync.Mutex
	asm  reply.Assembler
	told told
	done chan struct{}
}

// listen reads the frames of a request until its end.
func (b *bench) listen(t testing.TB, id string) *fold {
	t.Helper()
	f := &fold{done: make(chan struct{})}
	found, ok := b.found.Load(id)
	if !ok {
		found = listed(t, passages()).JSON()
	}
	f.asm.Next(reply.Frame{Request: id, Stage: reply.Retrieve, Attempt: 1, Seq: 1, Type: reply.Sources, Data: found.(json.RawMessage)})
	in := b.hub.Expect(id)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); in.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			frame, err := in.Next(ctx)
			if err != nil {
				return
			}
			f.take(t, frame)
		}
	}()
	return f
}

func (f *fold) take(t testing.TB, frame reply.Frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told.Ends > 0 && f.asm.Closed() {
		return
	}
	for _, u := range f.asm.Next(frame) {
		switch u.Kind {
		case reply.Added:
			f.told.Deltas = append(f.told.Deltas, string(u.Data))
			f.told.Text += string(u.Data)
		case reply.Cited:
			f.told.Citations++
		case reply.Restarted:
			f.told.Restarts++
			f.told.Text, f.told.Citations = "", 0
		case reply.Ended:
			f.told.Ends++
			if err := json.Unmarshal(u.Data, &f.told.Answer); err != nil {
				t.Errorf("end: %v", err)
			}
			close(f.done)
		case reply.Failed:
			f.told.Ends++
			if err := json.Unmarshal(u.Data, &f.told.Problem); err != nil {
				t.Errorf("error: %v", err)
			}
			close(f.done)
		case reply.Lost:
			t.Errorf("frames were lost before %+v", frame)
		case reply.Sourced:
			f.told.Sources = string(u.Data)
		}
	}
}

// wait returns what was told once the end has come.
func (f *fold) wait(t testing.TB) told {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
		t.Fatalf("no end came; told so far: %+v", f.sofar())
	}
	return f.sofar()
}

func (f *fold) sofar() told {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

// stored returns the turn's answer as the record has it.
func (b *bench) stored(t testing.TB, id string) conversation.Answer {
	t.Helper()
	turn, err := b.store.Get(t.Context(), caller, id)
	if err != nil {
		t.Fatal(err)
	}
	return turn.Answer
}

// markersOf returns the distinct [n] of a text, in order.
func markersOf(text string) []int {
	var out []int
	for i := range text {
		if i+2 < len(text) && text[i] == '[' && text[i+1] >= '0' && text[i+1] <= '9' && text[i+2] == ']' {
			out = append(out, int(text[i+1]-'0'))
		}
	}
	return out
}

// check holds an answer against the rules that all answers keep.
func check(t testing.TB, a conversation.Answer, from []corpus.Passage) {
	t.Helper()
	marked := map[int]bool{}
	for _, m := range markersOf(a.Answer) {
		marked[m] = true
	}
	cited := map[int]bool{}
	for _, c := range a.Citations {
		cited[c.Marker] = true
		if c.Marker < 1 || c.Marker > len(from) {
			t.Fatalf("citation %+v of %d sources", c, len(from))
		}
		p := from[c.Marker-1]
		if c.PassageID != p.ID || c.DocumentID != p.DocumentID {
			t.Errorf("citation %+v is not of source %s", c, p.ID)
		}
		runes := []rune(p.Text)
		if got := string(runes[c.CharStart-p.CharStart : c.CharEnd-p.CharStart]); got != c.Quote {
			t.Errorf("at its offsets stands %q, the quote is %q", got, c.Quote)
		}
	}
	for m := range marked {
		if !cited[m] {
			t.Errorf("[%d] in %q has no citation", m, a.Answer)
		}
	}
	for m := range cited {
		if !marked[m] {
			t.Errorf("citation %d is not in %q", m, a.Answer)
		}
	}
	if a.Grounded != (a.Reason == nil) && a.Status == conversation.Completed {
		t.Errorf("grounded %v with reason %v", a.Grounded, a.Reason)
	}
	if a.Answer != strings.TrimSpace(a.Answer) {
		t.Errorf("answer %q has white space at its ends", a.Answer)
	}
}

// failing publishes frames until told not to.
type failing struct {
	*nats.Conn
	mu     sync.Mutex
	before func(m *nats.Msg) error
	after  func(m *nats.Msg)
}

func (f *failing) PublishMsg(m *nats.Msg) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before != nil {
		if err := f.before(m); err != nil {
			return err
		}
	}
	if err := f.Conn.PublishMsg(m); err != nil {
		return err
	}
	if f.after != nil {
		f.after(m)
	}
	return nil
}
