package catalogtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// model is what the contract says of one document, without a database.
type model struct {
	exists     bool
	generation int64
	status     corpus.Status
	content    string
	live       string
	retryable  bool
	// stored has the contents whose chunks are there, done the batches of the generation.
	stored map[string]bool
	done   map[int]bool
}

// sizes is how many chunks each content has: no batch, one, or several.
func sizes() map[string]int { return map[string]int{"v1": 3, "v2": catalog.BatchSize + 1, "v3": 0} }

func batchesOf(content string) int {
	return (sizes()[content] + catalog.BatchSize - 1) / catalog.BatchSize
}

// The results that a model predicts.
type result string

const (
	fine     result = "fine"
	stale    result = "stale"
	missing  result = "not found"
	refused  result = "refused"
	walkSize        = 200
)

func resultOf(err error) result {
	switch {
	case err == nil:
		return fine
	case errors.Is(err, catalog.ErrStale):
		return stale
	case fault.Is(err, fault.NotFound):
		return missing
	case fault.Is(err, fault.Permanent), fault.Is(err, fault.Invalid):
		return refused
	}
	return result(err.Error())
}

func modelCases() map[string]func(*testing.T, *fixture) {
	cases := make(map[string]func(*testing.T, *fixture))
	for seed := range uint64(5) {
		cases[fmt.Sprintf("of work agrees with the model, seed %d", seed)] = func(t *testing.T, f *fixture) {
			w := &walk{f: f, r: rand.New(rand.NewPCG(seed, 7)), m: model{stored: map[string]bool{}, done: map[int]bool{}}}
			for range walkSize {
				w.step(t)
				if t.Failed() {
					t.Fatalf("after:\n%s", strings.Join(w.trace, "\n"))
				}
			}
		}
	}
	return cases
}

// walk does random things to one document and to its model.
type walk struct {
	f     *fixture
	r     *rand.Rand
	m     model
	trace []string
}

type operation struct {
	name string
	// weight is how often it is chosen.
	weight int
	// ref operations carry a generation, sometimes an old one.
	ref bool
	do  func(t *testing.T, r catalog.Ref) error
	// predict changes the model and says what happens.
	predict func(m *model) result
}

func (w *walk) step(t *testing.T) {
	t.Helper()
	ops := w.operations()
	total := 0
	for _, o := range ops {
		total += o.weight
	}
	pick := w.r.IntN(total)
	for _, o := range ops {
		if pick -= o.weight; pick >= 0 {
			continue
		}
		r := catalog.Ref{Tenant: tenant, ID: "d", Generation: w.m.generation}
		if o.ref && w.r.IntN(4) == 0 {
			r.Generation = w.r.Int64N(w.m.generation + 1)
		}
		before := w.m.generation
		want := w.predict(o, r)
		got := resultOf(o.do(t, r))
		w.trace = append(w.trace, fmt.Sprintf("%s(%d) in generation %d: %s → %s %s", o.name, r.Generation, before, got, w.m.status, w.m.content))
		if got != want {
			t.Errorf("%s(%d): got %s, want %s", o.name, r.Generation, got, want)
		}
		w.check(t)
		return
	}
}

func (w *walk) predict(o operation, r catalog.Ref) result {
	if o.ref && !w.m.exists {
		return missing
	}
	if o.ref && r.Generation != w.m.generation {
		return stale
	}
	return o.predict(&w.m)
}

