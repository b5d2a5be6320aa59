package catalogtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
)

func wantFenced(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, catalog.ErrFenced) {
		t.Errorf("%s: %v, want ErrFenced", what, err)
	}
}

func (f *fixture) fence(t *testing.T) catalog.Fence {
	t.Helper()
	fence, err := f.TakeFence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return fence
}

// unconfirmed returns the ids of changes that are not confirmed, of all times.
func (f *fixture) unconfirmed(t *testing.T, fence catalog.Fence) []catalog.Change {
	t.Helper()
	changes, err := f.Unconfirmed(t.Context(), fence, later(), 10)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func sweeperCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a sweeper whose place was taken does nothing more": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			old := f.fence(t)
			if docs, err := f.Claim(t.Context(), old, time.Time{}, 10); err != nil || len(docs) != 0 {
				t.Fatalf("the first: %v, %v", docs, err)
			}
			if err := f.SetPlace(t.Context(), old, "blobs", "here"); err != nil {
				t.Fatal(err)
			}
			now := f.fence(t)
			_, err := f.Claim(t.Context(), old, later(), 10)
			wantFenced(t, "Claim", err)
			_, err = f.Unconfirmed(t.Context(), old, later(), 10)
			wantFenced(t, "Unconfirmed", err)
			_, err = f.Suspect(t.Context(), old, catalog.OrphanBlob, []catalog.Suspect{{Tenant: tenant, Name: "key"}}, nil)
			wantFenced(t, "Suspect", err)
			_, err = f.ForgetUploads(t.Context(), old, later(), 10)
			wantFenced(t, "ForgetUploads", err)
			_, err = f.Place(t.Context(), old, "blobs")
			wantFenced(t, "Place", err)
			wantFenced(t, "SetPlace", f.SetPlace(t.Context(), old, "blobs", "there"))
			_, err = f.Claim(t.Context(), now+1, later(), 10)
			wantFenced(t, "a fence that nobody took", err)
			docs, err := f.Claim(t.Context(), now, later(), 10)
			if err != nil || ids(docs) != doc.ID {
				t.Errorf("the one that took over: %s, %v", ids(docs), err)
			}
			if place, err := f.Place(t.Context(), now, "blobs"); err != nil || place != "here" {
				t.Errorf("it goes on from %q, %v", place, err)
			}
		},
		"every fence is greater than those before": func(t *testing.T, f *fixture) {
			fences := make([]catalog.Fence, racers)
			race(func(i int) { fences[i], _ = f.TakeFence(t.Context()) })
			slices.Sort(fences)
			if len(slices.Compact(slices.Clone(fences))) != racers || fences[0] < 1 || f.fence(t) <= fences[racers-1] {
				t.Errorf("got %v", fences)
			}
		},
		"walks have places of their own": func(t *testing.T, f *fixture) {
			fence := f.fence(t)
			for walk, place := range map[string]string{"a": "1", "fence": "2"} {
				if err := f.SetPlace(t.Context(), fence, walk, place); err != nil {
					t.Fatal(err)
				}
			}
			for walk, want := range map[string]string{"a": "1", "fence": "2", "new": ""} {
				if place, err := f.Place(t.Context(), fence, walk); err != nil || place != want {
					t.Errorf("%s: %q, %v", walk, place, err)
				}
			}
		},
		"a change is unconfirmed until the index has it": func(t *testing.T, f *fixture) {
			fence := f.fence(t)
			f.reach(t, "d", corpus.Indexed)
			if changes := f.unconfirmed(t, fence); len(changes) != 0 {
				t.Errorf("without a change: %v", changes)
			}
			acl := []string{"crew"}
			doc, err := f.Patch(t.Context(), f.system, "d", catalog.Patch{ACL: &acl})
			if err != nil {
				t.Fatal(err)
			}
			first := doc.UpdatedAt.UnixMicro()
			before := later()
			wantEqual(t, "after a patch", f.unconfirmed(t, fence), []catalog.Change{{Tenant: tenant, ID: "d", Revision: first}})
			if again, err := f.Unconfirmed(t.Context(), fence, before, 10); err != nil || len(again) != 0 {
				t.Errorf("within the same lease: %v, %v", again, err)
			}
			u := upload("d", "one")
			u.Metadata = map[string]any{"lang": "fr"}
			second := f.accept(t, u, catalog.Changed).UpdatedAt.UnixMicro()
			if err := f.Confirm(t.Context(), tenant, "d", first); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "after a later change", f.unconfirmed(t, fence), []catalog.Change{{Tenant: tenant, ID: "d", Revision: second}})
			for range 2 {
				if err := f.Confirm(t.Context(), tenant, "d", second); err != nil {
					t.Fatal(err)
				}
			}
			if changes := f.unconfirmed(t, fence); len(changes) != 0 {
				t.Errorf("confirmed: %v", changes)
			}
		},
		"suspects are remembered since they were first seen": func(t *testing.T, f *fixture) {
			fence := f.fence(t)
			blobs := []catalog.Suspect{{Tenant: tenant, Name: "a"}, {Tenant: "other", Name: "a"}}
			first, err := f.Suspect(t.Context(), fence, catalog.OrphanBlob, blobs, nil)
			if err != nil || len(first) != 2 || time.Since(first[0]) > time.Minute {
				t.Fatalf("%v, %v", first, err)
			}
			_ = later()
			again, err := f.Suspect(t.Context(), fence, catalog.OrphanBlob, blobs[:1], blobs[1:])
			if err != nil || !again[0].Equal(first[0]) {
				t.Errorf("seen again: since %v, not %v; %v", again, first[0], err)
			}
			both, err := f.Suspect(t.Context(), fence, catalog.OrphanBlob, blobs, nil)
			if err != nil || !both[0].Equal(first[0]) || !both[1].After(first[1]) {
				t.Errorf("one was cleared meanwhile: %v, before %v; %v", both, first, err)
			}
			points, err := f.Suspect(t.Context(), fence, catalog.OrphanPoints, blobs[:1], nil)
			if err != nil || !points[0].After(first[0]) {
				t.Errorf("of another kind: %v, %v", points, err)
			}
		},
		"every accepted blob is on record until it is forgotten": func(t *testing.T, f *fixture) {
			one, two := upload("d", "one"), upload("d", "two")
			f.accept(t, one, catalog.Created)
			f.accept(t, two, catalog.Replaced)
			keys := []string{one.BlobKey, two.BlobKey, "documents/acme/d/never"}
			known, err := f.OnRecord(t.Context(), tenant, keys)
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "on record", known, map[string]bool{one.BlobKey: true, two.BlobKey: true})
			if known, err = f.OnRecord(t.Context(), "other", keys); err != nil || len(known) != 0 {
				t.Errorf("of another tenant: %v, %v", known, err)
			}
		},
	}
}

func reopenCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a document begins again where its state needs it": func(t *testing.T, f *fixture) {
			for status, want := range map[corpus.Status]corpus.Status{
				corpus.Accepted: corpus.Accepted, corpus.Extracting: corpus.Accepted, corpus.Embedding: corpus.Embedding, corpus.Indexed: corpus.Embedding,
				corpus.Failed: corpus.Failed, corpus.Deleting: corpus.Deleting, corpus.Deleted: corpus.Deleting,
			} {
				before := f.reach(t, "from-"+string(status), status)
				doc, err := f.Reopen(t.Context(), ref(before), 40)
				if err != nil {
					t.Fatalf("%s: %v", status, err)
				}
				wantStatus(t, doc, want, 41)
				wantEqual(t, "what is stored", f.current(t, before.ID), doc)
				if doc.LiveVersion != before.LiveVersion || doc.Title != before.Title {
					t.Errorf("%s: it was %+v and is %+v", status, before, doc)
				}
				_, err = f.Reopen(t.Context(), ref(before), 0)
				wantStale(t, "again with the old generation", err)
				if doc, err = f.Reopen(t.Context(), ref(doc), 3); err != nil || doc.Generation != 42 {
					t.Errorf("above an older one: %d, %v", doc.Generation, err)
				}
			}
		},
		"batches are open again, and the way to indexed is the usual one": func(t *testing.T, f *fixture) {
			doc := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), catalog.BatchSize+5)
			again, err := f.Reopen(t.Context(), ref(doc), 0)
			if err != nil {
				t.Fatal(err)
			}
			if again.Chunks != doc.Chunks || again.Embedded != 0 || again.Pages != doc.Pages || again.MediaType != doc.MediaType || len(again.Warnings) != 1 {
				t.Errorf("it was %+v and is %+v", doc, again)
			}
			open, err := f.OpenBatches(t.Context(), ref(again))
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "open", open, []catalog.Batch{{Number: 0, From: 0, To: 64}, {Number: 1, From: 64, To: 69}})
			for _, b := range open {
				if _, err := f.FinishBatch(t.Context(), ref(again), b.Number); err != nil {
					t.Fatal(err)
				}
			}
			if doc, err = f.GoLive(t.Context(), ref(again)); err != nil || doc.Status != corpus.Indexed || doc.Embedded != doc.Chunks {
				t.Errorf("%+v, %v", doc, err)
			}
			if err := f.SweepVersions(t.Context(), ref(doc)); err != nil || len(f.live(t)) != doc.Chunks {
				t.Errorf("%d chunks are left, %v", len(f.live(t)), err)
			}
		},
		"what is kept of a document is told": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			doc := f.index(t, f.accept(t, u, catalog.Created), 5)
			held, err := f.Holding(t.Context(), tenant, "d")
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "indexed", held, catalog.Holding{BlobKey: u.BlobKey, Chunks: 5, LiveChunks: 5})
			next := upload("d", "two")
			f.accept(t, next, catalog.Replaced)
			if held, err = f.Holding(t.Context(), tenant, "d"); err != nil || held.MovedAt.Before(doc.UpdatedAt) {
				t.Errorf("%+v, %v", held, err)
			}
			held.MovedAt = time.Time{}
			wantEqual(t, "with a version on its way", held, catalog.Holding{BlobKey: next.BlobKey, Chunks: 0, LiveChunks: 5})
			f.delete(t, "d")
			if held, err = f.Holding(t.Context(), tenant, "d"); err != nil || held.BlobKey != "" {
				t.Errorf("being deleted: %+v, %v", held, err)
			}
			_, err = f.Holding(t.Context(), tenant, "never")
			wantNotFound(t, "Holding", err)
		},
	}
}
