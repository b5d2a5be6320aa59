package qdrantvector_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
	"github.com/ragbus/ragbus/pkg/vector/qdrantvector"
)

// filled returns a record of documents, all states among them, and an index that holds them.
func filled(t *testing.T, cfg qdrantvector.Config) (*record, *qdrantvector.Store) {
	t.Helper()
	r, s := &record{}, open(t, cfg)
	for i := range 20 {
		doc := documentOf(fmt.Sprintf("d%02d", i))
		doc.Metadata = map[string]any{"n": float64(i)}
		if i%4 == 0 {
			doc.ACL = []string{"group:x"}
		}
		texts := []string{fmt.Sprintf("fox number %d", i), "a lazy dog"}
		live(t, s, doc, texts...)
		r.set(doc, qdrantvector.Live, texts...)
	}
	gone := documentOf("gone")
	gone.Generation = 7
	if err := s.Delete(t.Context(), "t", "gone", 7); err != nil {
		t.Fatal(err)
	}
	r.set(gone, qdrantvector.Gone)
	return r, s
}

func TestARebuildReplacesALostIndex(t *testing.T) {
	t.Parallel()
	cfg := config(qdranttest.Start(t, qdranttest.Options{}))
	cfg.Grace = time.Millisecond
	r, s := filled(t, cfg)
	dark := documentOf("dark")
	r.set(dark, qdrantvector.Dark, "a fox that is", "being indexed")
	before := hybrid(t, s, "fox 7", "group:x")
	h, err := s.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw := rawClient(t, strings.TrimPrefix(cfg.URL, "qdrant://"))
	if err := raw.DeleteCollection(t.Context(), h.Collection); err != nil {
		t.Fatal(err)
	}

	err = s.Upsert(t.Context(), documentOf("x"), pointsOf("x"))
	if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "index_missing" {
		t.Errorf("a write without an index: %v", err)
	}
	if code, _ := fault.Public(s.Ready(t.Context())); code != "index_missing" {
		t.Errorf("ready without an index: %v", s.Ready(t.Context()))
	}

	report, err := qdrantvector.Reindex(t.Context(), cfg, r)
	if err != nil {
		t.Fatal(err)
	}
	if report.Points != 42 || report.Documents < 22 || report.Late != 0 {
		t.Errorf("%+v", report)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	expect(t, "hits", before, hybrid(t, s, "fox 7", "group:x"))
	if err := s.Upsert(t.Context(), documentOf("gone"), nil); !errors.Is(err, vector.ErrStale) {
		t.Errorf("the deletion is forgotten: %v", err)
	}
	if n, err := s.Count(t.Context(), "t", "dark", "v1"); n != 2 || err != nil {
		t.Errorf("%d dark points, %v", n, err)
	}
	if err := s.Activate(t.Context(), dark); err != nil {
		t.Error(err)
	}
	expect(t, "with the one that went live", len(before)+2, len(hybrid(t, s, "fox 7", "group:x")))
}

// TestARebuildIsContinued stops a rebuild at every document, in each pass.
func TestARebuildIsContinued(t *testing.T) {
	t.Parallel()
	cfg := config(qdranttest.Start(t, qdranttest.Options{}))
	cfg.Grace = time.Millisecond
	r, s := filled(t, cfg)
	before := hybrid(t, s, "fox 3")
	for stop := 1; stop < 60; stop += 7 {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		r.between = func(int) {
			if n++; n == stop {
				cancel()
			}
		}
		if _, err := qdrantvector.Reindex(ctx, cfg, r); err == nil {
			t.Errorf("a rebuild that was cancelled at %d succeeded", stop)
		}
		cancel()
		expect(t, fmt.Sprint("hits after ", stop), before, hybrid(t, s, "fox 3"))
	}
	r.between = nil
	report, err := qdrantvector.Reindex(t.Context(), cfg, r)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "hits at the end", before, hybrid(t, s, "fox 3"))
	h, err := s.Health(t.Context())
	if err != nil || h.Rebuilding != "" || h.Collection != report.Collection {
		t.Errorf("%+v, %v; report %+v", h, err, report)
	}
	names, err := rawClient(t, strings.TrimPrefix(cfg.URL, "qdrant://")).ListCollections(t.Context())
	if err != nil || len(names) != 1 || names[0] != h.Collection {
		t.Errorf("collections %v, %v", names, err)
	}
}

// TestWritesDuringARebuildArePartOfIt changes documents of every kind at every
// step of a rebuild, and searches all along.
func TestWritesDuringARebuildArePartOfIt(t *testing.T) {
	t.Parallel()
	cfg := config(qdranttest.Start(t, qdranttest.Options{}))
	cfg.Grace = 50 * time.Millisecond
	r, s := filled(t, cfg)
	step := 0
	r.between = func(int) {
		step++
		added := documentOf(fmt.Sprintf("new%03d", step))
		live(t, s, added, "a new fox")
		r.set(added, qdrantvector.Live, "a new fox")
		id := fmt.Sprintf("d%02d", step%20)
		if step%20 == 13 {
			deleted := documentOf(id)
			deleted.Generation = int64(100 * step)
			r.set(deleted, qdrantvector.Gone)
			if err := s.Delete(t.Context(), "t", id, deleted.Generation); err != nil {
				t.Error(err)
			}
			return
		}
		changed := documentOf(id)
		changed.Version, changed.Generation = fmt.Sprintf("v%d", step), int64(100*step+1)
		live(t, s, changed, "a changed fox")
		r.set(changed, qdrantvector.Live, "a changed fox")
		if err := s.Sweep(t.Context(), changed); err != nil {
			t.Error(err)
		}
		changed.ACL = []string{"group:y"}
		r.set(changed, qdrantvector.Live, "a changed fox")
		if err := s.SetAttributes(t.Context(), changed); err != nil {
			t.Error(err)
		}
	}
	if _, err := qdrantvector.Reindex(t.Context(), cfg, r); err != nil {
		t.Fatal(err)
	}
	r.between = nil
	compareWithRecord(t, r, s)
}