// check compares the store with the model, and with what is always true.
func (w *walk) check(t *testing.T) {
	t.Helper()
	doc, err := w.f.Document(t.Context(), tenant, "d")
	if !w.m.exists {
		wantNotFound(t, "the document", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, doc, w.m.status, w.m.generation)
	live := ""
	if w.m.live != "" {
		live = catalog.TextHash(w.m.live)
	}
	if doc.LiveVersion != live {
		t.Errorf("live is %.8s, want %q", doc.LiveVersion, w.m.live)
	}
	chunks := w.f.live(t)
	if len(chunks) != sizes()[w.m.live] {
		t.Errorf("%d chunks of %q are live", len(chunks), w.m.live)
	}
	embedded := 0
	for b := range w.m.done {
		embedded += min(catalog.BatchSize, sizes()[w.m.content]-b*catalog.BatchSize)
	}
	if doc.Embedded != embedded {
		t.Errorf("%d chunks are embedded, want %d", doc.Embedded, embedded)
	}
	for content, n := range sizes() {
		doc.SHA256 = catalog.TextHash(content)
		found, err := w.f.Find(t.Context(), w.f.system, chunkRefs(chunksOf(doc, n)))
		if err != nil {
			t.Fatal(err)
		}
		seen := w.m.stored[content] && (content == w.m.live || content == w.m.content) && w.m.status != corpus.Deleting && w.m.status != corpus.Deleted
		if want := map[bool]int{true: n}[seen]; len(found) != want {
			t.Errorf("%d chunks of %q are found, want %d", len(found), content, want)
		}
	}
}

func (m *model) next(status corpus.Status) {
	m.generation++
	m.status = status
	m.done = map[int]bool{}
}

func (m *model) in(states ...corpus.Status) bool {
	return slices.Contains(states, m.status)
}

func (w *walk) operations() []operation {
	content := []string{"v1", "v2", "v3"}[w.r.IntN(3)]
	batch, retryable := w.r.IntN(3), w.r.IntN(2) == 0
	ctxDoc := func() corpus.Document {
		return corpus.Document{Tenant: tenant, ID: "d", SHA256: catalog.TextHash(w.m.content)}
	}
	f := w.f
	return append(w.asked(content), []operation{
		{"begin", 8, true, func(t *testing.T, r catalog.Ref) error { _, _, err := f.Begin(t.Context(), r); return err }, func(m *model) result {
			if !m.in(corpus.Accepted, corpus.Extracting) {
				return stale
			}
			m.status = corpus.Extracting
			return fine
		}},
		{"chunks", 8, true, func(t *testing.T, r catalog.Ref) error {
			return f.PutChunks(t.Context(), r, chunksOf(ctxDoc(), sizes()[w.m.content]))
		}, func(m *model) result {
			if !m.in(corpus.Extracting) {
				return stale
			}
			m.stored[m.content] = true
			return fine
		}},
		{"extracted", 8, true, func(t *testing.T, r catalog.Ref) error {
			_, _, err := f.Extracted(t.Context(), r, catalog.Extraction{Chunks: sizes()[w.m.content]})
			return err
		}, func(m *model) result {
			switch {
			case m.in(corpus.Embedding):
				return fine
			case !m.in(corpus.Extracting):
				return stale
			case !m.stored[m.content] && sizes()[m.content] > 0:
				return refused
			}
			m.status = corpus.Embedding
			return fine
		}},
		{"finish", 10, true, func(t *testing.T, r catalog.Ref) error { _, err := f.FinishBatch(t.Context(), r, batch); return err }, func(m *model) result {
			switch {
			case !m.in(corpus.Embedding, corpus.Indexed):
				return stale
			case batch >= batchesOf(m.content):
				return refused
			}
			m.done[batch] = true
			return fine
		}},
		{"go live", 10, true, func(t *testing.T, r catalog.Ref) error { _, err := f.GoLive(t.Context(), r); return err }, func(m *model) result {
			switch {
			case m.in(corpus.Indexed):
				return fine
			case !m.in(corpus.Embedding):
				return stale
			case len(m.done) < batchesOf(m.content):
				return refused
			}
			m.status, m.live = corpus.Indexed, m.content
			return fine
		}},
		{"sweep", 5, true, func(t *testing.T, r catalog.Ref) error { return f.SweepVersions(t.Context(), r) }, func(m *model) result {
			if !m.in(corpus.Indexed) {
				return stale
			}
			m.stored = map[string]bool{m.live: true}
			return fine
		}},
		{"fail", 2, true, func(t *testing.T, r catalog.Ref) error {
			_, err := f.Fail(t.Context(), r, corpus.Failure{Code: "x", Retryable: retryable})
			return err
		}, func(m *model) result {
			switch {
			case m.in(corpus.Failed):
				return fine
			case !m.in(corpus.Accepted, corpus.Extracting, corpus.Embedding):
				return stale
			}
			m.status, m.retryable = corpus.Failed, retryable
			return fine
		}},
		{"removed", 3, true, func(t *testing.T, r catalog.Ref) error { _, err := f.Removed(t.Context(), r); return err }, func(m *model) result {
			if !m.in(corpus.Deleting, corpus.Deleted) {
				return stale
			}
			m.status, m.stored = corpus.Deleted, map[string]bool{}
			return fine
		}},
	}...)
}

// asked is what people ask for, and the sweeper.
func (w *walk) asked(content string) []operation {
	f := w.f
	return []operation{
		{"accept " + content, 4, false, func(t *testing.T, _ catalog.Ref) error {
			_, _, err := f.Accept(t.Context(), upload("d", content))
			return err
		}, func(m *model) result {
			switch {
			case !m.exists || m.in(corpus.Deleting, corpus.Deleted):
				m.stored, m.live = map[string]bool{}, ""
			case m.content == content && (!m.in(corpus.Failed) || !m.retryable):
				return fine
			}
			m.exists, m.content = true, content
			m.next(corpus.Accepted)
			return fine
		}},
		{"delete", 1, false, func(t *testing.T, _ catalog.Ref) error { _, err := f.Delete(t.Context(), f.everyone, "d"); return err }, func(m *model) result {
			if !m.exists {
				return missing
			}
			if !m.in(corpus.Deleting, corpus.Deleted) {
				m.next(corpus.Deleting)
				m.live = ""
			}
			return fine
		}},
		{"retry", 2, false, func(t *testing.T, _ catalog.Ref) error { _, err := f.Retry(t.Context(), f.everyone, "d"); return err }, func(m *model) result {
			if !m.exists {
				return missing
			}
			if !m.in(corpus.Failed) {
				return refused
			}
			m.next(corpus.Accepted)
			return fine
		}},
		{"stalled", 1, false, func(t *testing.T, _ catalog.Ref) error {
			docs, err := f.Claim(t.Context(), f.fence(t), time.Now().Add(time.Hour), 10)
			if (len(docs) == 1) != (w.m.exists && !w.m.status.Settled()) {
				t.Errorf("%d documents are stalled", len(docs))
			}
			return err
		}, func(*model) result { return fine }},
	}
}
