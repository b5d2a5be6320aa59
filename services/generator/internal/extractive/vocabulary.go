package extractive

import (
	"cmp"
	"slices"

	"github.com/ragbus/ragbus/pkg/lexical"
)

// vocabulary weighs the question's words in one language.
type vocabulary struct {
	// words are those of the question that the terms were made of, where they are known.
	words []string
	terms []lexical.Term
	rare  []float64 // idf
	sum   float64
	// turn are the words of a follow-up itself that a sentence has.
	turn []lexical.Term
	// met is the share of the words, each counted once, that stand anywhere in the passages.
	met float64
}

// share returns which part of the question's weight the terms hold.
func (v *vocabulary) share(terms []lexical.Term) float64 {
	if v.sum == 0 {
		return 0
	}
	found := 0.0
	for i, t := range v.terms {
		if has(terms, t.ID) {
			found += v.rare[i]
		}
	}
	return found / v.sum
}

func has(terms []lexical.Term, id uint32) bool {
	_, ok := slices.BinarySearchFunc(terms, id, func(t lexical.Term, id uint32) int { return cmp.Compare(t.ID, id) })
	return ok
}

// vocabularies weighs the question's words for each language of the texts, by
// how few of that language's sentences hold them.
func (w *Writer) vocabularies(asked Asked, texts []text) map[lexical.Language]*vocabulary {
	out := make(map[lexical.Language]*vocabulary, 1)
	for i := range texts {
		l := texts[i].language
		if out[l] != nil {
			continue
		}
		in := lexical.Set(0).With(l)
		v := &vocabulary{terms: w.analyzer.Query(asked.Question, in)}
		turn := w.analyzer.Query(asked.Turn, in)
		v.rare = make([]float64, len(v.terms))
		all := 0
		holding := make([]int, len(v.terms))
		for k := range texts {
			if texts[k].language != l {
				continue
			}
			for _, s := range texts[k].each {
				all++
				for n, t := range v.terms {
					if has(s, t.ID) {
						holding[n]++
					}
				}
			}
		}
		v.words = w.wordsOf(v.terms, asked.Question, in)
		v.met = met(v.terms, holding, texts)
		for n := range v.terms {
			v.rare[n] = lexical.IDF(all+unseen, holding[n])
			if has(turn, v.terms[n].ID) && holding[n] > 0 {
				v.rare[n] *= turnWeight
				v.turn = append(v.turn, v.terms[n])
			}
			v.sum += v.rare[n]
		}
		out[l] = v
	}
	return out
}

// met returns which part of the question's terms a sentence, of which as many
// hold each as holding says, or a header of the texts has.
func met(terms []lexical.Term, holding []int, texts []text) float64 {
	found := 0
	for n, t := range terms {
		if holding[n] > 0 || slices.ContainsFunc(texts, func(x text) bool { return has(x.header, t.ID) }) {
			found++
		}
	}
	return float64(found) / float64(max(1, len(terms)))
}

// unseen is how many sentences without any of the question's words are taken
// for granted beside the ones at hand: among three sentences, a word that is
// missing is no rarer than one that is there.
const unseen = 20

// merge returns the union of two sorted lists of terms.
func merge(a, b []lexical.Term) []lexical.Term {
	out := append(slices.Clone(a), b...)
	slices.SortFunc(out, lexical.Compare)
	return out
}
