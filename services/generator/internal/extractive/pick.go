package extractive

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/sentence"
)

// pick is a sentence of the answer, with its predecessor when it makes no sense without.
type pick struct {
	passage    int
	start, end int
	kind       sentence.Kind
	terms      []lexical.Term
}

// pick takes the best sentence and those near it in score that add something.
func (q *inquiry) pick(w Weights) []pick {
	var out []pick
	used := 0
	ranked := q.best(3 * MaxSentences)
	for _, c := range ranked {
		if used > 0 && c.total < w.More*ranked[0].total {
			break
		}
		if used > 0 && c.alone() {
			continue
		}
		p, sentences := q.withPredecessor(c)
		leads := c.leads(out)
		sentences += len(leads)
		if used+sentences > MaxSentences || repeats(out, p) || ranked[0].outdoes(c) {
			continue
		}
		out = append(append(out, p), leads...)
		if used += sentences; used == MaxSentences {
			break
		}
	}
	return out
}

// alone reports whether the candidate stands for itself and has no word of the
// question: what stands beside it in a sheet or a table says nothing for it.
func (c *candidate) alone() bool {
	return (c.span.Kind == sentence.Line || c.span.Kind == sentence.Row) && c.overlap == 0
}

// outdoes reports whether the other candidate is a row or an item beside this
// one that the question names less: then it is not the one asked for.
func (c *candidate) outdoes(other *candidate) bool {
	if c.named > 0 && other.named == 0 && other.span.Kind != sentence.Prose {
		return true
	}
	beside := c.intro >= 0 && other.intro == c.intro || c.header >= 0 && other.header == c.header
	return beside && other.passage == c.passage && other.own < c.own
}

// leads returns what must be read before a row or an item, unless it is
// picked already: the sentence that introduces it and the head of its table.
func (c *candidate) leads(picked []pick) []pick {
	var out []pick
	for _, k := range []int{c.intro, c.header} {
		if k < 0 {
			continue
		}
		s := c.spans[k]
		if !slices.ContainsFunc(picked, func(p pick) bool { return p.passage == c.passage && p.start == s.Start }) {
			out = append(out, pick{passage: c.passage, start: s.Start, end: s.End, kind: s.Kind})
		}
	}
	return out
}

// withPredecessor returns the candidate's pick: a sentence that begins by
// pointing back takes the one before it along, when that is of the same block.
func (q *inquiry) withPredecessor(c *candidate) (p pick, sentences int) {
	text := q.passages[c.passage].Text
	p = pick{passage: c.passage, start: c.span.Start, end: c.span.End, kind: c.span.Kind, terms: c.terms}
	if !c.leansBack(text) {
		return p, 1
	}
	before := c.spans[c.index-1]
	p.start = before.Start
	return p, 2
}

// leansBack reports whether the candidate makes sense only behind the sentence
// before it, and that one can be taken along.
func (c *candidate) leansBack(text string) bool {
	if c.index == 0 || !pointsBack(c.span.Of(text)) {
		return false
	}
	before := c.spans[c.index-1]
	return before.Block == c.span.Block && utf8.RuneCountInString(before.Of(text)) <= maxPredecessor
}

// maxPredecessor is how long a sentence is, in code points, that is taken along.
const maxPredecessor = 300

// pointsBack reports whether a sentence begins with a word that stands for something said before.
func pointsBack(s string) bool {
	first, _, _ := strings.Cut(s, " ")
	switch strings.ToLower(strings.Trim(first, ",;:\"'“„«¿¡(*_")) {
	case "it", "its", "this", "these", "they", "their", "he", "she", "his", "her", "those", "such", "that",
		"er", "sie", "es", "dies", "diese", "dieser", "dieses", "ihre", "sein", "seine",
		"él", "ella", "ellos", "ellas", "esto", "esta", "este", "estos", "estas", "su", "sus",
		"il", "elle", "ils", "elles", "cela", "ceci", "ce", "cette", "ces",
		"он", "она", "оно", "они", "это", "эти", "этот", "эта", "его", "её", "их":
		return true
	}
	for _, w := range []string{"它", "他", "她", "这", "這", "该", "該", "其"} {
		if strings.HasPrefix(s, w) {
			return true
		}
	}
	return false
}

// sameWords is the share of common words from which two sentences say the same.
const sameWords = 0.75

// repeats reports whether a pick says nothing that is not picked already.
func repeats(picked []pick, p pick) bool {
	for _, other := range picked {
		if other.passage == p.passage && p.start < other.end && other.start < p.end {
			return true
		}
		common := 0
		for _, t := range p.terms {
			if has(other.terms, t.ID) {
				common++
			}
		}
		if n := len(p.terms); n > 0 && float64(common) >= sameWords*float64(n) {
			return true
		}
	}
	return false
}
