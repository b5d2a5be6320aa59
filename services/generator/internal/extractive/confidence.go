package extractive

import (
	"strings"
	"unicode"

	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/evidence"
)

// confidence tells how well the best candidate answers, and from which value
// on that is enough. Where the embedder's cosines mean something, the ones
// that the search has found say more than the words, and cost nothing.
func (w *Writer) confidence(q *inquiry) (value, least float64) {
	var top *candidate
	for i, c := range q.best(considered) {
		v := 0.5*c.overlap + 0.35*q.cover[c.passage] + 0.1*max(c.previous, c.heading) + 0.05*c.cue
		if i == 0 && c.named > 0 && (q.asks == anything || c.cue > 0) {
			v += namedIsSure
		}
		if top == nil || v > value {
			value, top = v, c
		}
	}
	l := q.languages[top.passage]
	if w.understands(q, l) {
		cosine := 0.0
		for _, p := range q.passages {
			if p.Scores.Dense != nil {
				cosine = max(cosine, *p.Scores.Dense)
			}
		}
		if cosine > 0 {
			return 0.6*value + 0.4*cosine, w.weights.LeastDense + q.elsewhere(top, l)
		}
	}
	switch {
	case paired(q.question):
		return value, w.weights.LeastPaired
	case l != lexical.English || !latin(q.question):
		return value, w.weights.LeastForeign
	}
	return value, w.weights.Least + q.elsewhere(top, l)
}

// elsewhere returns how much more confidence is asked for when half of the
// question's words or more stand nowhere in the passages: the others hardly
// show that a sentence is about the same thing. What the question names
// exactly is, and so is taken an amount or a date where one is asked for.
func (q *inquiry) elsewhere(top *candidate, l lexical.Language) float64 {
	if top.named > 0 || top.cue == 1 && (q.asks == aNumber || q.asks == aDate) || 2*q.words[l].met > 1 {
		return 0
	}
	return doubt
}

// doubt costs the public sets one of 932 answerable questions.
const doubt = 0.1

// namedIsSure is what a row or a line adds to the confidence that is about
// just what the question names, has what it asks for, and leads the answer.
const namedIsSure = 0.15

// understands reports whether the embedder's cosines can be judged by. Scales
// differ from model to model, so only models that were measured count, in the
// languages they were measured in; the others leave it to words.
func (w *Writer) understands(q *inquiry, l lexical.Language) bool {
	return w.model == evidence.MeasuredModel && l == lexical.English && latin(q.question)
}

// latin reports whether a text's letters are mostly Latin.
func latin(text string) bool {
	own, other := 0, 0
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Latin, r):
			own++
		case unicode.IsLetter(r):
			other++
		}
	}
	return own >= other
}

// paired reports whether a text has letters of scripts that are cut into pairs.
func paired(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
	})
}
