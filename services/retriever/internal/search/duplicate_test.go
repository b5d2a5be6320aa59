package search

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/ragbus/ragbus/pkg/corpus"
)

func TestNearDuplicates(t *testing.T) {
	t.Parallel()
	const text = "The herring swims in large schools through the northern seas, and every spring it comes close to the coast to spawn."
	for _, c := range []struct {
		name  string
		other string
		want  bool
	}{
		{"the same", text, true},
		{"other case and punctuation", strings.ToUpper(text) + "!!", true},
		{"one word changed", strings.Replace(text, "northern", "southern", 1), false},
		{"a small part of it", "The herring swims in large schools.", false},
		{"something else", "The salmon climbs rivers and jumps over falls that are higher than a man, to spawn where it was born.", false},
		{"nothing", "", false},
	} {
		f := passagesSeen{known: newPrints()}
		if f.nearDuplicate(chunk(1, text)) {
			t.Fatal("the first one is a duplicate")
		}
		if got := f.nearDuplicate(chunk(2, c.other)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func chunk(ordinal int, text string) *corpus.Chunk {
	return &corpus.Chunk{ChunkRef: corpus.ChunkRef{Tenant: "t", Document: "d", Version: "v", Ordinal: ordinal}, Text: text}
}

func TestAFingerprintIsOfTheTextThatTheChunkHasNow(t *testing.T) {
	t.Parallel()
	known := newPrints()
	for _, text := range []string{"The herring swims in large schools.", "The salmon climbs rivers.", "The herring swims in large schools."} {
		for range 2 {
			if got := known.of(chunk(1, text)); got.text != text {
				t.Errorf("the fingerprint of %q for %q", got.text, text)
			}
		}
	}
	if a, b := known.of(chunk(1, "a")), known.of(chunk(1, "a")); a != b {
		t.Error("the same text was looked at twice")
	}
}

func TestTextWithoutSpacesHasShinglesToo(t *testing.T) {
	t.Parallel()
	const text = "鲱鱼在北方的海洋里成群结队地游动每年春天它们都会来到海岸附近产卵这是渔民一年中最忙碌的季节"
	f := passagesSeen{known: newPrints()}
	if f.nearDuplicate(chunk(1, text)) || !f.nearDuplicate(chunk(2, text)) {
		t.Error("the same text was not seen")
	}
	if f.nearDuplicate(chunk(3, "鲑鱼在秋天逆流而上跳过比人还高的瀑布回到它们出生的地方产卵然后死去它们的身体养活了河边的森林")) {
		t.Error("another text was taken for the same")
	}
}

func TestADuplicateMayDifferALittle(t *testing.T) {
	t.Parallel()
	set := func(numbers ...uint64) []uint64 { return numbers }
	twenty := set(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
	for _, c := range []struct {
		name  string
		large []uint64
		want  bool
	}{
		{"all", twenty, true},
		{"17 of 20", twenty[3:], true},
		{"17 of 20, others behind", append(slices.Clone(twenty[:17]), 30, 31, 32), true},
		{"16 of 20", twenty[4:], false},
		{"none", set(21, 22), false},
		{"nothing", nil, false},
	} {
		if got := mostlyIn(twenty, c.large); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// sampleTexts returns passages of about 1,000 characters in several languages
// and layouts: pieces of the project's own texts.
func sampleTexts(tb testing.TB) []string {
	tb.Helper()
	const root = "../../../../"
	var all []string
	for _, path := range []string{
		"cmd/ragbus/sample/travel-policy.md", "cmd/ragbus/sample/incident-handbook.html", "services/ingestor/internal/extract/testdata/guide.md",
		"services/ingestor/internal/extract/pdf/testdata/golden/latex-twocolumn.txt", "services/ingestor/internal/extract/pdf/testdata/golden/weasyprint-rtl.txt",
	} {
		text, err := os.ReadFile(root + path)
		if err != nil {
			tb.Fatal(err)
		}
		for len(text) > 0 {
			all = append(all, string(text[:min(1000, len(text))]))
			text = text[min(1000, len(text)):]
		}
	}
	return append(all, strings.Split(chinese, "。")...)
}

const chinese = `鲱鱼在北方的海洋里成群结队地游动每年春天它们都会来到海岸附近产卵这是渔民一年中最忙碌的季节
。鲑鱼在秋天逆流而上跳过比人还高的瀑布回到它们出生的地方产卵然后死去它们的身体养活了河边的森林。鳕鱼生活在冷水里`

// sameNaively is nearDuplicate as one would write it first, with words as words.
func sameNaively(a, b string) bool {
	small, large := shinglesNaively(a), shinglesNaively(b)
	if len(small) > len(large) {
		small, large = large, small
	}
	shared := 0
	for s := range small {
		if large[s] {
			shared++
		}
	}
	return 2*len(small) >= len(large) && shared >= int(math.Ceil(duplicateShare*float64(len(small))))
}

func shinglesNaively(text string) map[string]bool {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	for i := range words {
		words[i] = strings.Map(unicode.ToLower, words[i])
	}
	if len(words) > 0 && len(text) > 24*len(words) {
		words = strings.Split(strings.Join(words, ""), "")
	}
	set := make(map[string]bool)
	for i := 0; i == 0 || i+shingleWords <= len(words); i++ {
		set[strings.Join(words[i:min(i+shingleWords, len(words))], " ")] = true
	}
	return set
}

func TestNearDuplicatesAreThoseOfANaiveComparison(t *testing.T) {
	t.Parallel()
	texts := sampleTexts(t)
	r := rand.New(rand.NewPCG(1, 2))
	for _, text := range slices.Clone(texts) {
		// Some words in a hundred are another, or words are gone at the end.
		for _, share := range []int{1, 2, 3, 4, 5, 7, 10} {
			words := strings.Fields(text)
			for i := range words {
				if r.IntN(100) < share {
					words[i] = fmt.Sprint("another", i)
				}
			}
			texts = append(texts, strings.Join(words, " "), strings.Join(words[:len(words)-len(words)*share*6/100], " "))
		}
	}
	prints := make([]*fingerprint, len(texts))
	for i, text := range texts {
		prints[i] = newFingerprint(text)
	}
	same := 0
	for i, a := range texts {
		for n, b := range texts[:i] {
			want := sameNaively(a, b)
			if got := prints[i].nearDuplicateOf(prints[n]); got != want {
				t.Fatalf("near-duplicates: %v, want %v:\n%s\n%s", got, want, a, b)
			}
			if want {
				same++
			}
		}
	}
	if pairs := len(texts) * (len(texts) - 1) / 2; same < len(texts) || same > pairs/2 {
		t.Errorf("%d of %d pairs are near-duplicates: that shows nothing", same, pairs)
	}
}

func FuzzNearDuplicates(f *testing.F) {
	f.Add("The herring swims in large schools.", "the HERRING swims, in large schools")
	f.Add("鲱鱼在北方的海洋里成群结队地游动", "鲱鱼在北方的海洋里成群结队地游")
	f.Add("", "\xff\u212a k")
	f.Fuzz(func(t *testing.T, a, b string) {
		p, q := newFingerprint(a), newFingerprint(b)
		got, want := p.nearDuplicateOf(q), sameNaively(a, b)
		if got != want || got != q.nearDuplicateOf(p) {
			t.Errorf("near-duplicates: %v, want %v", got, want)
		}
	})
}

func TestFingerprintsAreShared(t *testing.T) {
	t.Parallel()
	known, texts := newPrints(), sampleTexts(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range texts {
				a, b := texts[i], texts[(i+g)%len(texts)]
				if got, want := known.of(chunk(i, a)).nearDuplicateOf(known.of(chunk((i+g)%len(texts), b))), newFingerprint(a).nearDuplicateOf(newFingerprint(b)); got != want {
					t.Errorf("near-duplicates: %v, want %v", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkNearDuplicates is what one result of 8 passages costs: of passages
// that are remembered, also when two of them say the same, and of new ones.
func BenchmarkNearDuplicates(b *testing.B) {
	texts := make([]*corpus.Chunk, 8)
	for i := range texts {
		var text strings.Builder
		for n := range 150 {
			fmt.Fprint(&text, "word", (n*n+i*7919)%3571, " ")
		}
		texts[i] = chunk(i, text.String())
	}
	result := func(b *testing.B, known prints, texts []*corpus.Chunk, want int) {
		b.Helper()
		seen, same := passagesSeen{known: known}, 0
		for _, text := range texts {
			if seen.nearDuplicate(text) {
				same++
			}
		}
		if same != want {
			b.Fatalf("%d duplicates, want %d", same, want)
		}
	}
	alike := slices.Concat(texts[:7], []*corpus.Chunk{chunk(8, texts[0].Text+"more")})
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for known := newPrints(); b.Loop(); {
			result(b, known, texts, 0)
		}
	})
	b.Run("remembered, alike", func(b *testing.B) {
		b.ReportAllocs()
		for known := newPrints(); b.Loop(); {
			result(b, known, alike, 1)
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			result(b, newPrints(), texts, 0)
		}
	})
}
