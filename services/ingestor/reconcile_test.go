package ingestor

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/deadletter"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/reconcile"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
	"github.com/ragbus/ragbus/pkg/vector/qdrantvector"
)

// verify compares everything, with bounds that leave nothing out.
func (s *stack) verify(t *testing.T, repair bool) reconcile.Report {
	t.Helper()
	queue, err := s.broker.JS.Stream(t.Context(), broker.StreamIngest)
	check(t, err)
	c := reconcile.New(reconcile.Config{Repair: repair, Stuck: time.Nanosecond}, reconcile.Parts{
		Record: s.deps.Record, Blobs: s.blobs, Index: s.index, Publish: s.broker.Publisher.Publish,
		Letters: deadletter.NewStore(s.broker.JS), Log: slog.New(slog.DiscardHandler),
	})
	report, err := c.All(t.Context(), queue)
	check(t, err)
	return report
}

func kinds(r reconcile.Report) []reconcile.Kind {
	var out []reconcile.Kind
	for _, d := range r.Differences {
		out = append(out, d.Kind)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// rested waits until no document moves any more.
func (s *stack) rested(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		docs, err := s.catalog.Changed(ctx, time.Time{}, "", "", 100)
		check(t, err)
		queue, err := s.broker.JS.Stream(ctx, broker.StreamIngest)
		check(t, err)
		moving := queue.CachedInfo().State.Msgs > 0 ||
			slices.ContainsFunc(docs, func(d corpus.Document) bool { return !d.Status.Settled() })
		if !moving {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("still moving: %+v, %d messages", docs, queue.CachedInfo().State.Msgs)
		case <-look.C:
		}
	}
}

func (s *stack) book(t *testing.T) corpus.Document {
	t.Helper()
	doc, err := s.catalog.Document(t.Context(), corpus.DefaultTenant, "book")
	check(t, err)
	return doc
}

func (s *stack) exec(t *testing.T, text string, args ...any) {
	t.Helper()
	check(t, s.db.AllTenants().Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, text, args...)
		return err
	}))
}

// dark writes one point of another version of the book.
func (s *stack) dark(t *testing.T, generation int64) vector.Document {
	t.Helper()
	other := indexed(s.book(t))
	other.Version, other.Generation = "another", generation
	check(t, s.index.Upsert(t.Context(), other, []vector.Point{{Ordinal: 0, Text: "a herring of another version"}}))
	return other
}

// damage makes one difference, or some, on a stack that has indexed "book".
type damage struct {
	name string
	do   func(t *testing.T, s *stack)
	want []reconcile.Kind
	// lasts says that no repair can mend it.
	lasts bool
	// gone says that the book is deleted at the end.
	gone bool
}

