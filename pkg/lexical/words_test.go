package lexical

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestRememberedWordsHaveTheTermsOfTheirStems asks for thousands of words, of
// which some share their slot, in several languages, from several goroutines.
func TestRememberedWordsHaveTheTermsOfTheirStems(t *testing.T) {
	t.Parallel()
	a := New()
	endings := []string{"", "s", "ed", "ing", "en", "ones", "ación", "ità", "hez", "eurs", "ồ"}
	var asking sync.WaitGroup
	for g := range uint64(4) {
		asking.Go(func() {
			rng := rand.New(rand.NewPCG(g, 1))
			var s scratch
			for range 2000 {
				text := []byte(fmt.Sprint("w", rng.IntN(400), "x", endings[rng.IntN(len(endings))]))
				languages := Set(rng.IntN(int(AllLanguages) + 1))
				var want []uint32
				for l := range languageCount {
					if languages.Has(l) {
						want = append(want, stemID(&s.word, latinTag+byte(l), l, text))
					}
				}
				if got := a.appendWord(&s, nil, text, languages); !slices.Equal(got, want) {
					t.Errorf("%s in %b: %x, want %x", text, languages, got, want)
					return
				}
			}
		})
	}
	asking.Wait()
}

// TestAQuestionHasTheTermsOfPassages holds for every word that is no stop
// word: whatever language a passage is in, the question has its term of it.
func TestAQuestionHasTheTermsOfPassages(t *testing.T) {
	t.Parallel()
	a := New()
	long := strings.Repeat("x", MaxStemmed)
	for _, text := range []string{"herring", "Häusern", "kapitein", "canciones", "2015", "x9", "鲱鱼 сельди", long, long + "yed", strings.Repeat("e", longestSlot) + "ing"} {
		for l := range languageCount {
			s := a.scan(text)
			a.weigh(s, &Analysis{})
			var ids []uint32
			for _, token := range s.tokens {
				ids = a.appendTerms(s, ids, token, l)
			}
			a.pool.Put(s)
			for range 2 { // computed, and remembered
				if got, want := a.Query(text, Set(0).With(l)), count(slices.Clone(ids)); !slices.Equal(got, want) {
					t.Errorf("%q in %s: %x, want %x", text, l, got, want)
				}
				all := a.Query(text, AllLanguages)
				for _, id := range ids {
					if _, ok := slices.BinarySearchFunc(all, Term{ID: id}, Compare); !ok {
						t.Errorf("%q in all languages has not the term of %s", text, l)
					}
				}
			}
		}
	}
}
