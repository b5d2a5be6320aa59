package catalogtest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
)

// later returns a time after everything that was stored so far.
func later() time.Time {
	for start := time.Now(); ; {
		if now := time.Now(); now.Sub(start) > 2*time.Microsecond {
			return now
		}
	}
}

func sweepCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"unsettled documents that do not move are stalled, oldest first": func(t *testing.T, f *fixture) {
			for _, status := range []corpus.Status{corpus.Accepted, corpus.Extracting, corpus.Indexed, corpus.Embedding, corpus.Failed, corpus.Deleting, corpus.Deleted} {
				f.reach(t, string(status), status)
			}
			other := upload("of-another-tenant", "one")
			other.Tenant = "other"
			f.accept(t, other, catalog.Created)
			docs, err := f.Claim(t.Context(), f.fence(t), later(), 10)
			if err != nil {
				t.Fatal(err)
			}
			if got := ids(docs); got != "accepted extracting embedding deleting of-another-tenant" {
				t.Errorf("got %s", got)
			}
			wantEqual(t, "a stalled document", docs[0], f.current(t, "accepted"))
		},
		"a stalled document is given once": func(t *testing.T, f *fixture) {
			for i := range 5 {
				f.reach(t, fmt.Sprint("d", i), corpus.Accepted)
			}
			before := later()
			for _, want := range []string{"d0 d1", "d2 d3", "d4", ""} {
				docs, err := f.Claim(t.Context(), f.fence(t), before, 2)
				if err != nil || ids(docs) != want {
					t.Errorf("got %s, %v, want %s", ids(docs), err, want)
				}
			}
			docs, err := f.Claim(t.Context(), f.fence(t), later(), 10)
			if err != nil || ids(docs) != "d0 d1 d2 d3 d4" {
				t.Errorf("a lease later: got %s, %v", ids(docs), err)
			}
		},
		"every step counts as a move": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			for name, step := range f.steps(t, doc) {
				before := later()
				step()
				if docs, err := f.Claim(t.Context(), f.fence(t), before, 10); err != nil || len(docs) != 0 {
					t.Errorf("%s: stalled %s, %v", name, ids(docs), err)
				}
			}
		},
		"being given does not change the document": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			if _, err := f.Claim(t.Context(), f.fence(t), later(), 10); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the document", f.current(t, "d"), doc)
		},
		"open batches are those not finished": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			_, open := f.extract(t, doc, 200)
			if _, err := f.FinishBatch(t.Context(), ref(doc), 2); err != nil {
				t.Fatal(err)
			}
			got, err := f.OpenBatches(t.Context(), ref(doc))
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the open batches", got, append(open[:2:2], open[3]))
		},
		"a store that is open is ready": func(t *testing.T, f *fixture) {
			if err := f.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		},
	}
}

// steps yields the steps of a document that is extracted, in order.
func (f *fixture) steps(t *testing.T, doc corpus.Document) func(func(string, func()) bool) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	list := []struct {
		name string
		do   func()
	}{
		{"Begin", func() { _, _, err := f.Begin(t.Context(), ref(doc)); check(err) }},
		{"Begin again", func() { _, _, err := f.Begin(t.Context(), ref(doc)); check(err) }},
		{"PutChunks", func() { check(f.PutChunks(t.Context(), ref(doc), chunksOf(doc, 70))) }},
		{"Extracted", func() {
			_, _, err := f.Extracted(t.Context(), ref(doc), catalog.Extraction{Chunks: 70})
			check(err)
		}},
		{"FinishBatch", func() { _, err := f.FinishBatch(t.Context(), ref(doc), 0); check(err) }},
	}
	return func(yield func(string, func()) bool) {
		for _, s := range list {
			if !yield(s.name, s.do) {
				return
			}
		}
	}
}

// racers is how many do the same thing at once.
const racers = 20

// race runs do from many goroutines that start together.
func race(do func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range racers {
		wg.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	wg.Wait()
}

func raceCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"the same upload makes one document": func(t *testing.T, f *fixture) {
			var mu sync.Mutex
			outcomes := make(map[catalog.Outcome]int)
			race(func(i int) {
				u := upload("d", "one")
				u.BlobKey += fmt.Sprint("-", i)
				_, outcome, err := f.Accept(t.Context(), u)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				outcomes[outcome]++
				mu.Unlock()
			})
			wantEqual(t, "the outcomes", outcomes, map[catalog.Outcome]int{catalog.Created: 1, catalog.Unchanged: racers - 1})
			wantStatus(t, f.current(t, "d"), corpus.Accepted, 1)
		},
		"different bytes make one generation each": func(t *testing.T, f *fixture) {
			var mu sync.Mutex
			generations := make(map[int64]bool)
			race(func(i int) {
				doc, _, err := f.Accept(t.Context(), upload("d", fmt.Sprint("content ", i)))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				generations[doc.Generation] = true
				mu.Unlock()
			})
			if len(generations) != racers || f.current(t, "d").Generation != racers {
				t.Errorf("%d generations for %d uploads", len(generations), racers)
			}
		},
		"the last batch is the last one only once": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			f.extract(t, doc, racers*catalog.BatchSize)
			var mu sync.Mutex
			seen := make(map[int]int)
			race(func(i int) {
				open, err := f.FinishBatch(t.Context(), ref(doc), i)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				seen[open]++
				mu.Unlock()
			})
			for open, n := range seen {
				if n != 1 {
					t.Errorf("%d batches were open %d times", open, n)
				}
			}
			if got := f.current(t, "d").Embedded; got != racers*catalog.BatchSize {
				t.Errorf("%d chunks are embedded", got)
			}
		},
		"sweepers share the stalled documents": func(t *testing.T, f *fixture) {
			const n = 50
			for i := range n {
				f.accept(t, upload(fmt.Sprint("d", i), "one"), catalog.Created)
			}
			before, fence := later(), f.fence(t)
			var mu sync.Mutex
			given := make(map[string]int)
			race(func(int) {
				docs, err := f.Claim(t.Context(), fence, before, 4)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, d := range docs {
					given[d.ID]++
				}
			})
			for id, n := range given {
				if n != 1 {
					t.Errorf("%s was given %d times", id, n)
				}
			}
			if len(given) != n {
				t.Errorf("%d of %d documents were given", len(given), n)
			}
		},
		"readers see whole versions while they are replaced": func(t *testing.T, f *fixture) {
			f.index(t, f.accept(t, upload("d", "0"), catalog.Created), 10)
			done := make(chan struct{})
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						chunks := f.live(t)
						if len(chunks) != 10 || chunks[0].Version != chunks[9].Version {
							t.Errorf("%d chunks are live", len(chunks))
							return
						}
					}
				})
			}
			for i := 1; i <= 10; i++ {
				doc := f.index(t, f.accept(t, upload("d", fmt.Sprint(i)), catalog.Replaced), 10)
				if err := f.SweepVersions(t.Context(), ref(doc)); err != nil {
					t.Error(err)
				}
			}
			close(done)
			wg.Wait()
		},
	}
}