func damages() []damage {
	return []damage{
		{name: "all points are lost", want: []reconcile.Kind{reconcile.OtherVersion, reconcile.PointsMissing}, do: func(t *testing.T, s *stack) {
			t.Helper()
			check(t, s.index.Forget(t.Context(), corpus.DefaultTenant, "book", 1))
		}},
		{name: "points of a version that was replaced", want: []reconcile.Kind{reconcile.PointsSurplus}, do: func(t *testing.T, s *stack) {
			t.Helper()
			s.dark(t, 1)
		}},
		{name: "more points than chunks", want: []reconcile.Kind{reconcile.PointsSurplus}, do: func(t *testing.T, s *stack) {
			t.Helper()
			doc := s.book(t)
			check(t, s.index.Upsert(t.Context(), indexed(doc), []vector.Point{{Ordinal: doc.Chunks, Text: "one herring too many"}}))
			check(t, s.index.Activate(t.Context(), indexed(doc)))
		}},
		{name: "another version is live", want: []reconcile.Kind{reconcile.OtherVersion, reconcile.PointsSurplus}, do: func(t *testing.T, s *stack) {
			t.Helper()
			check(t, s.index.Activate(t.Context(), s.dark(t, 1)))
		}},
		{name: "the index has seen later generations", want: []reconcile.Kind{reconcile.IndexAhead}, do: func(t *testing.T, s *stack) {
			t.Helper()
			later := indexed(s.book(t))
			later.Generation = 40
			check(t, s.index.Upsert(t.Context(), later, nil))
		}},
		{name: "the index has seen a deletion that the record has not", want: []reconcile.Kind{reconcile.IndexAhead, reconcile.OtherVersion, reconcile.PointsMissing}, do: func(t *testing.T, s *stack) {
			t.Helper()
			check(t, s.index.Delete(t.Context(), corpus.DefaultTenant, "book", 40))
		}},
		{name: "the acl of before", want: []reconcile.Kind{reconcile.AttributesStale}, do: func(t *testing.T, s *stack) {
			t.Helper()
			old := indexed(s.book(t))
			old.ACL = []string{"crew"}
			check(t, s.index.SetAttributes(t.Context(), old))
		}},
		{name: "texts are lost", want: []reconcile.Kind{reconcile.ChunksMissing}, do: func(t *testing.T, s *stack) {
			t.Helper()
			s.exec(t, "delete from chunks where document = 'book' and ordinal = 1")
		}},
		{name: "bytes are lost", lasts: true, want: []reconcile.Kind{reconcile.BytesMissing}, do: func(t *testing.T, s *stack) {
			t.Helper()
			check(t, s.blobs.Delete(t.Context(), s.blobKeys(t)[0]))
		}},
		{name: "a process died before it deleted the bytes of an upload that changed nothing", want: []reconcile.Kind{reconcile.BytesOrphaned}, do: func(t *testing.T, s *stack) {
			t.Helper()
			if _, outcome := s.accept(t, "book", "book.md", book("herring", 70)); outcome != catalog.Unchanged {
				t.Fatalf("outcome %d", outcome)
			}
		}},
		{name: "a process died before it recorded an upload", want: []reconcile.Kind{reconcile.BytesOrphaned}, do: func(t *testing.T, s *stack) {
			t.Helper()
			key, err := blob.Key(corpus.DefaultTenant, "gateway", corpus.NewID())
			check(t, err)
			_, err = s.blobs.Put(t.Context(), key, bytes.NewReader([]byte("never accepted")), blob.PutOptions{})
			check(t, err)
		}},
		{name: "an upload whose event was never published", want: []reconcile.Kind{reconcile.Stuck}, do: func(t *testing.T, s *stack) {
			t.Helper()
			s.accept(t, "book", "book.md", book("herring", 71))
		}},
		{name: "a deletion whose event was never published", gone: true, want: []reconcile.Kind{reconcile.Stuck}, do: func(t *testing.T, s *stack) {
			t.Helper()
			_, err := s.catalog.Delete(t.Context(), mustScope(t), "book")
			check(t, err)
		}},
		{name: "points of a document that is not on record", want: []reconcile.Kind{reconcile.PointsOrphaned}, do: func(t *testing.T, s *stack) {
			t.Helper()
			ghost := vector.Document{Tenant: corpus.DefaultTenant, Collection: "default", ID: "ghost", Version: "v", Generation: 9}
			check(t, s.index.Upsert(t.Context(), ghost, []vector.Point{{Ordinal: 0, Text: "a ghost"}, {Ordinal: 1, Text: "another"}}))
			check(t, s.index.Activate(t.Context(), ghost))
		}},
		{name: "points of a deleted document", gone: true, want: []reconcile.Kind{reconcile.IndexAhead, reconcile.PointsSurplus}, do: func(t *testing.T, s *stack) {
			t.Helper()
			again := indexed(s.book(t))
			doc, err := s.catalog.Delete(t.Context(), mustScope(t), "book")
			check(t, err)
			s.publish(t, event.DocumentDeleted{ID: "book", Generation: doc.Generation})
			s.rested(t)
			again.Generation = doc.Generation + 5
			check(t, s.index.Upsert(t.Context(), again, []vector.Point{{Ordinal: 0, Text: "a herring that came back"}}))
			check(t, s.index.Activate(t.Context(), again))
		}},
		{name: "dark points of a version that failed", lasts: false, want: []reconcile.Kind{reconcile.PointsSurplus}, do: func(t *testing.T, s *stack) {
			t.Helper()
			doc := s.upload(t, "book", "book.pdf", "%PDF-1.7\n1 0 obj\n<< /Type /Cat")
			if doc.Status != corpus.Failed {
				t.Fatalf("it is %s", doc.Status)
			}
			s.dark(t, doc.Generation)
		}},
	}
}

