package embeddedvector

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/vector"
)

const naiveDimensions = 24

// randomIndex has documents of up to 200 chunks in several segments, some of them
// dead, some chunks without vectors, and many that are the same as others.
func randomIndex(t *testing.T, rng *rand.Rand, words *lexical.Analyzer, documents int) *tenant {
	t.Helper()
	tn := newTenant()
	var vectors [][]float32
	for range 40 {
		vectors = append(vectors, randomVector(rng, naiveDimensions))
	}
	for n := range documents {
		b := newBuilder(naiveDimensions)
		d := &document{id: fmt.Sprintf("d%03d", rng.IntN(documents)), version: fmt.Sprint("v", n), collection: "c"}
		d.attributes.Store(&attributes{acl: []string{corpus.Public}})
		b.open(d)
		for i := range rng.IntN(200) {
			var text []string
			for range 1 + rng.IntN(6) {
				text = append(text, pick(rng, "alder", "birch", "cedar", "elder", "maple", "willow"))
			}
			a := words.Analyze(strings.Join(text, " "))
			r := row{ordinal: uint32(i), length: a.Length, words: a.Words, english: a.EnglishWords, terms: encodeTerms(a.Terms)}
			switch rng.IntN(8) {
			case 0:
			case 1, 2:
				r.dense = encodeVector(vectors[rng.IntN(len(vectors))])
			default:
				r.dense = encodeVector(randomVector(rng, naiveDimensions))
			}
			if err := b.add(r); err != nil {
				t.Fatal(err)
			}
		}
		tn.show("c", b.finish())
	}
	return tn
}

func pick(rng *rand.Rand, words ...string) string { return words[rng.IntN(len(words))] }

// naive searches by scoring every chunk and sorting everything.
func naive(c *collection, q vector.Query, terms []lexical.Term) []vector.Hit {
	asked := newQuestion(q.Dense)
	type scored struct {
		vector.Hit
		coarse float32
	}
	var all []scored
	foreign := lexical.Foreign(c.words, c.english)
	for i := range c.parts {
		p := &c.parts[i]
		scores := make([]float32, p.size())
		for _, term := range terms {
			holding := 0
			for j := range c.parts {
				chunks, _ := c.parts[j].postings(term.ID)
				for _, chunk := range chunks {
					if !c.parts[j].isDead(c.parts[j].owner[chunk]) {
						holding++
					}
				}
			}
			chunks, impacts := p.postings(term.ID)
			for j, chunk := range chunks {
				scores[chunk] += float32(float64(term.Count)*lexical.IDF(c.chunks, holding)) * impacts[j]
			}
		}
		for chunk, score := range scores {
			d := p.documents[p.owner[chunk]]
			if p.isDead(p.owner[chunk]) {
				continue
			}
			s := scored{Hit: vector.Hit{Collection: "c", Ref: corpus.ChunkRef{Tenant: "t", Document: d.id, Version: d.version, Ordinal: int(p.ordinals[chunk])}}}
			if score > 0 {
				s.Keyword = new(float64)
				*s.Keyword = float64(score)
			}
			high, low := p.row(p.high, uint32(chunk)), p.row(p.low, uint32(chunk))
			if p.scales[chunk] != noVector {
				dot := make([]int32, 1)
				dotRows(asked.steps, high, dot)
				s.coarse = float32(dot[0]) * p.scales[chunk] * asked.scale
				s.Dense = new(float64)
				*s.Dense = asked.cosine(high, low, p.scales[chunk])
			}
			all = append(all, s)
		}
	}
	depth := vector.Depth
	if q.Mode != vector.Hybrid {
		depth = max(depth, q.Limit)
	}
	leg := func(keep func(scored) bool, score func(scored) float64, from []scored, limit int) []scored {
		var out []scored
		for _, s := range from {
			if keep(s) {
				s.Score = score(s)
				out = append(out, s)
			}
		}
		slices.SortFunc(out, func(x, y scored) int { return vector.Compare(x.Hit, y.Hit) })
		return out[:min(limit, len(out))]
	}
	hits := func(list []scored, change func(*vector.Hit)) []vector.Hit {
		out := []vector.Hit{}
		for _, s := range list {
			change(&s.Hit)
			out = append(out, s.Hit)
		}
		return out
	}
	hasDense := func(s scored) bool { return s.Dense != nil }
	keyword := leg(func(s scored) bool { return s.Keyword != nil }, func(s scored) float64 { return *s.Keyword }, all, depth)
	dense := leg(hasDense, func(s scored) float64 { return *s.Dense },
		leg(hasDense, func(s scored) float64 { return float64(s.coarse) }, all, depth*rescoreFactor), depth)
	byMeaning := hits(dense, func(h *vector.Hit) { h.Keyword = nil })
	switch q.Mode {
	case vector.Keyword:
		out := hits(keyword, func(h *vector.Hit) { h.Dense = nil })
		return out[:min(len(out), q.Limit)]
	case vector.Dense:
		return byMeaning[:min(len(byMeaning), q.Limit)]
	case vector.Hybrid:
	}
	return vector.Fuse(q.Fusion, foreign, hits(keyword, func(*vector.Hit) {}), byMeaning, q.Limit)
}

