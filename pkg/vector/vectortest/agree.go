package vectortest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/vector"
)

// agreement is how far the scores of two stores may be apart, relative to the
// larger: the embedded store keeps cosines to about 1e-5, and fusion divides by the best.
const agreement = 5e-4

// Agree checks that two empty stores of [Dimensions] dimensions that are
// filled alike find the same chunks in the same order, ties aside, by
// keywords, by vectors and by both: with other tenants and collections beside,
// versions replaced and swept, and several ways of fusion.
func Agree(t *testing.T, a, b vector.Store) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 5))
	words := vocabulary(rng)
	stores := []fixture{{Store: a}, {Store: b}}
	for d := range 60 {
		doc := document(fmt.Sprintf("d%02d", d))
		doc.Collection = []string{"c", "d", "de"}[d%3]
		if d%10 == 0 {
			doc.Tenant = "u"
		}
		if d%7 == 0 {
			doc.ACL = []string{"group:x"}
		}
		doc.Metadata = map[string]any{"year": float64(2000 + d%20), "odd": d%2 == 1}
		for version := range 1 + d%3 {
			doc.Version, doc.Generation = fmt.Sprintf("v%d", version), int64(version)
			p := points(texts(rng, words, doc.Collection == "de")...)
			for _, f := range stores {
				f.upsert(t, doc, p)
				f.activate(t, doc)
				if err := f.Sweep(t.Context(), doc); err != nil {
					t.Fatalf("sweep: %v", err)
				}
			}
		}
	}
	questions := []string{"", "the of", "unheard"}
	for range 30 {
		questions = append(questions, question(rng, words))
	}
	AgreeOn(t, a, b, "t", questions, Vector)
}

// vocabulary returns words that no stemmer changes, the frequent ones first.
func vocabulary(rng *rand.Rand) []string {
	out := make([]string, 400)
	for i := range out {
		out[i] = fmt.Sprintf("%c%c%c%d", 'b'+rng.IntN(20), 'k'+rng.IntN(10), 'q'+rng.IntN(5), i)
	}
	return out
}

// zipf returns a word by Zipf's law.
func zipf(rng *rand.Rand, words []string) string {
	return words[min(len(words)-1, int(math.Exp(rng.Float64()*math.Log(float64(len(words))))))]
}

func texts(rng *rand.Rand, words []string, german bool) []string {
	functions := []string{"the", "of", "and", "is", "in"}
	if german {
		functions = []string{"der", "und", "die", "ist", "nicht"}
	}
	out := make([]string, 1+rng.IntN(12))
	for i := range out {
		var text []string
		for range 5 + rng.IntN(80) {
			text = append(text, functions[rng.IntN(len(functions))], zipf(rng, words))
		}
		out[i] = strings.Join(text, " ")
	}
	return out
}

func question(rng *rand.Rand, words []string) string {
	out := []string{"what", "is"}
	for range 1 + rng.IntN(6) {
		out = append(out, zipf(rng, words))
	}
	return strings.Join(out, " ")
}

// AgreeOn checks that two stores which hold the same chunks answer the
// questions alike. embed returns a question's vector, or nil for none.
func AgreeOn(t *testing.T, a, b vector.Store, tenant string, questions []string, vectorOf func(string) []float32) {
	t.Helper()
	low := 2010.0
	found := 0
	for _, text := range questions {
		for _, q := range []vector.Query{
			{Mode: vector.Keyword, Limit: 20},
			{Mode: vector.Keyword, Limit: 10, Collections: []string{"c"}},
			{Mode: vector.Dense, Limit: 20, Collections: []string{"d", "de"}},
			{Mode: vector.Hybrid, Limit: 20, Fusion: Fusion()},
			{Mode: vector.Hybrid, Limit: 20, Fusion: Fusion(), Collections: []string{"de"}},
			{Mode: vector.Hybrid, Limit: 20, Fusion: embed.Fusion{Method: embed.MinMax, DenseWeight: 0.5, ForeignDenseWeight: 0.5}},
			{Mode: vector.Hybrid, Limit: 20, Fusion: embed.Fusion{Method: embed.RRF, DenseWeight: 0.5, ForeignDenseWeight: 0.5}},
			{Mode: vector.Hybrid, Limit: 200, Fusion: Fusion(), Filter: corpus.Filter{{Key: "year", GTE: &low}, {Key: "odd", AnyOf: []any{true}}}},
		} {
			q.Scope, q.Text = scope(t, tenant, "group:x"), text
			if q.Dense = vectorOf(text); q.Dense == nil && q.Mode == vector.Dense {
				continue
			}
			left, err := a.Search(t.Context(), q)
			if err != nil {
				t.Fatalf("first store, %q: %v", text, err)
			}
			right, err := b.Search(t.Context(), q)
			if err != nil {
				t.Fatalf("second store, %q: %v", text, err)
			}
			found += len(left)
			if problem := differ(left, right, q); problem != "" {
				t.Errorf("%q, %s by %s in %v: %s", text, q.Mode, q.Fusion.Method, q.Collections, problem)
			}
		}
	}
	if found == 0 {
		t.Error("no question found anything: nothing was compared")
	}
}

// differ says where two answers differ by more than ties and rounding. Under
// RRF a tie in a leg moves the fused score, so there only most hits are the same.
func differ(left, right []vector.Hit, q vector.Query) string {
	if len(left) != len(right) {
		return fmt.Sprintf("%d hits and %d", len(left), len(right))
	}
	if q.Mode == vector.Hybrid && q.Fusion.Method == embed.RRF {
		return differByRank(left, right)
	}
	for i := range left {
		if !near(left[i].Score, right[i].Score) {
			return fmt.Sprintf("hit %d scores %v and %v", i, left[i].Score, right[i].Score)
		}
		if left[i].Ref == right[i].Ref {
			if !nearPointers(left[i].Keyword, right[i].Keyword) || !nearPointers(left[i].Dense, right[i].Dense) {
				return fmt.Sprintf("hit %d has other raw scores", i)
			}
			continue
		}
		at := slices.IndexFunc(right, func(h vector.Hit) bool { return h.Ref == left[i].Ref })
		cut := near(left[i].Score, left[len(left)-1].Score)
		if at < 0 && !cut || at >= 0 && !near(left[i].Score, right[at].Score) {
			return fmt.Sprintf("hit %d is %s and %s", i, left[i].Ref.ID(), right[i].Ref.ID())
		}
	}
	return ""
}

func differByRank(left, right []vector.Hit) string {
	common := 0
	for _, h := range left {
		if slices.ContainsFunc(right, func(o vector.Hit) bool { return o.Ref == h.Ref }) {
			common++
		}
	}
	if common*10 < len(left)*9 {
		return fmt.Sprintf("%d of %d hits are the same", common, len(left))
	}
	return ""
}

func near(a, b float64) bool {
	return math.Abs(a-b) <= agreement*max(1, math.Abs(a), math.Abs(b))
}

func nearPointers(a, b *float64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return near(*a, *b)
}
