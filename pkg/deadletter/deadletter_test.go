package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/conversation/sqlconversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/deadletter"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/pkg/worker/workertest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// desk is an operator's place: a broker, the records, the letters.
type desk struct {
	t       *testing.T
	bus     *brokertest.Broker
	docs    *sqlcatalog.Store
	chats   *sqlconversation.Store
	letters *deadletter.Store
	again   *deadletter.Redriver
	unwell  map[string]string
	now     time.Time
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, bus: brokertest.Start(t), unwell: map[string]string{}, now: time.Now()}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqldb.FileURL(filepath.Join(t.TempDir(), "ragbus.db"))})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	d.docs, err = sqlcatalog.Open(t.Context(), db)
	must(t, err)
	d.chats, err = sqlconversation.Open(t.Context(), db)
	must(t, err)
	d.letters = deadletter.NewStore(d.bus.JS)
	d.again = &deadletter.Redriver{
		Letters: d.letters, Documents: d.docs, Chats: d.chats, Publisher: d.bus.Publisher,
		Unwell: func(context.Context) map[string]string { return d.unwell }, Now: func() time.Time { return d.now },
	}
	return d
}

// bury has real workers give up events, with the cause that each has.
func (d *desk) bury(cause error, events ...event.Event) {
	d.t.Helper()
	for _, e := range events {
		must(d.t, d.bus.Publisher.Publish(d.t.Context(), e))
	}
	d.giveUp(cause, len(events))
}

// giveUp runs a worker of each kind until n deliveries are buried.
func (d *desk) giveUp(cause error, n int) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	recorder := &workertest.Recorder{}
	done := make(chan error, 2)
	for _, w := range []struct {
		stream, consumer string
		routes           []worker.Route
	}{
		{broker.StreamIngest, broker.ConsumerIngestorExtract, []worker.Route{fails[event.DocumentUploaded](cause), fails[event.DocumentDeleted](cause), fails[event.DocumentChanged](cause)}},
		{broker.StreamIngest, broker.ConsumerIngestorEmbed, []worker.Route{fails[event.ChunksReady](cause)}},
		{broker.StreamChat, broker.ConsumerRetriever, []worker.Route{fails[event.ChatAsked](cause)}},
	} {
		cfg := worker.Config{Stream: w.stream, Consumer: w.consumer, Name: "w", MaxAttempts: 1, PullWait: 200 * time.Millisecond, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond}
		run, err := worker.New(d.bus.JS, cfg, worker.Deps{Observer: recorder}, w.routes...)
		must(d.t, err)
		go func() { done <- run.Run(ctx) }()
	}
	recorder.Await(d.t, n, func(s workertest.Settled) bool { return s.Verdict.Action == worker.Bury })
	cancel()
	for range 3 {
		must(d.t, <-done)
	}
}

func fails[T event.Payload](cause error) worker.Route {
	return worker.Handle(func(context.Context, worker.Delivery[T]) ([]event.Event, error) { return nil, cause })
}

func broken() error { return fault.Permanentf("bad_news", "it broke").WithCause(errors.New("private")) }

func batch(tenant string, n int) event.Event {
	return event.New(tenant, time.Now(), event.ChunksReady{ID: "doc", Generation: 1, Version: "v", Batch: n, From: 0, To: 1})
}

func removal(tenant, id string) event.Event {
	return event.New(tenant, time.Now(), event.DocumentDeleted{ID: id})
}

// list returns all pages.
func (d *desk) list(q deadletter.Query) []deadletter.Letter {
	d.t.Helper()
	var out []deadletter.Letter
	for {
		page, next, err := d.letters.List(d.t.Context(), q)
		must(d.t, err)
		if len(page) > q.Limit {
			d.t.Fatalf("a page of %d letters", len(page))
		}
		out = append(out, page...)
		if q.Cursor = next; next == "" {
			return out
		}
	}
}

func times(letters []deadletter.Letter) []time.Time {
	out := make([]time.Time, len(letters))
	for i, l := range letters {
		out[i] = l.DiedAt
	}
	return out
}

func all(tenant string) deadletter.Query { return deadletter.Query{Tenant: tenant, Limit: 2} }

func TestALetterTellsItsStory(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	e := batch("a", 7)
	e.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	before := time.Now()
	d.bury(broken(), e)
	got := d.list(all("a"))
	if len(got) != 1 {
		t.Fatalf("%d letters", len(got))
	}
	l := got[0]
	if l.Tenant != "a" || l.Stage != broker.ConsumerIngestorEmbed || l.Kind != event.KindChunksReady || l.Stream != broker.StreamIngest ||
		l.Subject != "rag.document.v1.embed.a" || l.EventID != e.ID || l.About != "doc" || l.Attempts != 1 || l.Redrives != 0 ||
		l.Class != fault.Permanent || l.Code != "bad_news" || l.Message != "it broke" || l.Reason != "it broke: private" ||
		l.TraceID != "0af7651916cd43dd8448eb211c80319c" || !strings.HasPrefix(l.Worker, "w@") || l.Bytes == 0 || l.Truncated {
		t.Errorf("%+v", l)
	}
	if l.FirstAt.Before(before.Add(-time.Second)) || l.DiedAt.Before(l.FirstAt) || l.DiedAt.After(time.Now().Add(time.Second)) {
		t.Errorf("from %s to %s", l.FirstAt, l.DiedAt)
	}
	full, err := d.letters.Get(t.Context(), "a", l.ID)
	must(t, err)
	if diff := cmp.Diff(l, full.Letter, cmp.AllowUnexported(deadletter.Letter{})); diff != "" {
		t.Error(diff)
	}
	if p := full.Payload(); !strings.Contains(string(p.JSON), `"batch":7`) || p.Cut || len(p.Withheld) > 0 {
		t.Errorf("%+v", p)
	}
}

