package vectortest

import (
	"errors"
	"slices"
	"testing"

	"github.com/ragbus/ragbus/pkg/vector"
)

func darkUntilActivated(t *testing.T, f fixture) {
	doc := document("a")
	f.upsert(t, doc, points("the quick fox", "a lazy dog"))
	same(t, "before", []string{}, f.keyword(t, "fox"))
	if hits := f.search(t, vector.Query{Scope: scope(t, "t"), Mode: vector.Dense, Dense: Vector("fox")}); len(hits) > 0 {
		t.Errorf("a dense search sees dark points: %v", ids(hits))
	}
	f.activate(t, doc)
	same(t, "after", []string{"a.v1.0"}, f.keyword(t, "fox"))
}

func newVersionReplaces(t *testing.T, f fixture) {
	doc := document("a")
	f.live(t, doc, "the quick fox", "the lazy fox")
	doc.Version, doc.Generation = "v2", 2
	f.upsert(t, doc, points("a fox of another version"))
	same(t, "old version", []string{"a.v1.0", "a.v1.1"}, sorted(f.keyword(t, "fox")))
	f.activate(t, doc)
	same(t, "new version", []string{"a.v2.0"}, f.keyword(t, "fox"))
	doc.Version, doc.Generation = "v1", 3
	f.activate(t, doc)
	same(t, "back", []string{"a.v1.0", "a.v1.1"}, sorted(f.keyword(t, "fox")))
}

func movesCollection(t *testing.T, f fixture) {
	doc := document("a")
	f.live(t, doc, "the quick fox")
	doc.Collection, doc.Generation = "d", 2
	f.activate(t, doc)
	q := vector.Query{Scope: scope(t, "t"), Mode: vector.Keyword, Text: "fox", Collections: []string{"c"}}
	same(t, "old collection", []string{}, ids(f.search(t, q)))
	q.Collections = []string{"d"}
	hits := f.search(t, q)
	same(t, "new collection", []string{"a.v1.0"}, ids(hits))
	if len(hits) == 1 {
		same(t, "named in the hit", "d", hits[0].Collection)
	}
	same(t, "all collections", []string{"a.v1.0"}, f.keyword(t, "fox"))
}

func emptyVersion(t *testing.T, f fixture) {
	doc := document("a")
	f.live(t, doc, "the quick fox")
	doc.Version, doc.Generation = "v2", 2
	f.upsert(t, doc, nil)
	f.activate(t, doc)
	same(t, "after", []string{}, f.keyword(t, "fox"))
}

func upsertIsIdempotent(t *testing.T, f fixture) {
	doc := document("a")
	for range 3 {
		f.upsert(t, doc, points("the quick fox", "the lazy dog"))
		f.activate(t, doc)
	}
	same(t, "hits", []string{"a.v1.0"}, f.keyword(t, "fox"))
	f.count(t, "a", "v1", 2)
	changed := points("the quick cat")
	f.upsert(t, doc, changed)
	f.activate(t, doc)
	same(t, "replaced", []string{}, f.keyword(t, "fox"))
	same(t, "replacing", []string{"a.v1.0"}, f.keyword(t, "cat"))
	same(t, "the other point", []string{"a.v1.1"}, f.keyword(t, "dog"))
	f.count(t, "a", "v1", 2)
}

func (f fixture) count(t *testing.T, id, version string, want int) {
	t.Helper()
	got, err := f.Count(t.Context(), "t", id, version)
	if err != nil || got != want {
		t.Errorf("count of %s %s is %d (%v), want %d", id, version, got, err, want)
	}
}

func (f fixture) stale(t *testing.T, doc vector.Document) {
	t.Helper()
	for what, err := range map[string]error{
		"upsert":   f.Upsert(t.Context(), doc, points("late words")),
		"activate": f.Activate(t.Context(), doc),
		"sweep":    f.Sweep(t.Context(), doc),
	} {
		if !errors.Is(err, vector.ErrStale) {
			t.Errorf("late %s of generation %d: %v, want ErrStale", what, doc.Generation, err)
		}
	}
}

func lateWriters(t *testing.T, f fixture) {
	late, doc := document("a"), document("a")
	f.live(t, late, "the first fox")
	doc.Generation, doc.Version = 5, "v5"
	f.upsert(t, doc, points("the fifth fox"))
	f.stale(t, late)
	f.activate(t, doc)
	f.stale(t, late)
	same(t, "hits", []string{"a.v5.0"}, f.keyword(t, "fox"))
	same(t, "late words", []string{}, f.keyword(t, "late"))
	other := document("b")
	f.live(t, other, "a fox of another document")
	f.live(t, doc, "the fifth fox")
}