// onQdrant puts the index into a stand-in for Qdrant.
func onQdrant(t *testing.T) option {
	t.Helper()
	return func(_ *Config, d *Deps) {
		profile := d.Embedder.Profile()
		s, err := qdrantvector.Open(t.Context(), qdrantvector.Config{
			URL: "qdrant://" + qdranttest.Start(t, qdranttest.Options{}), Dimensions: profile.Dimensions, ProfileKey: profile.Key(), Logger: d.Log,
		})
		check(t, err)
		t.Cleanup(func() { check(t, s.Close()) })
		d.Index = s
	}
}

func TestEveryDifferenceIsFoundAndMended(t *testing.T) {
	t.Parallel()
	for _, d := range damages() {
		for _, on := range []string{"embedded", "qdrant"} {
			t.Run(d.name+", "+on, func(t *testing.T) {
				t.Parallel()
				var options []option
				if on == "qdrant" {
					options = append(options, onQdrant(t))
				}
				s := start(t, scriptembed.Config{}, options...)
				s.whole(t, s.upload(t, "book", "book.md", book("herring", 70)))
				s.rested(t)
				if r := s.verify(t, false); len(r.Differences) > 0 || r.Documents != 1 || r.Points == 0 || r.Blobs != 1 {
					t.Fatalf("before: %+v", r)
				}
				texts := s.embedder.Texts()
				d.do(t, s)
				found := s.verify(t, false)
				if got := kinds(found); !slices.Equal(got, d.want) {
					t.Fatalf("found %v, want %v: %+v", got, d.want, found.Differences)
				}
				if again := s.verify(t, false); !slices.Equal(kinds(again), d.want) {
					t.Fatalf("looking changed it: %+v", again.Differences)
				}
				r := s.verify(t, true)
				if r.Mended() == d.lasts {
					t.Errorf("mended: %+v", r.Differences)
				}
				s.rested(t)
				after := s.verify(t, true)
				if d.lasts != (len(after.Differences) > 0) {
					t.Errorf("after the repair: %+v", after.Differences)
				}
				s.mended(t, d, texts)
			})
		}
	}
}

// mended fails unless searches see what the record says.
func (s *stack) mended(t *testing.T, d damage, texts int) {
	t.Helper()
	doc := s.book(t)
	hits := len(s.search(t, "herring"))
	switch {
	case d.gone:
		if doc.Status != corpus.Deleted || hits > 0 || len(s.blobKeys(t)) > 0 {
			t.Errorf("left of the deleted: %+v, %d hits", doc, hits)
		}
	case doc.Status == corpus.Failed:
		if hits == 0 {
			t.Error("the live version is gone with the one that failed")
		}
	default:
		s.whole(t, doc)
		if hits == 0 {
			t.Error("the book is not found")
		}
		// An upload of 71 parts has a new one.
		if n := s.embedder.Texts() - texts; n > 2 {
			t.Errorf("%d texts were embedded again", n)
		}
	}
}

func TestWorkForADocumentThatIsNotOnRecordIsFound(t *testing.T) {
	t.Parallel()
	s := prepare(t, scriptembed.Config{})
	s.accept(t, "book", "book.md", book("herring", 2))
	s.publish(t, event.DocumentUploaded{ID: "book", Generation: 1})
	s.publish(t, event.ChunksReady{ID: "ghost", Generation: 1, Version: "v", To: 5})
	s.publish(t, event.DocumentDeleted{ID: "ghost", Generation: 2})
	s.publish(t, event.DocumentUploaded{ID: "to-come", DataRef: "file:///somewhere"})
	count := func(r reconcile.Report) (n int) {
		for _, d := range r.Differences {
			if d.Kind == reconcile.MessageOrphaned {
				n++
			}
		}
		return n
	}
	if r := s.verify(t, false); count(r) != 2 || r.Messages != 4 {
		t.Errorf("found %+v", r)
	}
	if r := s.verify(t, true); count(r) != 2 || !r.Mended() {
		t.Errorf("mended %+v", r.Differences)
	}
	// The repair has given the book's work out again.
	if r := s.verify(t, false); count(r) != 0 || r.Messages != 3 {
		t.Errorf("after the repair: %+v", r)
	}
}

