package catalogtest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// once returns an upload under a key, of a request that says what.
func once(id, content, key, what string) catalog.Upload {
	u := upload(id, content)
	u.Once = catalog.Once{Key: key, Digest: what}
	return u
}

func (f *fixture) wantReused(t *testing.T, u catalog.Upload) {
	t.Helper()
	_, _, err := f.Accept(t.Context(), u)
	wantFault(t, "another upload under the key", err, fault.Invalid, "idempotency_key_reused")
}

func onceCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a repeated upload does nothing, whatever became of the document": func(t *testing.T, f *fixture) {
			for _, status := range []corpus.Status{
				corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Indexed, corpus.Failed, corpus.Deleting, corpus.Deleted,
			} {
				id := "d-" + string(status)
				u := once(id, "one", "key-"+id, "a")
				f.accept(t, u, catalog.Created)
				f.delete(t, id) // reach takes it for a new one
				now := f.reach(t, id, status)
				u.BlobKey += "again"
				wantEqual(t, id, f.accept(t, u, catalog.Repeated), now)
				wantEqual(t, id, f.current(t, id), now)
				if known, err := f.OnRecord(t.Context(), tenant, []string{u.BlobKey}); err != nil || len(known) != 0 {
					t.Errorf("%s: the bytes are on record: %v", id, err)
				}
			}
		},
		"a late repetition does not roll a document back": func(t *testing.T, f *fixture) {
			first := once("d", "one", "k1", "a")
			f.accept(t, first, catalog.Created)
			now := f.accept(t, once("d", "two", "k2", "b"), catalog.Replaced)
			wantEqual(t, "the first again", f.accept(t, first, catalog.Repeated), now)
			wantEqual(t, "the document", f.current(t, "d"), now)
		},
		"another upload under a key is refused and changes nothing": func(t *testing.T, f *fixture) {
			doc := f.accept(t, once("d", "one", "k", "a"), catalog.Created)
			f.wantReused(t, once("d", "two", "k", "b"))
			f.wantReused(t, once("e", "two", "k", "b"))
			f.wantReused(t, once("d", "one", "k", "b"))
			wantEqual(t, "the document", f.current(t, "d"), doc)
			_, err := f.Document(t.Context(), tenant, "e")
			wantNotFound(t, "the other document", err)
		},
		"the document of a key is the one it was accepted for": func(t *testing.T, f *fixture) {
			doc := f.accept(t, once("d", "one", "k", "a"), catalog.Created)
			f.accept(t, upload("e", "two"), catalog.Created)
			wantEqual(t, "under another id", f.accept(t, once("e", "one", "k", "a"), catalog.Repeated), doc)
		},
		"what changes nothing spends its key too": func(t *testing.T, f *fixture) {
			f.accept(t, upload("d", "one"), catalog.Created)
			u := once("d", "one", "k", "a")
			f.accept(t, u, catalog.Unchanged)
			f.accept(t, u, catalog.Repeated)
		},
		"what is refused leaves its key for another": func(t *testing.T, f *fixture) {
			f.accept(t, upload("d", "one"), catalog.Created)
			u := once("d", "two", "k", "a")
			u.Collection = "other"
			if _, _, err := f.Accept(t.Context(), u); !fault.Is(err, fault.Invalid) {
				t.Fatalf("another collection: %v", err)
			}
			f.accept(t, once("d", "two", "k", "b"), catalog.Replaced)
		},
		"keys belong to their tenant": func(t *testing.T, f *fixture) {
			f.accept(t, once("d", "one", "k", "a"), catalog.Created)
			other := once("d", "two", "k", "b")
			other.Tenant = "other"
			f.accept(t, other, catalog.Created)
		},
		"a key without a digest, or that is no token, is refused": func(t *testing.T, f *fixture) {
			for _, key := range []catalog.Once{{Key: "k"}, {Key: "a b", Digest: "a"}} {
				u := upload("d", "one")
				u.Once = key
				if _, _, err := f.Accept(t.Context(), u); !fault.Is(err, fault.Invalid) {
					t.Errorf("%+v: %v", key, err)
				}
			}
		},
		"of different uploads under one key at once one is accepted": func(t *testing.T, f *fixture) {
			for name, id := range map[string]func(i int) string{
				"one-document": func(int) string { return "d" }, "many-documents": func(i int) string { return fmt.Sprint("d", i) },
			} {
				var mu sync.Mutex
				var winners []corpus.Document
				race(func(i int) {
					doc, _, err := f.Accept(t.Context(), once(id(i), fmt.Sprint("content ", i), name, fmt.Sprint(i)))
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						winners = append(winners, doc)
						return
					}
					wantFault(t, name, err, fault.Invalid, "idempotency_key_reused")
				})
				if len(winners) != 1 {
					t.Fatalf("%s: %d were accepted", name, len(winners))
				}
				wantEqual(t, name, f.current(t, winners[0].ID), winners[0])
				f.delete(t, winners[0].ID)
			}
		},
		"of the same upload at once one is done and all get its document": func(t *testing.T, f *fixture) {
			var mu sync.Mutex
			outcomes := make(map[catalog.Outcome]int)
			race(func(i int) {
				u := once("d", "one", "k", "a")
				u.BlobKey += fmt.Sprint("-", i)
				doc, outcome, err := f.Accept(t.Context(), u)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || doc.Generation != 1 {
					t.Errorf("%+v, %v", doc, err)
				}
				outcomes[outcome]++
			})
			wantEqual(t, "the outcomes", outcomes, map[catalog.Outcome]int{catalog.Created: 1, catalog.Repeated: racers - 1})
		},
		"keys are forgotten oldest first, and then are as good as new": func(t *testing.T, f *fixture) {
			fence := f.fence(t)
			f.accept(t, once("a", "one", "ka", "a"), catalog.Created)
			_ = later()
			f.accept(t, once("b", "one", "kb", "b"), catalog.Created)
			between := later()
			f.accept(t, once("c", "one", "kc", "c"), catalog.Created)
			forget := func(before time.Time, limit, want int) {
				t.Helper()
				if n, err := f.ForgetUploads(t.Context(), fence, before, limit); err != nil || n != want {
					t.Errorf("%d were forgotten, %v; want %d", n, err, want)
				}
			}
			forget(time.Now().Add(-catalog.RepeatableFor), 10, 0)
			forget(between, 1, 1)
			f.wantReused(t, once("b", "two", "kb", "other"))
			f.accept(t, once("a", "two", "ka", "other"), catalog.Replaced)
			forget(between, 10, 1)
			f.wantReused(t, once("c", "two", "kc", "other"))
			forget(later(), 10, 2)
		},
	}
}