func deletion(t *testing.T, f fixture) {
	doc := document("a")
	doc.Generation = 3
	f.live(t, doc, "the quick fox")
	f.live(t, document("b"), "the other fox")
	dark := doc
	dark.Version = "v2"
	f.upsert(t, dark, points("a dark fox"))
	for range 2 {
		if err := f.Delete(t.Context(), "t", "a", 3); err != nil {
			t.Fatalf("delete: %v", err)
		}
		same(t, "hits", []string{"b.v1.0"}, f.keyword(t, "fox"))
	}
	f.count(t, "a", "v1", 0)
	f.count(t, "a", "v2", 0)
	f.stale(t, doc)
	doc.Generation = 2
	f.stale(t, doc)
	doc.Generation = 4
	f.live(t, doc, "the fox is back")
	same(t, "re-created", []string{"a.v1.0", "b.v1.0"}, sorted(f.keyword(t, "fox")))
	if err := f.Delete(t.Context(), "t", "unknown", 7); err != nil {
		t.Errorf("delete of an unknown document: %v", err)
	}
	unknown := document("unknown")
	unknown.Generation = 7
	f.stale(t, unknown)
}

func lateDeletion(t *testing.T, f fixture) {
	doc := document("a")
	f.live(t, doc, "the quick fox")
	doc.Generation = 5
	f.activate(t, doc)
	if err := f.Delete(t.Context(), "t", "a", 4); err != nil {
		t.Fatalf("delete: %v", err)
	}
	same(t, "hits", []string{"a.v1.0"}, f.keyword(t, "fox"))
	f.count(t, "a", "v1", 1)
	old := doc
	old.Generation = 4
	f.stale(t, old)
}

func sweeping(t *testing.T, f fixture) {
	doc := document("a")
	f.live(t, doc, "the quick fox")
	doc.Version, doc.Generation = "v2", 2
	f.live(t, doc, "the second fox")
	f.count(t, "a", "v1", 1)
	for range 2 {
		if err := f.Sweep(t.Context(), doc); err != nil {
			t.Fatalf("sweep: %v", err)
		}
	}
	f.count(t, "a", "v1", 0)
	f.count(t, "a", "v2", 1)
	same(t, "hits", []string{"a.v2.0"}, f.keyword(t, "fox"))
}

func attributesChange(t *testing.T, f fixture) {
	doc := document("a")
	doc.Metadata = map[string]any{"year": 2020.0}
	f.live(t, doc, "the quick fox")
	doc.ACL, doc.Metadata = []string{"group:x"}, map[string]any{"year": 2021.0}
	if err := f.SetAttributes(t.Context(), doc); err != nil {
		t.Fatalf("set attributes: %v", err)
	}
	same(t, "a stranger", []string{}, f.keyword(t, "fox"))
	q := vector.Query{Scope: scope(t, "t", "group:x"), Mode: vector.Keyword, Text: "fox", Filter: equals("year", 2021.0)}
	same(t, "a member", []string{"a.v1.0"}, ids(f.search(t, q)))
	q.Filter = equals("year", 2020.0)
	same(t, "the old year", []string{}, ids(f.search(t, q)))
	if err := f.SetAttributes(t.Context(), document("unknown")); err != nil {
		t.Errorf("unknown document: %v", err)
	}
	doc.ACL = nil
	f.activate(t, doc)
	same(t, "activated as public", []string{"a.v1.0"}, f.keyword(t, "fox"))
}

func counting(t *testing.T, f fixture) {
	doc := document("a")
	f.count(t, "a", "v1", 0)
	f.upsert(t, doc, points("one", "two"))
	f.count(t, "a", "v1", 2)
	f.upsert(t, doc, []vector.Point{{Ordinal: 7, Text: "no vector"}})
	f.count(t, "a", "v1", 3)
	f.activate(t, doc)
	f.count(t, "a", "v1", 3)
	f.count(t, "a", "v2", 0)
	if n, err := f.Count(t.Context(), "u", "a", "v1"); n != 0 || err != nil {
		t.Errorf("another tenant counts %d (%v)", n, err)
	}
}

func reopened(t *testing.T, f fixture) {
	doc := document("a")
	doc.ACL = []string{"group:x"}
	doc.Metadata = map[string]any{"k": "v", "n": 1.5, "b": true}
	f.live(t, doc, "the quick fox", "a lazy dog")
	f.live(t, document("b"), "another fox")
	dark := document("b")
	dark.Version, dark.Generation = "v2", 2
	f.upsert(t, dark, points("a dark fox"))
	f.live(t, document("gone"), "a dead fox")
	if err := f.Delete(t.Context(), "t", "gone", 1); err != nil {
		t.Fatal(err)
	}
	if f.caps.Reopen == nil {
		return
	}
	q := vector.Query{Scope: scope(t, "t", "group:x"), Mode: vector.Hybrid, Text: "fox", Dense: Vector("fox")}
	before := f.search(t, q)
	g := fixture{Store: f.caps.Reopen(t, f.Store), caps: f.caps}
	same(t, "hits", before, g.search(t, q))
	q.Filter = append(equals("k", "v"), append(equals("n", 1.5), equals("b", true)...)...)
	same(t, "filtered", []string{"a.v1.0", "a.v1.1"}, sorted(ids(g.search(t, q))))
	same(t, "public", []string{"b.v1.0"}, g.keyword(t, "fox"))
	g.stale(t, document("gone"))
	g.stale(t, document("b"))
	g.activate(t, dark)
	same(t, "the dark version", []string{"b.v2.0"}, g.keyword(t, "fox"))
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
