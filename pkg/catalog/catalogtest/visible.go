package catalogtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
)

// visibleCases show that what Find remembers of earlier searches is never
// what a later one is answered with once it has changed.
func visibleCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a change holds for the very next search, whoever searches": func(t *testing.T, f *fixture) {
			const changes, searchers = 150, 3
			s := &sight{f: f, scopes: []corpus.Scope{f.everyone, scope(t, "crew"), f.system}}
			r := rand.New(rand.NewPCG(3, 5))
			s.replace(t)
			done := make(chan struct{})
			var wg sync.WaitGroup
			for i := range searchers {
				wg.Go(func() { s.search(t, s.scopes[i], i, done) })
			}
			for range changes {
				s.now.Store(nil)
				what := s.change(t, r)
				now := s.look(t)
				s.now.Store(now)
				for i, scope := range s.scopes {
					s.check(t, "after "+what, scope, now.refs, now.want[i])
				}
			}
			close(done)
			wg.Wait()
			if s.compared.Load() == 0 {
				t.Error("nobody searched between two changes")
			}
		},
	}
}

// sight is one document that changes, and what searches are to see of it.
type sight struct {
	f      *fixture
	scopes []corpus.Scope
	// content is the number of the current bytes.
	content int
	// now is what is to be seen until the next change begins; nil during one.
	now      atomic.Pointer[moment]
	compared atomic.Int64
}

// moment is what each scope must find when it asks for refs.
type moment struct {
	refs []corpus.ChunkRef
	want [][]catalog.Found
}

const sightChunks = 3

func (s *sight) replace(t *testing.T) {
	t.Helper()
	s.content++
	doc, _, err := s.f.Accept(t.Context(), upload("d", fmt.Sprint(s.content)))
	if err != nil {
		t.Fatal(err)
	}
	s.f.index(t, doc, sightChunks)
}

// change does one thing to the document and says what.
func (s *sight) change(t *testing.T, r *rand.Rand) string {
	t.Helper()
	title, acls := fmt.Sprint("Title ", r.IntN(1000)), [][]string{nil, {"crew"}, {"captain"}, {}}
	metadata := map[string]any{"n": float64(r.IntN(1000))}
	var (
		what string
		p    catalog.Patch
	)
	if s.f.current(t, "d").LiveVersion == "" {
		s.replace(t)
		return "creation"
	}
	switch n := r.IntN(12); {
	case n == 0:
		s.f.delete(t, "d")
		return "deletion"
	case n == 1:
		s.f.delete(t, "d")
		if _, err := s.f.Removed(t.Context(), ref(s.f.current(t, "d"))); err != nil {
			t.Fatal(err)
		}
		return "removal"
	case n < 4:
		s.replace(t)
		return "replacement"
	case n == 4:
		s.content++
		s.f.accept(t, upload("d", fmt.Sprint(s.content)), catalog.Replaced)
		return "upload"
	case n < 7:
		what, p.Title = "title", &title
	case n < 9:
		what, p.Metadata = "metadata", &metadata
	default:
		what, p.ACL = "acl", &acls[r.IntN(len(acls))]
	}
	if _, err := s.f.Patch(t.Context(), s.f.system, "d", p); err != nil {
		t.Fatal(err)
	}
	return what
}

// look reads what is to be found now, in other ways than by Find.
func (s *sight) look(t *testing.T) *moment {
	t.Helper()
	doc, now := s.f.current(t, "d"), &moment{}
	for n := max(1, s.content-3); n <= s.content; n++ {
		old := corpus.Document{Tenant: tenant, ID: "d", SHA256: catalog.TextHash(fmt.Sprint(n))}
		now.refs = append(now.refs, chunkRefs(chunksOf(old, sightChunks))...)
	}
	var live []corpus.Chunk
	if doc.LiveVersion != "" {
		live = s.f.live(t)
	}
	for _, scope := range s.scopes {
		var found []catalog.Found
		for _, c := range live {
			if scope.Sees(doc.ACL) {
				found = append(found, catalog.Found{Chunk: c, Document: doc})
			}
		}
		now.want = append(now.want, found)
	}
	return now
}

// search looks for the document all the time, so that whatever is remembered
// is remembered at every possible moment, and compares when it can tell what
// is to be found.
func (s *sight) search(t *testing.T, scope corpus.Scope, number int, done <-chan struct{}) {
	refs := chunkRefs(chunksOf(corpus.Document{Tenant: tenant, ID: "d", SHA256: catalog.TextHash("1")}, sightChunks))
	for {
		select {
		case <-done:
			return
		default:
		}
		before := s.now.Load()
		if before != nil {
			refs = before.refs
		}
		found, err := s.f.Find(t.Context(), scope, refs)
		if err != nil {
			t.Error(err)
			return
		}
		if before == nil || s.now.Load() != before {
			continue
		}
		s.compared.Add(1)
		if diff := cmp.Diff(before.want[number], slices.Concat(found)); diff != "" {
			t.Errorf("another goroutine (-want +got):\n%s", diff)
			return
		}
	}
}

func (s *sight) check(t *testing.T, what string, scope corpus.Scope, refs []corpus.ChunkRef, want []catalog.Found) {
	t.Helper()
	found, err := s.f.Find(t.Context(), scope, refs)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, what, slices.Concat(found), want)
}