func TestLettersAreSelectedAndPaged(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bury(broken(), batch("a", 1), removal("a", "one"), removal("a", "two"), batch("b", 1))
	d.bury(fault.Transientf("embedder_unavailable", "it is away"), batch("a", 2), removal("b", "two"), batch("a", 3))
	a := d.list(all("a"))
	if len(a) != 5 {
		t.Fatalf("%d letters of a", len(a))
	}
	if !slices.IsSortedFunc(a, func(x, y deadletter.Letter) int { return x.DiedAt.Compare(y.DiedAt) }) {
		t.Error("not oldest first")
	}
	for name, c := range map[string]struct {
		change func(*deadletter.Query)
		want   int
	}{
		"all":         {func(*deadletter.Query) {}, 5},
		"stage":       {func(q *deadletter.Query) { q.Stage = broker.ConsumerIngestorEmbed }, 3},
		"empty stage": {func(q *deadletter.Query) { q.Stage = broker.ConsumerGenerator }, 0},
		"kind":        {func(q *deadletter.Query) { q.Kind = event.KindDocumentDeleted }, 2},
		"class":       {func(q *deadletter.Query) { q.Class = "transient" }, 2},
		"code":        {func(q *deadletter.Query) { q.Code = "bad_news" }, 3},
		"both":        {func(q *deadletter.Query) { q.Code, q.Stage = "bad_news", broker.ConsumerIngestorEmbed }, 1},
		"neither":     {func(q *deadletter.Query) { q.Kind, q.Stage = event.KindDocumentDeleted, broker.ConsumerIngestorEmbed }, 0},
		"since":       {func(q *deadletter.Query) { q.Since = a[3].DiedAt }, 2},
		"until":       {func(q *deadletter.Query) { q.Until = a[3].DiedAt }, 3},
		"between":     {func(q *deadletter.Query) { q.Since, q.Until = a[1].DiedAt, a[2].DiedAt }, 1},
	} {
		for _, limit := range []int{1, 2, 100} {
			q := all("a")
			q.Limit = limit
			c.change(&q)
			if got := d.list(q); len(got) != c.want {
				t.Errorf("%s in pages of %d: %d letters, want %d; %v to %v of %v", name, limit, len(got), c.want, q.Since, q.Until, times(a))
			}
		}
	}
	for field, q := range map[string]deadletter.Query{
		"stage": {Tenant: "a", Limit: 1, Stage: "nobody"}, "kind": {Tenant: "a", Limit: 1, Kind: event.KindChatAnswered},
		"cursor": {Tenant: "a", Limit: 1, Cursor: "007-1"},
	} {
		if _, _, err := d.letters.List(t.Context(), q); !fault.Is(err, fault.Invalid) || fault.Field(err) != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestALetterIsItsTenantsOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bury(broken(), batch("a", 1))
	// What the server told of a message that is gone belongs to no tenant.
	_, err := d.bus.Publisher.Store(t.Context(), &nats.Msg{Subject: "rag.dead.v1." + worker.LostSubject + broker.StreamIngest, Header: nats.Header{}})
	must(t, err)
	id := d.list(all("a"))[0].ID
	for _, tenant := range []string{"b", "", "*", ">", broker.StreamIngest} {
		for _, try := range []string{id, strings.Replace(id, "1-", "2-", 1), "2-0000000000", "x", "", "99-" + id} {
			if _, err := d.letters.Get(t.Context(), tenant, try); !fault.Is(err, fault.NotFound) {
				t.Errorf("%q sees %q: %v", tenant, try, err)
			}
			if err := d.letters.Remove(t.Context(), tenant, try); !fault.Is(err, fault.NotFound) {
				t.Errorf("%q removes %q: %v", tenant, try, err)
			}
			if _, err := d.again.Redrive(t.Context(), tenant, try, true); !fault.Is(err, fault.NotFound) {
				t.Errorf("%q redrives %q: %v", tenant, try, err)
			}
		}
	}
	if n := d.bus.Messages(broker.StreamDead); n != 2 {
		t.Errorf("%d letters are left", n)
	}
}

func TestLettersAreRemoved(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bury(broken(), batch("a", 1), batch("a", 2), batch("a", 3), removal("a", "x"), batch("b", 1))
	id := d.list(all("a"))[0].ID
	must(t, d.letters.Remove(t.Context(), "a", id))
	if err := d.letters.Remove(t.Context(), "a", id); !fault.Is(err, fault.NotFound) {
		t.Errorf("removed twice: %v", err)
	}
	q := all("a")
	q.Kind = event.KindChunksReady
	before := len(d.list(q))
	removed := 0
	for {
		n, next, err := d.letters.RemoveAll(t.Context(), q)
		must(t, err)
		removed += n
		if q.Cursor = next; next == "" {
			break
		}
	}
	if left := d.list(all("a")); removed != before || len(left)+removed != 3 || len(d.list(all("b"))) != 1 {
		t.Errorf("%d of %d removed, %d left", removed, before, len(left))
	}
}

func TestLettersAreCounted(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := deadletter.NewCollector(t.Context(), d.bus.JS)
	registry := prometheus.NewRegistry()
	must(t, registry.Register(c))
	d.bury(broken(), batch("a", 1), batch("b", 2), removal("a", "x"))
	_, err := d.bus.Publisher.Store(t.Context(), &nats.Msg{Subject: "rag.dead.v1." + worker.LostSubject + "x", Header: nats.Header{}})
	must(t, err)
	const other = "other"
	var want strings.Builder
	want.WriteString("# HELP ragbus_dead_letters Work that was given up and waits for an operator.\n# TYPE ragbus_dead_letters gauge\n")
	counts := map[string]int{"ingestor-embed permanent": 2, "ingestor-extract permanent": 1, other + " " + other: 1}
	for _, stage := range deadletter.Stages() {
		counts[stage+" permanent"] += 0
		counts[stage+" transient"] += 0
	}
	for key, n := range counts {
		stage, class, _ := strings.Cut(key, " ")
		fmt.Fprintf(&want, "ragbus_dead_letters{class=%q,stage=%q} %d\n", class, stage, n)
	}
	must(t, testutil.CollectAndCompare(c, strings.NewReader(want.String())))
}

func TestLettersOfDocumentsAreShownOfAllTenants(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bury(broken(), batch("a", 1), batch("b", 2), removal("a", "x"), d.question("?", time.Minute))
	var got []string
	must(t, d.letters.EachOfDocuments(t.Context(), func(l deadletter.Letter, e event.Event) error {
		if l.Tenant != e.Tenant || l.Kind != e.Data.Kind() {
			t.Errorf("%+v is of %+v", l, e)
		}
		got = append(got, fmt.Sprint(l.Kind, " ", l.Tenant))
		return nil
	}))
	slices.Sort(got)
	want := []string{fmt.Sprint(event.KindChunksReady, " a"), fmt.Sprint(event.KindChunksReady, " b"), fmt.Sprint(event.KindDocumentDeleted, " a")}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("shown %q, want %q", got, want)
	}
	if err := d.letters.EachOfDocuments(t.Context(), func(deadletter.Letter, event.Event) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Errorf("after enough: %v", err)
	}
}