func mayCases() map[string]func(*testing.T, *fixture) {
	errNo := errors.New("no")
	guarded := func(u catalog.Upload, may func(corpus.Document) error) catalog.Upload {
		u.May = may
		return u
	}
	no := func(corpus.Document) error { return errNo }
	return map[string]func(*testing.T, *fixture){
		"an upload is asked about the document that is there": func(t *testing.T, f *fixture) {
			for _, status := range []corpus.Status{corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Indexed, corpus.Failed} {
				doc := f.reach(t, "d-"+string(status), status)
				var there corpus.Document
				u := guarded(upload(doc.ID, "two"), func(d corpus.Document) error { there = d; return nil })
				f.accept(t, u, catalog.Replaced)
				wantEqual(t, string(status), there, doc)
			}
		},
		"what is refused changes nothing": func(t *testing.T, f *fixture) {
			doc := f.reach(t, "d", corpus.Indexed)
			other := upload("d", "two")
			other.Collection = "other"
			changed := upload("d", "two")
			changed.SHA256, changed.Title = doc.SHA256, "Another"
			same := upload("d", "two")
			same.SHA256 = doc.SHA256
			for name, u := range map[string]catalog.Upload{"other bytes": upload("d", "two"), "another collection": other, "another title": changed, "nothing": same} {
				if _, _, err := f.Accept(t.Context(), guarded(u, no)); !errors.Is(err, errNo) {
					t.Errorf("%s: %v", name, err)
				}
			}
			wantEqual(t, "the document", f.current(t, "d"), doc)
			if known, err := f.OnRecord(t.Context(), tenant, []string{upload("d", "two").BlobKey}); err != nil || len(known) != 0 {
				t.Errorf("its bytes are on record: %v", err)
			}
		},
		"what is refused leaves its key for another": func(t *testing.T, f *fixture) {
			f.accept(t, upload("d", "one"), catalog.Created)
			if _, _, err := f.Accept(t.Context(), guarded(once("d", "two", "k", "a"), no)); !errors.Is(err, errNo) {
				t.Fatal(err)
			}
			f.accept(t, once("e", "two", "k", "b"), catalog.Created)
		},
		"nothing is asked where there is no document": func(t *testing.T, f *fixture) {
			f.accept(t, guarded(upload("never", "one"), no), catalog.Created)
			for _, status := range []corpus.Status{corpus.Deleting, corpus.Deleted} {
				id := "d-" + string(status)
				f.reach(t, id, status)
				f.accept(t, guarded(upload(id, "one"), no), catalog.Created)
			}
		},
		"nothing is asked of a repeated upload": func(t *testing.T, f *fixture) {
			u := once("d", "one", "k", "a")
			f.accept(t, u, catalog.Created)
			f.accept(t, guarded(u, no), catalog.Repeated)
		},
		"of those at once who may not replace each other one is accepted": func(t *testing.T, f *fixture) {
			var mu sync.Mutex
			accepted := 0
			race(func(i int) {
				_, _, err := f.Accept(t.Context(), guarded(upload("d", fmt.Sprint("content ", i)), no))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					accepted++
				} else if !errors.Is(err, errNo) {
					t.Error(err)
				}
			})
			if accepted != 1 || f.current(t, "d").Generation != 1 {
				t.Errorf("%d were accepted", accepted)
			}
		},
	}
}