func compareWithRecord(t *testing.T, r *record, s *qdrantvector.Store) {
	t.Helper()
	for _, principals := range [][]string{nil, {"group:x"}, {"group:y"}} {
		scope, err := corpus.NewScope("t", principals...)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, found := range r.rows {
			if found.state != qdrantvector.Live || !scope.Sees(found.doc.ACL) {
				continue
			}
			for i, text := range found.texts {
				if strings.Contains(text, "fox") {
					want = append(want, corpus.ChunkRef{Tenant: "t", Document: found.doc.ID, Version: found.doc.Version, Ordinal: i}.ID())
				}
			}
		}
		slices.Sort(want)
		hits, err := s.Search(t.Context(), vector.Query{Scope: scope, Mode: vector.Keyword, Text: "fox", Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, fmt.Sprint("what ", principals, " see"), want, idsOf(hits))
	}
}

// TestABatchBeforeARebuildIsNotLost indexes a document whose first batch was
// written before the rebuild began and whose last after.
func TestABatchBeforeARebuildIsNotLost(t *testing.T) {
	t.Parallel()
	cfg := config(qdranttest.Start(t, qdranttest.Options{}))
	cfg.Grace = time.Millisecond
	r, s := filled(t, cfg)
	doc, p := documentOf("late"), pointsOf("one fox", "two foxes", "three foxes")
	if err := s.Upsert(t.Context(), doc, p[:2]); err != nil {
		t.Fatal(err)
	}
	r.between = func(n int) {
		if n != 5 {
			return
		}
		if err := errors.Join(s.Upsert(t.Context(), doc, p[2:]), s.Activate(t.Context(), doc)); err != nil {
			t.Error(err)
		}
	}
	if _, err := qdrantvector.Reindex(t.Context(), cfg, r); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Count(t.Context(), "t", "late", "v1"); n != 3 || err != nil {
		t.Errorf("%d points, %v", n, err)
	}
	found := 0
	for _, id := range idsOf(hybrid(t, s, "fox")) {
		if strings.HasPrefix(id, "late.") {
			found++
		}
	}
	expect(t, "chunks found", 3, found)
}

// TestARebuildReplacesAnIndexOfAnotherRelease rebuilds what Open refuses.
func TestARebuildReplacesAnIndexOfAnotherRelease(t *testing.T) {
	t.Parallel()
	cfg := config(qdranttest.Start(t, qdranttest.Options{}))
	cfg.Grace = time.Millisecond
	r, s := filled(t, cfg)
	before := hybrid(t, s, "fox 3")
	raw := rawClient(t, strings.TrimPrefix(cfg.URL, "qdrant://"))
	h, err := s.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.SetPayload(t.Context(), &qdrant.SetPayloadPoints{
		CollectionName: h.Collection, Payload: qdrant.NewValueMap(map[string]any{"layout": 0}),
		PointsSelector: qdrant.NewPointsSelector(markerOf(t, raw, h.Collection)),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := qdrantvector.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "ragbus reindex") {
		t.Errorf("open: %v", err)
	}
	if _, err := qdrantvector.Reindex(t.Context(), cfg, r); err != nil {
		t.Fatal(err)
	}
	expect(t, "hits", before, hybrid(t, open(t, cfg), "fox 3"))
}

func markerOf(t *testing.T, raw *qdrant.Client, collection string) *qdrant.PointId {
	t.Helper()
	points, err := raw.Scroll(t.Context(), &qdrant.ScrollPoints{
		CollectionName: collection, Limit: new(uint32(1000)), WithPayload: qdrant.NewWithPayload(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		if p.GetPayload()["profile"] != nil {
			return p.GetId()
		}
	}
	t.Fatal("there is no marker")
	return nil
}

// TestAccessIsNotWidenedByARebuild closes a document while its rebuild holds
// what it was before, in every pass.
func TestAccessIsNotWidenedByARebuild(t *testing.T) {
	t.Parallel()
	cfg := config(qdranttest.Start(t, qdranttest.Options{}))
	cfg.Grace = time.Millisecond
	s := open(t, cfg)
	doc := documentOf("a")
	live(t, s, doc, "a fox")
	changes := 0
	r := &closing{record: record{}, close: func(r *record) {
		changes++
		doc.ACL = []string{fmt.Sprint("group:", changes)}
		r.set(doc, qdrantvector.Live, "a fox")
		if err := s.SetAttributes(t.Context(), doc); err != nil {
			t.Error(err)
		}
	}}
	r.set(doc, qdrantvector.Live, "a fox")
	if _, err := qdrantvector.Reindex(t.Context(), cfg, r); err != nil {
		t.Fatal(err)
	}
	expect(t, "changes, one in each pass", 3, changes)
	expect(t, "what the last group sees", []string{"a.v1.0"}, idsOf(hybrid(t, s, "fox", "group:3")))
	expect(t, "what the others see", []string{}, idsOf(hybrid(t, s, "fox", "group:1", "group:2")))
}
