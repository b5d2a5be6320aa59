package catalogtest

import (
	"fmt"
	"testing"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// pages reads a whole list, limit documents at a time.
func (f *fixture) pages(t *testing.T, q catalog.Query, between func()) []corpus.Document {
	t.Helper()
	var all []corpus.Document
	for {
		docs, next, err := f.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(docs) > q.Limit || next != "" && len(docs) < q.Limit {
			t.Fatalf("a page of %d has %d documents and a next one %q", q.Limit, len(docs), next)
		}
		all = append(all, docs...)
		if next == "" {
			return all
		}
		q.Cursor = next
		between()
	}
}

func listCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"documents come newest first and whole": func(t *testing.T, f *fixture) {
			for i := range 5 {
				f.accept(t, upload(fmt.Sprint("d", i), "one"), catalog.Created)
			}
			docs, next, err := f.List(t.Context(), catalog.Query{Scope: f.everyone})
			if err != nil || next != "" {
				t.Fatalf("next page %q, %v", next, err)
			}
			if got := ids(docs); got != "d4 d3 d2 d1 d0" {
				t.Errorf("got %s", got)
			}
			wantEqual(t, "a listed document", docs[0], f.current(t, "d4"))
		},
		"pages are stable while documents come, change and go": func(t *testing.T, f *fixture) {
			const n = 23
			for i := range n {
				f.accept(t, upload(fmt.Sprintf("d%02d", i), "one"), catalog.Created)
			}
			step := 0
			docs := f.pages(t, catalog.Query{Scope: f.everyone, Limit: 4}, func() {
				step++
				f.accept(t, upload(fmt.Sprint("new", step), "one"), catalog.Created)
				u := upload(fmt.Sprintf("d%02d", n-1), fmt.Sprint("changed ", step))
				f.accept(t, u, catalog.Replaced)
			})
			if len(docs) != n {
				t.Fatalf("got %s", ids(docs))
			}
			for i, d := range docs {
				if want := fmt.Sprintf("d%02d", n-1-i); d.ID != want {
					t.Errorf("document %d is %s, want %s", i, d.ID, want)
				}
			}
		},
		"a list is filtered by collection and status": func(t *testing.T, f *fixture) {
			for i := range 6 {
				u := upload(fmt.Sprint("d", i), "one")
				u.Collection = []string{"a", "b"}[i%2]
				doc := f.accept(t, u, catalog.Created)
				if i >= 3 {
					f.fail(t, doc, true)
				}
			}
			for _, c := range []struct {
				q    catalog.Query
				want string
			}{
				{catalog.Query{Collection: "a"}, "d4 d2 d0"},
				{catalog.Query{Status: corpus.Failed}, "d5 d4 d3"},
				{catalog.Query{Collection: "b", Status: corpus.Failed}, "d5 d3"},
				{catalog.Query{Collection: "c"}, ""},
				{catalog.Query{Status: corpus.Indexed}, ""},
			} {
				for _, scope := range []corpus.Scope{f.everyone, f.system} {
					c.q.Scope, c.q.Limit = scope, 2
					if got := ids(f.pages(t, c.q, func() {})); got != c.want {
						t.Errorf("%s, %s: got %s, want %s", c.q.Collection, c.q.Status, got, c.want)
					}
				}
			}
		},
		"tombstones are listed only when they are asked for": func(t *testing.T, f *fixture) {
			f.accept(t, upload("kept", "one"), catalog.Created)
			f.accept(t, upload("going", "one"), catalog.Created)
			f.delete(t, "going")
			f.reach(t, "gone", corpus.Deleted)
			for status, want := range map[corpus.Status]string{"": "going kept", corpus.Deleting: "going", corpus.Deleted: "gone"} {
				if got := ids(f.pages(t, catalog.Query{Scope: f.everyone, Status: status, Limit: 10}, func() {})); got != want {
					t.Errorf("status %q: got %s, want %s", status, got, want)
				}
			}
		},
		"nobody sees what the acl does not name them for": func(t *testing.T, f *fixture) {
			for id, acl := range map[string][]string{"public": nil, "everyone": {corpus.Public}, "a": {"group:a"}, "ab": {"group:a", "group:b"}, "nobody": {}} {
				u := upload(id, "one")
				u.ACL = acl
				f.index(t, f.accept(t, u, catalog.Created), 1)
			}
			for name, c := range map[string]struct {
				scope corpus.Scope
				sees  map[string]bool
			}{
				"a stranger": {f.everyone, map[string]bool{"public": true, "everyone": true}},
				"one of a":   {scope(t, "user:1", "group:a", "group:x"), map[string]bool{"public": true, "everyone": true, "a": true, "ab": true}},
				"one of b":   {scope(t, "group:b"), map[string]bool{"public": true, "everyone": true, "ab": true}},
				"the system": {f.system, map[string]bool{"public": true, "everyone": true, "a": true, "ab": true, "nobody": true}},
			} {
				listed := f.pages(t, catalog.Query{Scope: c.scope, Limit: 2}, func() {})
				if len(listed) != len(c.sees) {
					t.Errorf("%s is listed %s", name, ids(listed))
				}
				for _, id := range []string{"public", "everyone", "a", "ab", "nobody"} {
					f.checkSight(t, name, c.scope, id, c.sees[id])
				}
			}
		},
		"a patched acl counts at once": func(t *testing.T, f *fixture) {
			f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 1)
			acl := []string{"group:a"}
			if _, err := f.Patch(t.Context(), f.everyone, "d", catalog.Patch{ACL: &acl}); err != nil {
				t.Fatal(err)
			}
			f.checkSight(t, "a stranger", f.everyone, "d", false)
			f.checkSight(t, "one of a", scope(t, "group:a"), "d", true)
			if docs := f.pages(t, catalog.Query{Scope: f.everyone, Limit: 5}, func() {}); len(docs) != 0 {
				t.Error("it is listed to strangers")
			}
		},
		"another tenant sees nothing": func(t *testing.T, f *fixture) {
			f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 1)
			other, err := corpus.SystemScope("other")
			if err != nil {
				t.Fatal(err)
			}
			f.checkSight(t, "another tenant", other, "d", false)
			if docs := f.pages(t, catalog.Query{Scope: other, Limit: 5}, func() {}); len(docs) != 0 {
				t.Error("it is listed")
			}
			_, err = f.Document(t.Context(), "other", "d")
			wantNotFound(t, "the row", err)
		},
		"a cursor that no list returned is refused": func(t *testing.T, f *fixture) {
			for _, cursor := range []string{"x", "!!", "MTIz", "MTIzLi4uL3g", "LmQ"} {
				_, _, err := f.List(t.Context(), catalog.Query{Scope: f.everyone, Cursor: cursor})
				wantFault(t, cursor, err, fault.Invalid, "invalid_cursor")
			}
		},
		"chunks are paged by ordinal": func(t *testing.T, f *fixture) {
			doc := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 10)
			want := chunksOf(doc, 10)
			var got []corpus.Chunk
			for after := -1; ; {
				page, err := f.ListChunks(t.Context(), f.everyone, "d", after, 4)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				got = append(got, page...)
				after = page[len(page)-1].Ordinal
			}
			wantEqual(t, "the chunks", got, want)
		},
		"a document that is not live yet has no chunks": func(t *testing.T, f *fixture) {
			f.reach(t, "d", corpus.Embedding)
			if n := len(f.live(t)); n != 0 {
				t.Errorf("%d chunks are listed", n)
			}
		},
	}
}

