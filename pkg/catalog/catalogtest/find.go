package catalogtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
)

func findCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"chunks come with their documents in the order asked": func(t *testing.T, f *fixture) {
			var (
				refs []corpus.ChunkRef
				want []catalog.Found
			)
			for i := range 5 {
				doc := f.index(t, f.accept(t, upload(fmt.Sprint("d", i), fmt.Sprint("content ", i)), catalog.Created), 30)
				for _, c := range chunksOf(doc, 30) {
					refs = append(refs, c.ChunkRef)
					want = append(want, catalog.Found{Chunk: c, Document: doc})
				}
			}
			slices.Reverse(refs)
			slices.Reverse(want)
			for _, n := range []int{1, 2, 3, 4, 5, 30, 63, 64, 65, 150} {
				found, err := f.Find(t.Context(), f.everyone, refs[:n])
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, fmt.Sprint(n, " chunks"), found, want[:n])
			}
		},
		"what is not there is left out": func(t *testing.T, f *fixture) {
			doc := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 3)
			good := chunksOf(doc, 3)[1].ChunkRef
			beyond, version, document, other := good, good, good, good
			beyond.Ordinal = 3
			version.Version = catalog.TextHash("never")
			document.Document = "e"
			other.Tenant = "other"
			found, err := f.Find(t.Context(), f.everyone, []corpus.ChunkRef{beyond, version, good, document, other})
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || found[0].Chunk.ChunkRef != good {
				t.Errorf("found %+v", found)
			}
		},
		"nothing asked is nothing found": func(t *testing.T, f *fixture) {
			if found, err := f.Find(t.Context(), f.everyone, nil); err != nil || len(found) != 0 {
				t.Errorf("found %d, %v", len(found), err)
			}
		},
		"the live version and the one about to be are found": func(t *testing.T, f *fixture) {
			old := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 2)
			doc := f.accept(t, upload("d", "two"), catalog.Replaced)
			f.extract(t, doc, 2)
			both := append(chunkRefs(chunksOf(old, 2)), chunkRefs(chunksOf(doc, 2))...)
			if found, err := f.Find(t.Context(), f.everyone, both); err != nil || len(found) != 4 {
				t.Errorf("found %d before the switch, %v", len(found), err)
			}
			f.finishWithAll(t, doc)
			found, err := f.Find(t.Context(), f.everyone, both)
			if err != nil || len(found) != 2 || found[0].Chunk.Version != doc.SHA256 {
				t.Errorf("found %d after the switch, %v", len(found), err)
			}
		},
	}
}

func (f *fixture) finishWithAll(t *testing.T, doc corpus.Document) {
	t.Helper()
	open, err := f.OpenBatches(t.Context(), ref(doc))
	for _, b := range open {
		_, finishErr := f.FinishBatch(t.Context(), ref(doc), b.Number)
		err = errors.Join(err, finishErr)
	}
	_, liveErr := f.GoLive(t.Context(), ref(doc))
	if err := errors.Join(err, liveErr); err != nil {
		t.Fatal(err)
	}
}

func vectorCases() map[string]func(*testing.T, *fixture) {
	known := func(t *testing.T, f *fixture, profile string, hashes ...string) []string {
		t.Helper()
		got, err := f.Vectors(t.Context(), tenant, profile, hashes)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, h := range hashes {
			if _, ok := got[h]; ok {
				names = append(names, h)
			}
		}
		return names
	}
	put := func(t *testing.T, f *fixture, d corpus.Document, hashes ...string) {
		t.Helper()
		vectors := make(map[string][]float32)
		for i, h := range hashes {
			vectors[h] = []float32{float32(i), 0.25, -1e-30}
		}
		if err := f.PutVectors(t.Context(), ref(d), "p", vectors); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]func(*testing.T, *fixture){
		"vectors come back exactly": func(t *testing.T, f *fixture) {
			doc := f.reach(t, "d", corpus.Embedding)
			want := make(map[string][]float32)
			var hashes []string
			for i := range 200 {
				h := catalog.TextHash(fmt.Sprint(i))
				hashes = append(hashes, h)
				want[h] = []float32{float32(i) / 3, -0.1, 1e-38}
			}
			if err := f.PutVectors(t.Context(), ref(doc), "p", want); err != nil {
				t.Fatal(err)
			}
			got, err := f.Vectors(t.Context(), tenant, "p", append([]string{"missing"}, hashes...))
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the vectors", got, want)
		},
		"profiles and tenants never mix": func(t *testing.T, f *fixture) {
			put(t, f, f.reach(t, "d", corpus.Embedding), "h")
			if got := known(t, f, "q", "h"); got != nil {
				t.Errorf("another profile knows %v", got)
			}
			if got, err := f.Vectors(t.Context(), "other", "p", []string{"h"}); err != nil || len(got) != 0 {
				t.Errorf("another tenant knows %v, %v", got, err)
			}
		},
		"vectors live as long as a document uses them": func(t *testing.T, f *fixture) {
			a, b := f.reach(t, "a", corpus.Embedding), f.reach(t, "b", corpus.Embedding)
			put(t, f, a, "only a", "shared")
			put(t, f, b, "shared", "only b")
			f.delete(t, "a")
			if _, err := f.Removed(t.Context(), ref(f.current(t, "a"))); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "after a went", known(t, f, "p", "only a", "shared", "only b"), []string{"shared", "only b"})
			f.delete(t, "b")
			if _, err := f.Removed(t.Context(), ref(f.current(t, "b"))); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "after b went", known(t, f, "p", "only a", "shared", "only b"), []string(nil))
		},
		"a new version keeps what it still uses": func(t *testing.T, f *fixture) {
			doc := f.reach(t, "d", corpus.Embedding)
			put(t, f, doc, "kept", "dropped")
			f.finishWithAll(t, doc)
			doc = f.accept(t, upload("d", "two"), catalog.Replaced)
			f.extract(t, doc, 2)
			put(t, f, doc, "kept", "new")
			f.finishWithAll(t, doc)
			wantEqual(t, "before the sweep", known(t, f, "p", "kept", "dropped", "new"), []string{"kept", "dropped", "new"})
			if err := f.SweepVersions(t.Context(), ref(doc)); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "after the sweep", known(t, f, "p", "kept", "dropped", "new"), []string{"kept", "new"})
		},
		"many vectors and chunks are swept": func(t *testing.T, f *fixture) {
			const n = 300
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			f.extract(t, doc, n)
			var hashes []string
			for i := range n {
				hashes = append(hashes, fmt.Sprint("h", i))
			}
			put(t, f, doc, hashes...)
			f.finishWithAll(t, doc)
			next := f.accept(t, upload("d", "two"), catalog.Replaced)
			f.extract(t, next, 1)
			f.finishWithAll(t, next)
			if err := f.SweepVersions(t.Context(), ref(next)); err != nil {
				t.Fatal(err)
			}
			if got := known(t, f, "p", hashes...); got != nil {
				t.Errorf("%d vectors are left", len(got))
			}
			// Back to the first bytes: were old chunks left, they would count.
			back := f.accept(t, upload("d", "one"), catalog.Replaced)
			if _, _, err := f.Begin(t.Context(), ref(back)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := f.Extracted(t.Context(), ref(back), catalog.Extraction{Chunks: 1}); err == nil {
				t.Error("chunks of the old version are left")
			}
		},
		"an empty vector is refused": func(t *testing.T, f *fixture) {
			doc := f.reach(t, "d", corpus.Embedding)
			if err := f.PutVectors(t.Context(), ref(doc), "p", map[string][]float32{"h": nil}); err == nil {
				t.Error("it was taken")
			}
		},
	}
}