// TestLettersOfDocumentsThatAreGoneAreFound: what can still be tried again stays.
func TestLettersOfDocumentsThatAreGoneAreFound(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.whole(t, s.upload(t, "book", "book.md", book("herring", 2)))
	s.whole(t, s.upload(t, "gone", "gone.md", book("salmon", 2)))
	doc, err := s.catalog.Delete(t.Context(), mustScope(t), "gone")
	check(t, err)
	s.publish(t, event.DocumentDeleted{ID: "gone", Generation: doc.Generation})
	s.rested(t)
	for id, data := range map[string]event.Payload{
		"of a document":              event.ChunksReady{ID: "book", Generation: 1, Version: "v", To: 5},
		"of a deleted one":           event.DocumentUploaded{ID: "gone", Generation: 1},
		"of an unknown one":          event.ChunksReady{ID: "ghost", Generation: 1, Version: "v", To: 5},
		"of its deletion":            event.DocumentDeleted{ID: "ghost", Generation: 2},
		"of one that is yet to come": event.DocumentUploaded{ID: "to-come", DataRef: "file:///somewhere"},
	} {
		m, err := event.Encode(event.New(corpus.DefaultTenant, time.Now(), data))
		check(t, err)
		m.Header[event.HeaderMsgID] = []string{id}
		_, err = s.broker.Publisher.Store(t.Context(), &nats.Msg{Subject: broker.DeadPrefix + m.Subject, Header: m.Header, Data: m.Data})
		check(t, err)
	}
	_, err = s.broker.Publisher.Store(t.Context(), &nats.Msg{
		Subject: broker.DeadPrefix + "rag.document.v1.embed.default", Header: nats.Header{event.HeaderMsgID: {"unreadable"}}, Data: []byte("{"),
	})
	check(t, err)
	r := s.verify(t, false)
	if got := kinds(r); r.Letters != 5 || len(r.Differences) != 3 || !slices.Equal(got, []reconcile.Kind{reconcile.LetterOrphaned}) {
		t.Fatalf("found %+v", r)
	}
	if r := s.verify(t, true); len(r.Differences) != 3 || !r.Mended() {
		t.Errorf("mended %+v", r.Differences)
	}
	if r := s.verify(t, true); len(r.Differences) != 0 || r.Letters != 2 {
		t.Errorf("after the repair: %+v", r)
	}
	if n := s.broker.Messages(broker.StreamDead); n != 3 {
		t.Errorf("%d letters are left", n)
	}
}

func TestAnIndexAheadOfARestoredRecordTakesWhatComes(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	// The record has forgotten the book, the index has not.
	old := vector.Document{Tenant: corpus.DefaultTenant, Collection: "default", ID: "book", Version: "v", Generation: 40}
	check(t, s.index.Upsert(t.Context(), old, []vector.Point{{Ordinal: 0, Text: "a salmon of before"}}))
	check(t, s.index.Activate(t.Context(), old))
	doc, _ := s.accept(t, "book", "book.md", book("herring", 2))
	s.publish(t, event.DocumentUploaded{ID: "book", Generation: doc.Generation})
	s.rested(t)
	doc = s.book(t)
	s.whole(t, doc)
	if doc.Generation <= 40 || len(s.search(t, "salmon")) > 0 {
		t.Errorf("generation %d, %d hits of before", doc.Generation, len(s.search(t, "salmon")))
	}
	check(t, s.index.Upsert(t.Context(), vector.Document{
		Tenant: corpus.DefaultTenant, Collection: "default", ID: "book", Version: doc.SHA256, Generation: 90,
	}, []vector.Point{{Ordinal: 0, Text: "written by a generation that was lost"}}))
	gone, err := s.catalog.Delete(t.Context(), mustScope(t), "book")
	check(t, err)
	s.publish(t, event.DocumentDeleted{ID: "book", Generation: gone.Generation})
	s.rested(t)
	state, err := s.index.Inspect(t.Context(), corpus.DefaultTenant, "book")
	check(t, err)
	if doc = s.book(t); doc.Status != corpus.Deleted || len(state.Points) > 0 {
		t.Errorf("after the deletion: %+v, %+v", doc, state)
	}
}