// checkSight asks for a document, indexed with one chunk, in every way.
func (f *fixture) checkSight(t *testing.T, who string, scope corpus.Scope, id string, sees bool) {
	t.Helper()
	title := "Patched by " + who
	for name, ask := range map[string]func() error{
		"Get":        func() error { _, err := f.Get(t.Context(), scope, id); return err },
		"BlobKey":    func() error { _, err := f.BlobKey(t.Context(), scope, id); return err },
		"ListChunks": func() error { _, err := f.ListChunks(t.Context(), scope, id, -1, 10); return err },
		"Patch":      func() error { _, err := f.Patch(t.Context(), scope, id, catalog.Patch{Title: &title}); return err },
	} {
		err := ask()
		if sees && err != nil {
			t.Errorf("%s of %s by %s: %v", name, id, who, err)
		}
		if !sees {
			wantNotFound(t, fmt.Sprintf("%s of %s by %s", name, id, who), err)
		}
	}
	if !sees {
		_, err := f.Delete(t.Context(), scope, id)
		wantNotFound(t, "Delete of "+id+" by "+who, err)
		_, err = f.Retry(t.Context(), scope, id)
		wantNotFound(t, "Retry of "+id+" by "+who, err)
	}
	chunk := corpus.ChunkRef{Tenant: scope.Tenant(), Document: id, Version: catalog.TextHash("one")}
	found, err := f.Find(t.Context(), scope, []corpus.ChunkRef{chunk})
	if err != nil || (len(found) == 1) != sees {
		t.Errorf("Find in %s by %s: %d chunks, %v", id, who, len(found), err)
	}
}
