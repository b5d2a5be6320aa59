// Package embedtest is the contract suite of [embed.Embedder]. Every adapter
// runs it on what its constructor returns; a case that fails names the
// promise that was broken.
package embedtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/embed"
)

// Caps declares what an adapter cannot show.
type Caps struct {
	// Instant adapters finish a batch of 256 long passages within 20 ms, so
	// that a call cannot be seen to end early.
	Instant bool
	// Tolerance is how far two vectors of one text may differ in any
	// element; zero means 1e-5.
	Tolerance float64
}

// prompt is how soon a call must return after its context ended: generous,
// for a busy machine, and far below what the interrupted work would take.
const prompt = 2 * time.Second

// Run runs the suite. open is called by each case, which run in parallel, and
// may return the same embedder every time; it registers its own cleanup.
func Run(t *testing.T, open func(t *testing.T) embed.Embedder, caps Caps) {
	t.Helper()
	if caps.Tolerance == 0 {
		caps.Tolerance = 1e-5
	}
	cases := []struct {
		name string
		run  func(t *testing.T, s suite)
	}{
		{"profile is complete and does not change", checkProfile},
		{"no texts give no vectors", checkNoTexts},
		{"each text gets its vector in order", checkOrder},
		{"queries and passages both get vectors", checkPurposes},
		{"the same text gets the same vector", checkRepeat},
		{"vectors belong to the caller", checkOwnership},
		{"similar texts are closer than unrelated ones", checkSimilarity},
		{"odd texts get vectors", checkOddTexts},
		{"text beyond the limit is cut", checkLongTexts},
		{"concurrent calls do not mix", checkConcurrency},
		{"a context that has ended is noticed", checkCancelledBefore},
		{"a context that ends is noticed soon", checkCancelledDuring},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, suite{Embedder: open(t), caps: caps})
		})
	}
}

type suite struct {
	embed.Embedder
	caps Caps
}

// embed embeds and checks what holds for every result.
func (s suite) embed(t *testing.T, purpose embed.Purpose, texts ...string) [][]float32 {
	t.Helper()
	vectors, err := s.Embed(t.Context(), purpose, texts)
	if err != nil {
		t.Fatalf("embed %d texts: %v", len(texts), err)
	}
	if err := s.check(vectors, len(texts)); err != nil {
		t.Fatal(err)
	}
	return vectors
}

func (s suite) check(vectors [][]float32, texts int) error {
	if len(vectors) != texts {
		return fmt.Errorf("%d vectors for %d texts", len(vectors), texts)
	}
	for i, v := range vectors {
		if want := s.Profile().Dimensions; len(v) != want {
			return fmt.Errorf("vector %d has %d dimensions, want %d", i, len(v), want)
		}
		if length := math.Sqrt(dot(v, v)); math.IsNaN(length) || math.Abs(length-1) > 1e-3 {
			return fmt.Errorf("vector %d has length %v, want 1", i, length)
		}
	}
	return nil
}

func (s suite) same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x)-float64(y)) <= s.caps.Tolerance })
}

func dot(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// passages returns n texts that differ, each of about words words.
func passages(n, words int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("Passage %d. ", i) + strings.Repeat(fmt.Sprintf("Item %d follows item %d in the list. ", i, i+1), words/8+1)
	}
	return out
}

func checkProfile(t *testing.T, s suite) {
	p := s.Profile()
	if p.Provider == "" || p.Model == "" || p.Dimensions <= 0 {
		t.Errorf("profile %+v lacks provider, model or dimensions", p)
	}
	switch p.Fusion.Method {
	case embed.ScaledMax, embed.MinMax, embed.RRF:
	default:
		t.Errorf("fusion method is %q", p.Fusion.Method)
	}
	for _, w := range []float64{p.Fusion.DenseWeight, p.Fusion.ForeignDenseWeight} {
		if w < 0 || w > 1 {
			t.Errorf("dense weight %v is outside [0,1]", w)
		}
	}
	if p.MinScore < -1 || p.MinScore >= 1 {
		t.Errorf("minimum score %v is no cosine", p.MinScore)
	}
	s.embed(t, embed.Query, "a question")
	if diff := cmp.Diff(p, s.Profile()); diff != "" {
		t.Errorf("profile changed (-before +after):\n%s", diff)
	}
}

func checkNoTexts(t *testing.T, s suite) {
	s.embed(t, embed.Passage)
	s.embed(t, embed.Query)
	if vectors, err := s.Embed(t.Context(), embed.Passage, nil); err != nil || len(vectors) != 0 {
		t.Errorf("nil texts give %d vectors and error %v", len(vectors), err)
	}
}

func checkOrder(t *testing.T, s suite) {
	// Lengths fall, so that whatever works side by side ends in another order.
	texts := make([]string, 0, 24)
	for i := range cap(texts) {
		texts = append(texts, passages(24, 8*(24-i))[i])
	}
	before := slices.Clone(texts)
	batch := s.embed(t, embed.Passage, texts...)
	if diff := cmp.Diff(before, texts); diff != "" {
		t.Errorf("texts were changed (-before +after):\n%s", diff)
	}
	for i, text := range texts {
		if single := s.embed(t, embed.Passage, text)[0]; !s.same(single, batch[i]) {
			t.Errorf("text %d has another vector in a batch than alone", i)
		}
		if i > 0 && s.same(batch[i-1], batch[i]) {
			t.Errorf("texts %d and %d have the same vector", i-1, i)
		}
	}
}

