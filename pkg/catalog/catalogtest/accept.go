package catalogtest

import (
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

func acceptCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a new document is created with everything the upload said": func(t *testing.T, f *fixture) {
			before := time.Now().Add(-time.Millisecond)
			u := upload("d", "one")
			u.ACL = []string{"group:b", "group:a", "group:b"}
			doc := f.accept(t, u, catalog.Created)
			if doc.CreatedAt.Before(before) || doc.CreatedAt.Location() != time.UTC || !doc.UpdatedAt.Equal(doc.CreatedAt) {
				t.Errorf("created %v, updated %v", doc.CreatedAt, doc.UpdatedAt)
			}
			wantEqual(t, "the document", doc, corpus.Document{
				Tenant: tenant, ID: "d", Collection: "default", Title: "A title", Filename: "a.txt", Source: "https://example.org/a",
				MediaType: "text/plain", Bytes: 3, SHA256: u.SHA256, Generation: 1, Status: corpus.Accepted,
				Warnings: []string{}, Metadata: u.Metadata, ACL: []string{"group:a", "group:b"},
				CreatedAt: doc.CreatedAt, UpdatedAt: doc.UpdatedAt,
			})
			wantEqual(t, "the stored document", f.current(t, "d"), doc)
		},
		"without an id it is derived": func(t *testing.T, f *fixture) {
			u := upload("", "one")
			doc := f.accept(t, u, catalog.Created)
			if doc.ID != catalog.DocumentID(u) {
				t.Errorf("the id is %q", doc.ID)
			}
			f.accept(t, u, catalog.Unchanged)
			u.SHA256 = catalog.TextHash("two")
			if again := f.accept(t, u, catalog.Replaced); again.ID != doc.ID {
				t.Error("new bytes from the same source are another document")
			}
		},
		"the same upload again changes nothing in any state": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			doc := f.accept(t, u, catalog.Created)
			again := func() {
				t.Helper()
				wantEqual(t, "the document", f.accept(t, u, catalog.Unchanged), f.current(t, "d"))
			}
			again()
			if _, _, err := f.Begin(t.Context(), ref(doc)); err != nil {
				t.Fatal(err)
			}
			again()
			f.extract(t, doc, 3)
			again()
			if _, err := f.FinishBatch(t.Context(), ref(doc), 0); err != nil {
				t.Fatal(err)
			}
			if _, err := f.GoLive(t.Context(), ref(doc)); err != nil {
				t.Fatal(err)
			}
			again()
			wantStatus(t, f.current(t, "d"), corpus.Indexed, 1)
		},
		"absent and empty metadata are the same": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			u.Metadata = nil
			f.accept(t, u, catalog.Created)
			u.Metadata = map[string]any{}
			f.accept(t, u, catalog.Unchanged)
		},
		"the order of an acl does not matter, its absence does": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			u.ACL = []string{"a", "b"}
			f.accept(t, u, catalog.Created)
			u.ACL = []string{"b", "a"}
			f.accept(t, u, catalog.Unchanged)
			u.ACL = []string{}
			if doc := f.accept(t, u, catalog.Changed); doc.ACL == nil {
				t.Error("an empty acl became everyone")
			}
			u.ACL = nil
			if doc := f.accept(t, u, catalog.Changed); doc.ACL != nil {
				t.Errorf("the acl is %v", doc.ACL)
			}
		},
		"other fields with the same bytes change the description only": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			doc := f.index(t, f.accept(t, u, catalog.Created), 2)
			for name, change := range map[string]func(*catalog.Upload){
				"title":    func(u *catalog.Upload) { u.Title = "Another" },
				"filename": func(u *catalog.Upload) { u.Filename = "b.txt" },
				"source":   func(u *catalog.Upload) { u.Source = "https://example.org/b" },
				"metadata": func(u *catalog.Upload) { u.Metadata = map[string]any{"lang": "de"} },
				"acl":      func(u *catalog.Upload) { u.ACL = []string{"group:x"} },
			} {
				change(&u)
				u.BlobKey += "x"
				changed := f.accept(t, u, catalog.Changed)
				wantStatus(t, changed, corpus.Indexed, 1)
				if !changed.UpdatedAt.After(doc.UpdatedAt) {
					t.Errorf("%s: the time of the update did not move", name)
				}
				doc = changed
			}
			u.Filename = ""
			f.accept(t, u, catalog.Unchanged)
			if doc.Title != "Another" || doc.Filename != "b.txt" || doc.Source != "https://example.org/b" || doc.Metadata["lang"] != "de" || len(doc.ACL) != 1 {
				t.Errorf("got %+v", doc)
			}
			if key, err := f.BlobKey(t.Context(), f.system, "d"); err != nil || key != upload("d", "one").BlobKey {
				t.Errorf("the bytes are %q, %v; want the first upload's", key, err)
			}
		},
		"new bytes start a new generation and the live version stays": func(t *testing.T, f *fixture) {
			old := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 3)
			chunks := f.live(t)
			u := upload("d", "two")
			doc := f.accept(t, u, catalog.Replaced)
			wantStatus(t, doc, corpus.Accepted, 2)
			if doc.SHA256 != u.SHA256 || doc.LiveVersion != old.SHA256 || doc.Chunks != 0 || doc.Embedded != 0 || !doc.CreatedAt.Equal(old.CreatedAt) {
				t.Errorf("got %+v", doc)
			}
			wantEqual(t, "the live chunks", f.live(t), chunks)
			f.extract(t, doc, 5)
			wantEqual(t, "the live chunks while the new ones are dark", f.live(t), chunks)
		},
		"a failed document that may be retried is replaced by the same bytes": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			f.fail(t, f.accept(t, u, catalog.Created), true)
			u.BlobKey += "again"
			doc := f.accept(t, u, catalog.Replaced)
			wantStatus(t, doc, corpus.Accepted, 2)
			if doc.Failure != nil {
				t.Errorf("the failure stays: %+v", doc.Failure)
			}
			if _, key, err := f.Begin(t.Context(), ref(doc)); err != nil || key != u.BlobKey {
				t.Errorf("the bytes are %q, %v", key, err)
			}
		},
		"a document that failed for good stays so": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			f.fail(t, f.accept(t, u, catalog.Created), false)
			wantStatus(t, f.accept(t, u, catalog.Unchanged), corpus.Failed, 1)
			wantStatus(t, f.accept(t, upload("d", "two"), catalog.Replaced), corpus.Accepted, 2)
		},
		"another collection is refused": func(t *testing.T, f *fixture) {
			f.accept(t, upload("d", "one"), catalog.Created)
			for _, content := range []string{"one", "two"} {
				u := upload("d", content)
				u.Collection = "other"
				_, _, err := f.Accept(t.Context(), u)
				wantFault(t, "another collection", err, fault.Invalid, "collection_mismatch")
			}
			wantStatus(t, f.current(t, "d"), corpus.Accepted, 1)
		},
		"what is no upload is refused": func(t *testing.T, f *fixture) {
			for name, spoil := range map[string]func(*catalog.Upload){
				"tenant":     func(u *catalog.Upload) { u.Tenant = "a.b" },
				"id":         func(u *catalog.Upload) { u.ID = "../x" },
				"collection": func(u *catalog.Upload) { u.Collection = "" },
				"digest":     func(u *catalog.Upload) { u.SHA256 = "" },
				"blob":       func(u *catalog.Upload) { u.BlobKey = "" },
				"metadata":   func(u *catalog.Upload) { u.Metadata = map[string]any{"x": []int{1}} },
				"acl":        func(u *catalog.Upload) { u.ACL = []string{""} },
			} {
				u := upload("d", "one")
				spoil(&u)
				if _, _, err := f.Accept(t.Context(), u); !fault.Is(err, fault.Invalid) {
					t.Errorf("%s: got %v", name, err)
				}
			}
		},
		"ids belong to their tenant": func(t *testing.T, f *fixture) {
			f.accept(t, upload("d", "one"), catalog.Created)
			other := upload("d", "two")
			other.Tenant = "other"
			f.accept(t, other, catalog.Created)
			if doc := f.current(t, "d"); doc.SHA256 != catalog.TextHash("one") {
				t.Error("a tenant's document was changed by another tenant")
			}
		},
	}
}

func describeCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a title that is found names a document without one": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			u.Title = ""
			doc := f.accept(t, u, catalog.Created)
			if indexed := f.index(t, doc, 1); indexed.Title != "Found" || indexed.MediaType != "text/markdown" || indexed.Pages != 5 || len(indexed.Warnings) != 1 {
				t.Errorf("got %+v", indexed)
			}
			f.accept(t, u, catalog.Unchanged)
			u = upload("d", "two")
			u.Title = ""
			if doc := f.accept(t, u, catalog.Replaced); doc.Title != "Found" {
				t.Errorf("while the old version is live the title is %q", doc.Title)
			}
		},
		"a title that was given stays": func(t *testing.T, f *fixture) {
			if doc := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 1); doc.Title != "A title" {
				t.Errorf("the title is %q", doc.Title)
			}
		},
		"a patch changes what it names": func(t *testing.T, f *fixture) {
			doc := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 2)
			title, acl := "Patched", []string{"z", "a"}
			got, err := f.Patch(t.Context(), f.everyone, "d", catalog.Patch{Title: &title, ACL: &acl})
			if err != nil {
				t.Fatal(err)
			}
			want := doc
			want.Title, want.ACL, want.UpdatedAt = title, []string{"a", "z"}, got.UpdatedAt
			wantEqual(t, "the document", got, want)
			wantEqual(t, "the stored document", f.current(t, "d"), want)
			if !got.UpdatedAt.After(doc.UpdatedAt) {
				t.Error("the time of the update did not move")
			}
			if n := len(f.live(t)); n != 2 {
				t.Errorf("%d chunks are left", n)
			}
			source, metadata, everyone := "", map[string]any{}, []string(nil)
			got, err = f.Patch(t.Context(), f.system, "d", catalog.Patch{Source: &source, Metadata: &metadata, ACL: &everyone})
			if err != nil || got.Source != "" || len(got.Metadata) != 0 || got.ACL != nil || got.Title != title {
				t.Errorf("got %+v, %v", got, err)
			}
		},
		"a patch that changes nothing leaves the time of the update": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			got, err := f.Patch(t.Context(), f.everyone, "d", catalog.Patch{Title: &doc.Title})
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the document", got, doc)
		},
		"a patch is refused when it is wrong": func(t *testing.T, f *fixture) {
			f.accept(t, upload("d", "one"), catalog.Created)
			metadata, acl := map[string]any{"": 1.0}, []string{strings.Repeat("x", 300)}
			for name, p := range map[string]catalog.Patch{"metadata": {Metadata: &metadata}, "acl": {ACL: &acl}} {
				if _, err := f.Patch(t.Context(), f.everyone, "d", p); !fault.Is(err, fault.Invalid) {
					t.Errorf("%s: got %v", name, err)
				}
			}
		},
		"retry starts a failed document again": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			doc := f.fail(t, f.accept(t, u, catalog.Created), false)
			if doc.Failure == nil || doc.Failure.Code != "unreadable" {
				t.Errorf("the failure is %+v", doc.Failure)
			}
			again, err := f.Retry(t.Context(), f.everyone, "d")
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, again, corpus.Accepted, 2)
			if again.Failure != nil {
				t.Error("the failure stays")
			}
			if key, err := f.BlobKey(t.Context(), f.everyone, "d"); err != nil || key != u.BlobKey {
				t.Errorf("the bytes are %q, %v", key, err)
			}
			wantStatus(t, f.index(t, again, 1), corpus.Indexed, 2)
		},
		"only a failed document can be retried": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			check := func() {
				t.Helper()
				_, err := f.Retry(t.Context(), f.everyone, "d")
				wantFault(t, "retry", err, fault.Invalid, "not_failed")
			}
			check()
			f.index(t, doc, 1)
			check()
			f.delete(t, "d")
			check()
		},
	}
}
