package extractive

import (
	"cmp"
	"slices"

	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/evidence"
)

// turnWeight is how many times as much a word of a follow-up counts as one of
// the question that it leans on: "and the Pike?" is about the Pike.
const turnWeight = 3

// stray is what a sentence loses in rank that has no word of a follow-up.
const stray = 0.5

// meets reports whether one of the words is among the texts' terms.
func meets(words []lexical.Term, texts ...[]lexical.Term) bool {
	return slices.ContainsFunc(words, func(w lexical.Term) bool {
		return slices.ContainsFunc(texts, func(terms []lexical.Term) bool { return has(terms, w.ID) })
	})
}

// asks returns what kind of thing is wanted: what the turn asks for, if it
// says so ("since when?"), else what the question before it did.
func (a Asked) asks() asks { return cmp.Or(askedFor(a.Turn), askedFor(a.Question)) }

// numbers returns the numbers that an answer must be about: the turn's own, if it has any.
func (a Asked) numbers() []string {
	if own := evidence.Numbers(a.Turn, false); len(own) > 0 {
		return own
	}
	return evidence.Numbers(a.Question, false)
}
