package extractive

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/lexical"
)

// Two words are taken for kin that begin with so many equal letters, which are
// such a part of the longer one; then the question's word counts for so much.
// Of five settings these gain most on the sets of docs/quality.md and lose nothing.
const (
	leastKin  = 5
	kinShare  = 0.5
	kinWeight = 0.35
)

// lettersOf returns a text's words in lower case.
func lettersOf(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) })
}

// kin reports whether two words are likely of one family: "manages" and
// "manager", "leitet" and "Leiterin". Stems tell less: they leave the noun of
// who does it apart from the verb.
func kin(a, b string) bool {
	same := 0
	for i := 0; i < len(a) && i < len(b); {
		r, size := utf8.DecodeRuneInString(a[i:])
		if o, _ := utf8.DecodeRuneInString(b[i:]); o != r {
			break
		}
		i += size
		same++
	}
	return same >= leastKin && float64(same) >= kinShare*float64(max(utf8.RuneCountInString(a), utf8.RuneCountInString(b)))
}

// kinship returns the weight of the question's words, of which a sentence has
// not the word but one of its family.
func (v *vocabulary) kinship(sentence string, terms []lexical.Term) float64 {
	if v.sum == 0 {
		return 0
	}
	words, found := []string(nil), 0.0
	for n, w := range v.words {
		if w == "" || has(terms, v.terms[n].ID) {
			continue
		}
		if words == nil {
			words = lettersOf(sentence)
		}
		for _, other := range words {
			if kin(w, other) {
				found += v.rare[n]
				break
			}
		}
	}
	return kinWeight * found / v.sum
}

// wordsOf returns for each of the question's terms the word that it was made of, or "".
func (w *Writer) wordsOf(terms []lexical.Term, question string, in lexical.Set) []string {
	out := make([]string, len(terms))
	for _, word := range lettersOf(question) {
		if of := w.analyzer.Query(word, in); len(of) == 1 {
			if n, ok := slices.BinarySearchFunc(terms, of[0], lexical.Compare); ok {
				out[n] = word
			}
		}
	}
	return out
}
