package deadletter_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/deadletter"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/worker"
)

// queued returns what a stream holds.
func (d *desk) queued(stream string) []*jetstream.RawStreamMsg {
	d.t.Helper()
	s, err := d.bus.JS.Stream(d.t.Context(), stream)
	must(d.t, err)
	var out []*jetstream.RawStreamMsg
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		if m, err := s.GetMsg(d.t.Context(), seq); err == nil {
			out = append(out, m)
		}
	}
	return out
}

// redrive expects a refusal with a code, or an outcome.
func (d *desk) redrive(id string, force bool, want string) deadletter.Result {
	d.t.Helper()
	got, err := d.again.Redrive(d.t.Context(), "a", id, force)
	if err == nil {
		if string(got.Outcome) != want {
			d.t.Errorf("%s, want %s", got.Outcome, want)
		}
		return got
	}
	if code, _ := fault.Public(err); code != want || !fault.Is(err, fault.Invalid) {
		d.t.Errorf("%v, want %s", err, want)
	}
	return got
}

func TestWorkIsSentAgainAsItWas(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	e := removal("a", "x")
	e.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	d.bury(broken(), e)
	l := d.list(all("a"))[0]
	if got := d.redrive(l.ID, false, "redriven"); got.Redrives != 1 {
		t.Errorf("%d redrives", got.Redrives)
	}
	work := d.queued(broker.StreamIngest)
	if len(work) != 1 || len(d.list(all("a"))) != 0 {
		t.Fatalf("%d in the queue, %d letters", len(work), len(d.list(all("a"))))
	}
	sent, err := event.Encode(e)
	must(t, err)
	if work[0].Subject != sent.Subject || string(work[0].Data) != string(sent.Data) {
		t.Errorf("%s %s", work[0].Subject, work[0].Data)
	}
	want := nats.Header(sent.Header)
	want["Nats-Msg-Id"] = []string{"redrive." + l.ID + ".1"}
	want[worker.HeaderRedrives] = []string{"1"}
	want[worker.HeaderFirstStored] = []string{l.FirstAt.Format(time.RFC3339Nano)}
	if diff := cmp.Diff(want, work[0].Header); diff != "" {
		t.Error(diff)
	}
	// It dies again: another letter, which knows.
	d.giveUp(broken(), 1)
	second := d.list(all("a"))
	if len(second) != 1 || second[0].Redrives != 1 || !second[0].FirstAt.Equal(l.FirstAt) || second[0].ID == l.ID || second[0].EventID != e.ID {
		t.Errorf("%+v", second)
	}
	if got := d.redrive(second[0].ID, false, "redriven"); got.Redrives != 2 {
		t.Errorf("%d redrives", got.Redrives)
	}
}