var errEnough = errors.New("enough")

func TestAChatsContentIsNotShown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.bury(broken(), d.question("secret question", time.Minute))
	l := d.list(all("a"))[0]
	full, err := d.letters.Get(t.Context(), "a", l.ID)
	must(t, err)
	p := full.Payload()
	if strings.Contains(string(p.JSON)+p.Text, "secret") || !slices.Contains(p.Withheld, "question") || !strings.Contains(string(p.JSON), `"question_bytes":15`) {
		t.Errorf("%s %+v", p.JSON, p)
	}
}

// question is a chat that its record knows.
func (d *desk) question(text string, within time.Duration) event.Event {
	d.t.Helper()
	q := conversation.Question{
		Caller: conversation.Caller{Tenant: "a", Owner: "someone"}, ID: corpus.NewID(), Digest: "d", Text: text, AskedAt: d.now, Deadline: d.now.Add(within),
	}
	turn, _, err := d.chats.Accept(d.t.Context(), q)
	must(d.t, err)
	e := event.New("a", d.now, event.ChatAsked{ID: q.ID, ConversationID: turn.Question.ConversationID, Owner: q.Owner, Question: text, AskedAt: d.now})
	e.Deadline = q.Deadline
	return e
}

// upload is a document that the catalog knows.
func (d *desk) upload(id string) catalog.Ref {
	d.t.Helper()
	doc, _, err := d.docs.Accept(d.t.Context(), catalog.Upload{
		Tenant: "a", ID: id, Collection: "default", Filename: "x.txt", Bytes: 1, SHA256: strings.Repeat("a", 64), BlobKey: "documents/" + id,
	})
	must(d.t, err)
	return catalog.Ref{Tenant: "a", ID: id, Generation: doc.Generation}
}

func FuzzIDsAndCursors(f *testing.F) {
	for _, s := range []string{"1-0", "", "-", "18446744073709551616-1", "1-2-3", "０-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		deadletter.CheckReading(t, s)
	})
}