func checkPurposes(t *testing.T, s suite) {
	const text = "How long may a passport be used after it has expired?"
	query, passage := s.embed(t, embed.Query, text)[0], s.embed(t, embed.Passage, text)[0]
	if dot(query, passage) < 0.5 {
		t.Errorf("a text as query and as passage has cosine %.3f, want one space", dot(query, passage))
	}
}

func checkRepeat(t *testing.T, s suite) {
	const text = "Repeating a call is harmless."
	vectors := s.embed(t, embed.Passage, text, "something else", text)
	again := s.embed(t, embed.Passage, text)[0]
	if !s.same(vectors[0], vectors[2]) || !s.same(vectors[0], again) {
		t.Error("the same text has different vectors")
	}
}

func checkOwnership(t *testing.T, s suite) {
	texts := []string{"first text", "second text"}
	vectors := s.embed(t, embed.Passage, texts...)
	kept := slices.Clone(vectors[1])
	clear(vectors[0])
	if !slices.Equal(kept, vectors[1]) {
		t.Error("two vectors share memory")
	}
	if again := s.embed(t, embed.Passage, texts...); !s.same(kept, again[1]) || dot(again[0], again[0]) < 0.5 {
		t.Error("writing into a vector changes later ones")
	}
}

func checkSimilarity(t *testing.T, s suite) {
	query := s.embed(t, embed.Query, "Where did the cat sleep?")[0]
	found := s.embed(t, embed.Passage, "The cat did sleep on the warm windowsill.", "Quarterly revenue rose by nine percent.")
	if near, far := dot(query, found[0]), dot(query, found[1]); near <= far {
		t.Errorf("cosine to the answer is %.3f, to an unrelated text %.3f", near, far)
	}
}

func checkOddTexts(t *testing.T, s suite) {
	odd := []string{
		"", " ", "\n\t\u00a0", "\x00", "\xff\xfe", "half \xe2\x82", "\u200b\u200d", "🙂👍🏽", "日本語のテキスト",
		"مرحبا بالعالم", "e\u0301\u0301\u0301", "[CLS] [SEP] [MASK]", "<|endoftext|>", `{"input": "x"}`,
	}
	s.embed(t, embed.Passage, odd...)
	for _, text := range odd {
		s.embed(t, embed.Query, text)
	}
}

func checkLongTexts(t *testing.T, s suite) {
	const size = 1 << 20
	s.embed(t, embed.Passage,
		strings.Repeat("word ", size/5), strings.Repeat("x", size), strings.Repeat(" ", size)+"end",
		strings.Repeat("\u0301", size/2), strings.Repeat("漢", size/3), strings.Repeat("\xff", size), strings.Repeat("!", size))
}

func checkConcurrency(t *testing.T, s suite) {
	const callers = 12
	texts := passages(callers, 12)
	want := s.embed(t, embed.Passage, texts...)
	wantQueries := s.embed(t, embed.Query, texts...)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			purpose, expected := embed.Passage, want
			if i%2 == 0 {
				purpose, expected = embed.Query, wantQueries
			}
			mine := []string{texts[i], texts[(i+1)%callers], texts[(i+5)%callers]}
			got, err := s.Embed(t.Context(), purpose, mine)
			if err == nil {
				err = s.check(got, len(mine))
			}
			if err != nil {
				t.Errorf("caller %d: %v", i, err)
				return
			}
			for j, k := range []int{i, (i + 1) % callers, (i + 5) % callers} {
				if !s.same(got[j], expected[k]) {
					t.Errorf("caller %d got another text's vector at %d", i, j)
				}
			}
		})
	}
	group.Wait()
}

func checkCancelledBefore(t *testing.T, s suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, purpose := range []embed.Purpose{embed.Query, embed.Passage} {
		vectors, err := s.Embed(ctx, purpose, []string{"too late"})
		if !errors.Is(err, context.Canceled) || vectors != nil {
			t.Errorf("purpose %d: %d vectors and error %v, want none and context.Canceled", purpose, len(vectors), err)
		}
	}
}

func checkCancelledDuring(t *testing.T, s suite) {
	if s.caps.Instant {
		s.embed(t, embed.Passage, passages(256, 400)...)
		return
	}
	s.embed(t, embed.Query, "anything that is loaded on first use is loaded now")
	for _, purpose := range []embed.Purpose{embed.Query, embed.Passage} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		vectors, err := s.Embed(ctx, purpose, passages(256, 400))
		deadline, _ := ctx.Deadline()
		late := time.Since(deadline)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || vectors != nil {
			t.Errorf("purpose %d: %d vectors and error %v, want none and context.DeadlineExceeded", purpose, len(vectors), err)
		}
		if late > prompt {
			t.Errorf("purpose %d: returned %s after the context ended, want at most %s", purpose, late, prompt)
		}
	}
	s.embed(t, embed.Query, "the embedder works on after a call was given up")
}