func TestSearchesFindWhatSortingEverythingFinds(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(11, 12))
	scope, err := corpus.NewScope("t")
	if err != nil {
		t.Fatal(err)
	}
	for _, documents := range []int{1, 4, 30, 60} {
		s := &Store{cfg: Config{Dimensions: naiveDimensions}, words: lexical.New()}
		tn := randomIndex(t, rng, s.words, documents)
		c := (*tn.view.Load())["c"]
		if c == nil {
			continue
		}
		for _, mode := range []vector.Mode{vector.Hybrid, vector.Keyword, vector.Dense} {
			for _, method := range []embed.FusionMethod{embed.ScaledMax, embed.MinMax, embed.RRF} {
				for range 8 {
					q := vector.Query{
						Scope: scope, Mode: mode, Text: pick(rng, "birch", "cedar maple elder", "alder willow birch maple", "absent"), Limit: 1 + rng.IntN(200),
						Dense:  randomVector(rng, naiveDimensions),
						Fusion: embed.Fusion{Method: method, DenseWeight: pick01(rng), ForeignDenseWeight: pick01(rng)},
					}
					run := s.startRun(*tn.view.Load(), q)
					got, err := run.hits(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					want := naive(c, q, s.words.Query(q.Text, run.languages))
					s.endRun(run)
					if diff := gocmp.Diff(want, got); diff != "" {
						t.Fatalf("%d chunks, %s, %s, limit %d, %q: %s", c.chunks, mode, method, q.Limit, q.Text, diff)
					}
				}
			}
		}
	}
}

func pick01(rng *rand.Rand) float64 { return float64(rng.IntN(5)) / 4 }

// The scores are few and far apart, so that whole buckets tie.
func TestTheBestAreThoseThatSortingPutsFirst(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(13, 14))
	s := smallSegment(t, rng, "d", 2000)
	r := &run{pieces: []piece{{part: part{segment: s}}}}
	for round := range 300 {
		limit, distinct := 1+rng.IntN(60), 1+rng.IntN(round+1)
		var b best
		b.start(r, limit)
		var all []found
		for i := range rng.IntN(s.size()) {
			score := float64(rng.IntN(distinct))
			if rng.IntN(50) == 0 {
				score *= 1e6
			}
			f := found{score: score, chunk: uint32(i)}
			all = append(all, f)
			if f.score >= b.floor() {
				b.offer(f)
			}
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		slices.SortFunc(all, func(x, y found) int {
			return cmp.Or(cmp.Compare(y.score, x.score), cmp.Compare(x.chunk, y.chunk))
		})
		if want := all[:min(limit, len(all))]; !slices.Equal(want, b.sorted()) {
			t.Fatalf("round %d, limit %d of %d: %v, want %v", round, limit, len(all), b.kept, want)
		}
	}
}