func TestARequestThatComesTwiceIsOneRedrive(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bury(broken(), removal("a", "x"))
	id := d.list(all("a"))[0].ID
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := d.again.Redrive(t.Context(), "a", id, false); err != nil && !fault.Is(err, fault.NotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(d.queued(broker.StreamIngest)); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestADocumentStartsAnew(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ref := d.upload("doc")
	d.bury(broken(), event.New("a", d.now, event.DocumentUploaded{ID: "doc", Generation: ref.Generation}), batch("a", 1), batch("a", 2))
	_, err := d.docs.Fail(t.Context(), ref, corpus.Failure{Code: "bad_news", Message: "it broke", Retryable: true})
	must(t, err)
	letters := d.list(all("a"))
	if len(letters) != 3 {
		t.Fatalf("%d letters", len(letters))
	}
	var wg sync.WaitGroup
	for _, l := range letters {
		for range 3 {
			wg.Go(func() {
				if _, err := d.again.Redrive(t.Context(), "a", l.ID, false); err != nil && !fault.Is(err, fault.NotFound) {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	doc, err := d.docs.Document(t.Context(), "a", "doc")
	must(t, err)
	if doc.Status != corpus.Accepted || doc.Failure != nil || doc.Generation != ref.Generation+1 {
		t.Errorf("%+v", doc)
	}
	work := d.queued(broker.StreamIngest)
	if len(work) != 1 || work[0].Header.Get(worker.HeaderRedrives) != "1" || len(d.list(all("a"))) != 0 {
		t.Fatalf("%d in the queue, %d letters", len(work), len(d.list(all("a"))))
	}
	e, err := event.Decode(event.Message{Subject: work[0].Subject, Header: work[0].Header, Data: work[0].Data})
	must(t, err)
	if got, ok := e.Data.(event.DocumentUploaded); !ok || got.Generation != doc.Generation {
		t.Errorf("%+v", e.Data)
	}
}

func TestWorkThatWasLeftBehindIsObsolete(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ref := d.upload("doc")
	d.bury(broken(), batch("a", 1), event.New("a", d.now, event.DocumentUploaded{ID: "never", Generation: 1}))
	scope, err := corpus.SystemScope("a")
	must(t, err)
	_, err = d.docs.Delete(t.Context(), scope, ref.ID)
	must(t, err)
	for _, l := range d.list(all("a")) {
		d.redrive(l.ID, false, "obsolete")
	}
	if n := len(d.queued(broker.StreamIngest)); n != 0 || len(d.list(all("a"))) != 0 {
		t.Errorf("%d messages, %d letters", n, len(d.list(all("a"))))
	}
}

func TestAChatIsRedrivenWhileItMatters(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	open, ended, late := d.question("open", time.Hour), d.question("ended", time.Hour), d.question("late", time.Minute)
	gone := d.question("gone", time.Hour)
	d.bury(broken(), open, ended, late, gone)
	caller := conversation.Caller{Tenant: "a", Owner: "someone"}
	_, err := d.chats.Finish(t.Context(), caller, conversation.Answer{ID: about(ended), Status: conversation.Failed, CreatedAt: d.now, Sources: []byte("[]")})
	must(t, err)
	must(t, d.chats.Delete(t.Context(), caller, gone.Data.(event.ChatAsked).ConversationID))
	d.now = d.now.Add(2 * time.Minute)
	want := map[string]string{about(open): "redriven", about(ended): "dead_letter_answered", about(late): "dead_letter_expired", about(gone): "obsolete"}
	for _, l := range d.list(all("a")) {
		for _, force := range []bool{true, false} {
			if want[l.About] == "dead_letter_answered" || want[l.About] == "dead_letter_expired" || !force {
				d.redrive(l.ID, force, want[l.About])
			}
		}
	}
	work := d.queued(broker.StreamChat)
	if len(work) != 1 || work[0].Header.Get("ce-subject") != about(open) || work[0].Header.Get("Nats-TTL") == "" || len(d.list(all("a"))) != 2 {
		t.Errorf("%d in the queue, %d letters", len(work), len(d.list(all("a"))))
	}
}

func about(e event.Event) string { return e.Data.(event.ChatAsked).ID }

func TestWhatCannotSucceedIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	store := func(m *nats.Msg) {
		t.Helper()
		_, err := d.bus.Publisher.Store(t.Context(), m)
		must(t, err)
	}
	store(&nats.Msg{Subject: "rag.document.v1.uploaded.a", Data: []byte("not json")})
	d.giveUp(broken(), 1)
	unreadable := d.list(all("a"))[0]
	d.redrive(unreadable.ID, false, "dead_letter_unreadable")
	full, err := d.letters.Get(t.Context(), "a", unreadable.ID)
	must(t, err)
	if p := full.Payload(); p.Text != "not json" || p.JSON != nil {
		t.Errorf("%+v", p)
	}
	d.redrive(unreadable.ID, true, "redriven")

	store(&nats.Msg{Subject: "rag.dead.v1.rag.document.v1.uploaded.a", Header: nats.Header{worker.HeaderDeadTruncated: {"1048576"}}})
	truncated := d.list(all("a"))[0]
	if !truncated.Truncated || truncated.Bytes != 1<<20 {
		t.Errorf("%+v", truncated)
	}
	d.redrive(truncated.ID, true, "dead_letter_truncated")
}

func TestNothingIsRedrivenIntoWhatIsKnownToBeBroken(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bury(fault.Transientf("embedder_unavailable", "it is away"), removal("a", "x"))
	d.bury(fault.Transientf("attempts", "whatever"), removal("a", "y"))
	d.bury(broken(), removal("a", "z"))
	letters := d.list(all("a"))
	d.unwell["embedder"] = "no quota"
	d.redrive(letters[0].ID, false, "dead_letter_cause_persists")
	d.redrive(letters[1].ID, false, "redriven") // an extractor's work needs no embedder
	d.redrive(letters[0].ID, true, "redriven")
	d.unwell["database"], d.unwell["vector_store"] = "away", "away"
	d.redrive(letters[2].ID, false, "redriven") // its own fault
}

func TestABatchGoesOn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	late := d.question("late", time.Minute)
	d.bury(broken(), removal("a", "1"), removal("a", "2"), late, event.New("a", d.now, event.DocumentUploaded{ID: "never", Generation: 1}), removal("b", "1"))
	d.bury(fault.Transientf("vector_store_unavailable", "it is away"), removal("a", "3"), removal("a", "4"))
	d.now = d.now.Add(time.Hour)
	d.unwell["vector_store"] = "away"
	var sum deadletter.Report
	q := all("a")
	for rounds := 0; ; rounds++ {
		got, err := d.again.RedriveAll(t.Context(), q, false)
		must(t, err)
		if n := got.Redriven + got.Obsolete + got.Refused + got.Failed; n > q.Limit || rounds > 5 {
			t.Fatalf("%d in round %d", n, rounds)
		}
		sum.Redriven, sum.Obsolete, sum.Refused, sum.Failed = sum.Redriven+got.Redriven, sum.Obsolete+got.Obsolete, sum.Refused+got.Refused, sum.Failed+got.Failed
		sum.Refusals = append(sum.Refusals, got.Refusals...)
		if rounds == 0 { // what dies meanwhile is for another series
			d.giveUp(broken(), got.Redriven)
		}
		if q.Cursor = got.Next; q.Cursor == "" {
			break
		}
	}
	if sum.Redriven != 2 || sum.Obsolete != 1 || sum.Refused != 3 || sum.Failed != 0 || len(sum.Refusals) != 3 {
		t.Errorf("%+v", sum)
	}
	if n := len(d.list(all("b"))); n != 1 {
		t.Errorf("%d letters of another tenant", n)
	}
}

func TestTheLetterStaysUntilTheWorkIsStored(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bury(broken(), removal("a", "x"), removal("a", "y"))
	s, err := d.bus.JS.Stream(t.Context(), broker.StreamIngest)
	must(t, err)
	cfg := s.CachedInfo().Config
	cfg.MaxMsgs = 1
	_, err = d.bus.JS.UpdateStream(t.Context(), cfg)
	must(t, err)
	must(t, d.bus.Publisher.Publish(t.Context(), removal("b", "z"))) // the queue is full
	id := d.list(all("a"))[0].ID
	if _, err := d.again.Redrive(t.Context(), "a", id, false); !fault.Is(err, fault.Throttled) {
		t.Errorf("%v", err)
	}
	got, err := d.again.RedriveAll(t.Context(), all("a"), false)
	must(t, err)
	if got.Failed != 2 || got.Refusals[0].Code != "queue_full" || len(d.list(all("a"))) != 2 {
		t.Errorf("%+v, %d letters", got, len(d.list(all("a"))))
	}
}
