package catalogtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
)

// walk returns the names of all documents changed since, a page of n at a time.
func (f *fixture) walk(t *testing.T, since time.Time, n int) []string {
	t.Helper()
	walked := []string{}
	tenant, id := "", ""
	for {
		docs, err := f.Changed(t.Context(), since, tenant, id, n)
		if err != nil || len(docs) > n {
			t.Fatalf("a page of %d has %d documents: %v", n, len(docs), err)
		}
		if len(docs) == 0 {
			return walked
		}
		for _, d := range docs {
			tenant, id = d.Tenant, d.ID
			walked = append(walked, d.Tenant+"/"+d.ID)
		}
	}
}

func walkCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"every document of every tenant is met once, in order, whatever its state": func(t *testing.T, f *fixture) {
			want := []string{}
			for i, status := range []corpus.Status{corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Indexed, corpus.Failed, corpus.Deleting, corpus.Deleted} {
				id := fmt.Sprint("d", i)
				f.reach(t, id, status)
				want = append(want, tenant+"/"+id)
			}
			other := upload("a", "one")
			other.Tenant = "zeta"
			f.accept(t, other, catalog.Created)
			want = append(want, "zeta/a")
			for _, n := range []int{1, 3, 100} {
				wantEqual(t, fmt.Sprintf("pages of %d", n), f.walk(t, time.Time{}, n), want)
			}
		},
		"only what changed since is met": func(t *testing.T, f *fixture) {
			for _, id := range []string{"a", "b", "c"} {
				f.index(t, f.accept(t, upload(id, "one"), catalog.Created), 2)
			}
			since := later()
			wantEqual(t, "before anything changed", f.walk(t, since, 2), []string{})
			title := "Another"
			if _, err := f.Patch(t.Context(), f.system, "b", catalog.Patch{Title: &title}); err != nil {
				t.Fatal(err)
			}
			f.delete(t, "c")
			wantEqual(t, "after two changes", f.walk(t, since, 2), []string{tenant + "/b", tenant + "/c"})
			wantEqual(t, "from the change's own time on", f.walk(t, f.current(t, "c").UpdatedAt, 2), []string{tenant + "/c"})
		},
		"the chunks of the live version and of the one on its way can be read": func(t *testing.T, f *fixture) {
			first := f.accept(t, upload("d", "one"), catalog.Created)
			f.index(t, first, 5)
			second := f.accept(t, upload("d", "two"), catalog.Replaced)
			f.extract(t, second, 3)
			for version, want := range map[string][]corpus.Chunk{first.SHA256: chunksOf(first, 5), second.SHA256: chunksOf(second, 3), "another": nil} {
				var got []corpus.Chunk
				for after := -1; ; after = got[len(got)-1].Ordinal {
					page, err := f.VersionChunks(t.Context(), tenant, "d", version, after, 2)
					if err != nil {
						t.Fatal(err)
					}
					if got = slices.Concat(got, page); len(page) == 0 {
						break
					}
				}
				wantEqual(t, "version "+version, got, want)
			}
			if chunks, err := f.VersionChunks(t.Context(), "another", "d", first.SHA256, -1, 2); err != nil || len(chunks) > 0 {
				t.Errorf("another tenant reads %d chunks, %v", len(chunks), err)
			}
		},
	}
}
