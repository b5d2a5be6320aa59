package catalogtest

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

func deleteCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a document being deleted is out of sight at once": func(t *testing.T, f *fixture) {
			doc := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 3)
			chunks := f.live(t)
			deleting := f.delete(t, "d")
			wantStatus(t, deleting, corpus.Deleting, 2)
			if deleting.LiveVersion != "" {
				t.Error("it still has a live version")
			}
			if found, err := f.Find(t.Context(), f.system, chunkRefs(chunks)); err != nil || len(found) != 0 {
				t.Errorf("%d chunks are found, %v", len(found), err)
			}
			if n := len(f.live(t)); n != 0 {
				t.Errorf("%d chunks are listed", n)
			}
			_, err := f.BlobKey(t.Context(), f.system, "d")
			wantNotFound(t, "the bytes", err)
			title := "x"
			_, err = f.Patch(t.Context(), f.system, "d", catalog.Patch{Title: &title})
			wantNotFound(t, "a patch", err)
			wantStale(t, "late work", f.SweepVersions(t.Context(), ref(doc)))
		},
		"deleting again changes nothing": func(t *testing.T, f *fixture) {
			f.accept(t, upload("d", "one"), catalog.Created)
			first := f.delete(t, "d")
			wantEqual(t, "the second deletion", f.delete(t, "d"), first)
			gone, err := f.Removed(t.Context(), ref(first))
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, gone, corpus.Deleted, 2)
			wantEqual(t, "a deletion of the tombstone", f.delete(t, "d"), gone)
			again, err := f.Removed(t.Context(), ref(first))
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the second removal", again, gone)
		},
		"a tombstone keeps nothing of what the document said": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			u.ACL = []string{"group:a"}
			doc := f.index(t, f.accept(t, u, catalog.Created), 3)
			f.delete(t, "d")
			gone, err := f.Removed(t.Context(), ref(f.current(t, "d")))
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the tombstone", gone, corpus.Document{
				Tenant: tenant, ID: "d", Collection: "default", MediaType: doc.MediaType, Bytes: 3, SHA256: u.SHA256,
				Generation: 2, Status: corpus.Deleted, Warnings: []string{}, Metadata: map[string]any{}, ACL: u.ACL,
				CreatedAt: doc.CreatedAt, UpdatedAt: gone.UpdatedAt,
			})
			_, err = f.Get(t.Context(), f.everyone, "d")
			wantNotFound(t, "the tombstone for others", err)
		},
		"late work cannot bring a document back": func(t *testing.T, f *fixture) {
			for status := range allowed() {
				if status == corpus.Deleting || status == corpus.Deleted {
					continue
				}
				id := string(status)
				doc := f.reach(t, id, status)
				deleting := f.delete(t, id)
				for name, do := range f.work(t, doc, ref(doc)) {
					wantStale(t, name, do())
				}
				gone, err := f.Removed(t.Context(), ref(deleting))
				if err != nil {
					t.Fatal(err)
				}
				for name, do := range f.work(t, doc, ref(doc)) {
					wantStale(t, name, do())
				}
				wantEqual(t, id, f.current(t, id), gone)
			}
		},
		"a document comes back as a new one": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			first := f.index(t, f.accept(t, u, catalog.Created), 3)
			deleting := f.delete(t, "d")
			if _, err := f.Removed(t.Context(), ref(deleting)); err != nil {
				t.Fatal(err)
			}
			u.Collection = "other"
			doc := f.accept(t, u, catalog.Created)
			wantStatus(t, doc, corpus.Accepted, 3)
			if !doc.CreatedAt.After(first.CreatedAt) || doc.LiveVersion != "" || !doc.IndexedAt.IsZero() || doc.Collection != "other" {
				t.Errorf("got %+v", doc)
			}
			wantStatus(t, f.index(t, doc, 2), corpus.Indexed, 3)
		},
		"an upload overtakes a deletion and nothing old is seen": func(t *testing.T, f *fixture) {
			f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 3)
			old := f.live(t)
			deleting := f.delete(t, "d")
			moved := upload("d", "one")
			moved.Collection = "other"
			_, _, err := f.Accept(t.Context(), moved)
			wantFault(t, "another collection while the old one is emptied", err, fault.Invalid, "collection_mismatch")
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			wantStatus(t, doc, corpus.Accepted, 3)
			_, err = f.Removed(t.Context(), ref(deleting))
			wantStale(t, "the deletion", err)
			if found, err := f.Find(t.Context(), f.system, chunkRefs(old)); err != nil || len(found) != 0 {
				t.Errorf("%d old chunks are found, %v", len(found), err)
			}
			wantStatus(t, f.index(t, doc, 1), corpus.Indexed, 3)
		},
		"a missing document cannot be deleted": func(t *testing.T, f *fixture) {
			_, err := f.Delete(t.Context(), f.system, "d")
			wantNotFound(t, "delete", err)
		},
		"blobs are on record until they are forgotten": func(t *testing.T, f *fixture) {
			stale := func(d corpus.Document, want ...string) {
				t.Helper()
				got, err := f.StaleBlobs(t.Context(), ref(d))
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, "the stale blobs when "+string(d.Status), got, want)
			}
			first, second, third := upload("d", "one"), upload("d", "two"), upload("d", "two")
			first.BlobKey, second.BlobKey, third.BlobKey = "k1", "k2", "k3"
			f.index(t, f.accept(t, first, catalog.Created), 1)
			stale(f.current(t, "d"))
			doc := f.accept(t, second, catalog.Replaced)
			stale(doc)
			f.accept(t, third, catalog.Unchanged) // its bytes are the caller's to delete
			doc = f.index(t, doc, 1)
			stale(doc, "k1")
			if err := f.ForgetBlobs(t.Context(), ref(doc), []string{"k1", "k2"}); err != nil {
				t.Fatal(err)
			}
			stale(doc)
			doc = f.delete(t, "d")
			stale(doc, "k2")
			gone, err := f.Removed(t.Context(), ref(doc))
			if err != nil {
				t.Fatal(err)
			}
			stale(gone, "k2")
			if err := f.ForgetBlobs(t.Context(), ref(gone), []string{"k2", "never"}); err != nil {
				t.Fatal(err)
			}
			stale(gone)
		},
	}
}
