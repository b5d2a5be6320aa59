package vectortest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/ragbus/ragbus/pkg/vector"
)

// tenantsNeverMeet writes the same ids and words into several tenants at
// random and checks that no search ever returns what its tenant has not live.
func tenantsNeverMeet(t *testing.T, f fixture) {
	rng := rand.New(rand.NewPCG(7, 11))
	words := []string{"fox", "wolf", "bear", "lynx", "crow"}
	tenants := []string{"t", "u", "T", "t-", "default"}
	live := make(map[string]map[string]string) // tenant → document → version
	for _, name := range tenants {
		live[name] = make(map[string]string)
	}
	for step := range 300 {
		name := tenants[rng.IntN(len(tenants))]
		doc := vector.Document{
			Tenant: name, Collection: []string{"c", "d"}[rng.IntN(2)], ID: fmt.Sprintf("d%d", rng.IntN(6)),
			Version: fmt.Sprintf("%s-%d", name, step), Generation: int64(step),
		}
		switch rng.IntN(4) {
		case 0:
			if err := f.Delete(t.Context(), name, doc.ID, doc.Generation); err != nil {
				t.Fatal(err)
			}
			delete(live[name], doc.ID)
		default:
			f.live(t, doc, words[rng.IntN(len(words))]+" "+words[rng.IntN(len(words))], words[rng.IntN(len(words))])
			live[name][doc.ID] = doc.Version
		}
		asker := tenants[rng.IntN(len(tenants))]
		text := words[rng.IntN(len(words))]
		hits := f.search(t, vector.Query{Scope: scope(t, asker, "group:x"), Mode: vector.Hybrid, Text: text, Dense: Vector(text), Limit: 100})
		seen := make(map[string]bool)
		for _, h := range hits {
			if h.Ref.Tenant != asker || live[asker][h.Ref.Document] != h.Ref.Version {
				t.Fatalf("step %d: %s found %+v, live is %q", step, asker, h.Ref, live[asker][h.Ref.Document])
			}
			seen[h.Ref.Document] = true
		}
		if len(seen) != len(live[asker]) {
			t.Fatalf("step %d: %s found %d documents of %d", step, asker, len(seen), len(live[asker]))
		}
	}
}

func otherTenantsKeepScores(t *testing.T, f fixture) {
	f.live(t, document("a"), "fox and wolf", "wolf", "bear")
	q := vector.Query{Scope: scope(t, "t"), Mode: vector.Hybrid, Text: "fox wolf", Dense: Vector("fox"), Collections: []string{"c"}}
	before := f.search(t, q)
	for i := range 20 {
		other := document(fmt.Sprintf("o%d", i))
		other.Tenant = "u"
		f.live(t, other, "fox", "fox fox", "wolf") //nolint:dupword // how often a word occurs matters
	}
	if f.caps.SharedIDF {
		same(t, "chunks found with another tenant's documents", sorted(ids(before)), sorted(ids(f.search(t, q))))
		return
	}
	same(t, "scores with another tenant's documents", before, f.search(t, q))
	if !f.caps.ScopedIDF {
		return
	}
	elsewhere := document("e")
	elsewhere.Collection = "d"
	f.live(t, elsewhere, "fox", "fox fox", "wolf") //nolint:dupword // how often a word occurs matters
	same(t, "scores with another collection's documents", before, f.search(t, q))
}

// wholeVersions changes documents while searches run: a search sees each
// document exactly once, in one version, with all of its chunks.
func wholeVersions(t *testing.T, f fixture) {
	const documents, chunks, versions = 4, 5, 25
	texts := make([]string, chunks)
	for i := range texts {
		texts[i] = fmt.Sprintf("fox number %d", i)
	}
	version := func(id string, n int) vector.Document {
		doc := document(id)
		doc.Version, doc.Generation = fmt.Sprintf("v%d", n), int64(n)
		return doc
	}
	for d := range documents {
		f.live(t, version(fmt.Sprintf("d%d", d), 1), texts...)
	}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for d := range documents {
		writers.Go(func() {
			for n := 2; n <= versions; n++ {
				doc := version(fmt.Sprintf("d%d", d), n)
				if err := f.Upsert(t.Context(), doc, points(texts...)); err != nil {
					t.Errorf("upsert: %v", err)
					return
				}
				if err := f.Activate(t.Context(), doc); err != nil {
					t.Errorf("activate: %v", err)
					return
				}
				if err := f.Sweep(t.Context(), doc); err != nil {
					t.Errorf("sweep: %v", err)
					return
				}
			}
		})
	}
	for _, mode := range []vector.Mode{vector.Keyword, vector.Dense, vector.Hybrid} {
		q := vector.Query{Scope: scope(t, "t"), Mode: mode, Text: "fox", Dense: Vector("fox"), Limit: 100, Fusion: Fusion()}
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				hits, err := f.Search(t.Context(), q)
				if err != nil {
					t.Errorf("search: %v", err)
					return
				}
				if problem := torn(hits, documents, chunks); problem != "" {
					t.Errorf("%s search: %s: %v", mode, problem, sorted(ids(hits)))
					return
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	hits := f.search(t, vector.Query{Scope: scope(t, "t"), Mode: vector.Keyword, Text: "fox", Limit: 100})
	for _, h := range hits {
		same(t, "final version", fmt.Sprintf("v%d", versions), h.Ref.Version)
	}
}

func torn(hits []vector.Hit, documents, chunks int) string {
	versions := make(map[string]string)
	var seen []string
	for _, h := range hits {
		if v, ok := versions[h.Ref.Document]; ok && v != h.Ref.Version {
			return "two versions of " + h.Ref.Document
		}
		versions[h.Ref.Document] = h.Ref.Version
		seen = append(seen, h.Ref.ID())
	}
	slices.Sort(seen)
	if len(slices.Compact(seen)) != len(hits) {
		return "a chunk was returned twice"
	}
	if len(versions) != documents || len(hits) != documents*chunks {
		return fmt.Sprintf("%d documents and %d chunks, want %d and %d", len(versions), len(hits), documents, documents*chunks)
	}
	return ""
}

func manyPoints(t *testing.T, f fixture) {
	doc := document("a")
	const batch, total = 500, 5000
	for from := 0; from < total; from += batch {
		p := make([]vector.Point, batch)
		for i := range p {
			text := fmt.Sprintf("common word%d", from+i)
			p[i] = vector.Point{Ordinal: from + i, Text: text, Dense: Vector(text)}
		}
		f.upsert(t, doc, p)
	}
	f.activate(t, doc)
	f.count(t, "a", "v1", total)
	for _, n := range []int{0, 2500, 4999} {
		text := fmt.Sprintf("word%d", n)
		same(t, "keyword", []string{fmt.Sprintf("a.v1.%d", n)}, f.keyword(t, text))
		hits := f.search(t, vector.Query{Scope: scope(t, "t"), Mode: vector.Dense, Dense: Vector("common " + text), Limit: 1})
		same(t, "dense", []string{fmt.Sprintf("a.v1.%d", n)}, ids(hits))
	}
	same(t, "limit", 200, len(f.search(t, vector.Query{Scope: scope(t, "t"), Mode: vector.Keyword, Text: "common", Limit: 200})))
}
