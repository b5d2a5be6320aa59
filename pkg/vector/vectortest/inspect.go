package vectortest

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// index returns the store as one that can be inspected: all of ours can.
func (f fixture) index(t *testing.T) vector.Index {
	t.Helper()
	index, ok := f.Store.(vector.Index)
	if !ok {
		t.Fatalf("%T is no vector.Inspector", f.Store)
	}
	return index
}

func (f fixture) inspect(t *testing.T, id string) vector.State { //nolint:unparam // reads like the others
	t.Helper()
	state, err := f.index(t).Inspect(t.Context(), "t", id)
	if err != nil {
		t.Fatalf("inspect %s: %v", id, err)
	}
	return state
}

// walk returns the points of each version, by "tenant/document/version".
func (f fixture) walk(t *testing.T, limit int) map[string]int {
	t.Helper()
	all := map[string]int{}
	from := ""
	for range 10_000 {
		part, next, err := f.index(t).Walk(t.Context(), from, limit)
		if err != nil {
			t.Fatalf("walk from %q: %v", from, err)
		}
		for _, h := range part {
			all[h.Tenant+"/"+h.Document+"/"+h.Version] += h.Points
		}
		if from = next; from == "" {
			return all
		}
	}
	t.Fatal("the walk has no end")
	return nil
}

func inspection(t *testing.T, f fixture) {
	state := f.inspect(t, "a")
	if state.Generation != 0 || state.Live != "" || len(state.Points) > 0 {
		t.Errorf("of a document that was never seen: %+v", state)
	}
	doc := document("a")
	doc.ACL, doc.Metadata = []string{"crew"}, map[string]any{"year": 2026.0}
	f.upsert(t, doc, points("the quick fox", "a lazy dog"))
	same(t, "dark", vector.State{Generation: 1, Points: map[string]int{"v1": 2}}, visibleState(f.inspect(t, "a")))
	f.activate(t, doc)
	live := vector.State{Generation: 1, Live: "v1", Collection: "c", ACL: doc.ACL, Metadata: doc.Metadata, Points: map[string]int{"v1": 2}}
	same(t, "live", live, visibleState(f.inspect(t, "a")))
	next := doc
	next.Version, next.Generation = "v2", 3
	f.upsert(t, next, points("a fox of another version"))
	live.Generation, live.Points = 3, map[string]int{"v1": 2, "v2": 1}
	same(t, "with a version on its way", live, visibleState(f.inspect(t, "a")))
	doc.ACL, doc.Metadata = nil, nil
	if err := f.SetAttributes(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	if now := f.inspect(t, "a"); now.ACL != nil || len(now.Metadata) > 0 {
		t.Errorf("after a change for everyone: %+v", now)
	}
	if err := f.Delete(t.Context(), "t", "a", 4); err != nil {
		t.Fatal(err)
	}
	if gone := f.inspect(t, "a"); gone.Generation != 4 || gone.Deleted != 4 || gone.Live != "" || len(gone.Points) > 0 {
		t.Errorf("deleted: %+v", gone)
	}
}

// visibleState is a state without what means nothing while no version is live.
func visibleState(s vector.State) vector.State {
	if s.Live == "" {
		s.Collection, s.ACL, s.Metadata = "", nil, nil
	}
	return s
}

func walking(t *testing.T, f fixture) {
	same(t, "an empty index", map[string]int{}, f.walk(t, 10))
	want := map[string]int{}
	for i := range 7 {
		doc := document(fmt.Sprint("d", i))
		var texts []string
		for j := range i + 1 {
			texts = append(texts, fmt.Sprintf("part %d of document %d", j, i))
		}
		f.live(t, doc, texts...)
		want["t/"+doc.ID+"/v1"] = len(texts)
	}
	other := document("d1")
	other.Tenant, other.Version = "u", "v9"
	f.upsert(t, other, points("dark and of another tenant"))
	want["u/d1/v9"] = 1
	for _, limit := range []int{1, 3, 1000} {
		same(t, fmt.Sprintf("by %d", limit), want, f.walk(t, limit))
	}
	if err := f.Delete(t.Context(), "t", "d3", 2); err != nil {
		t.Fatal(err)
	}
	delete(want, "t/d3/v1")
	same(t, "without the deleted one", want, maps.Clone(f.walk(t, 2)))
	if _, _, err := f.index(t).Walk(t.Context(), "nowhere", 10); !fault.Is(err, fault.Invalid) {
		t.Errorf("from nowhere: %v", err)
	}
}

func forgetting(t *testing.T, f fixture) {
	doc := document("a")
	doc.Generation = 5
	f.live(t, doc, "the quick fox")
	other := document("b")
	f.live(t, other, "another fox")
	index := f.index(t)
	if err := index.Forget(t.Context(), "t", "a", 4); err != nil {
		t.Fatal(err)
	}
	same(t, "what is newer stays", []string{"a.v1.0", "b.v1.0"}, sorted(f.keyword(t, "fox")))
	for range 2 {
		if err := index.Forget(t.Context(), "t", "a", 5); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "forgotten", []string{"b.v1.0"}, f.keyword(t, "fox"))
	same(t, "the others", map[string]int{"t/b/v1": 1}, f.walk(t, 10))
	if state := f.inspect(t, "a"); state.Generation != 0 || state.Deleted != 0 {
		t.Errorf("it remembers %+v", state)
	}
	doc.Generation = 1
	f.live(t, doc, "a fox that begins anew")
	same(t, "begun anew", []string{"a.v1.0", "b.v1.0"}, sorted(f.keyword(t, "fox")))
	if err := index.Delete(t.Context(), "t", "b", 9); err != nil {
		t.Fatal(err)
	}
	if err := index.Upsert(t.Context(), other, nil); !errors.Is(err, vector.ErrStale) {
		t.Errorf("a deletion is not forgotten by itself: %v", err)
	}
	if err := index.Forget(t.Context(), "t", "b", 9); err != nil {
		t.Fatal(err)
	}
	f.live(t, other, "another fox")
	if err := index.Forget(t.Context(), "t", "never there", 9); !fault.Is(err, fault.Invalid) {
		t.Errorf("an id that is none: %v", err)
	}
}
