package extractive

import (
	"math"
	"slices"
	"strings"

	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/sentence"
)

// add makes candidates of a passage's sentences.
func (w *Writer) add(q *inquiry, i int, t *text, words *vocabulary, bestScore float64) {
	p := &q.passages[i]
	other, strange := q.mistaken(p)
	if other {
		return
	}
	shares := make([]float64, len(t.spans))
	for k := range t.spans {
		shares[k] = words.share(t.each[k]) + words.kinship(t.spans[k].Of(p.Text), t.each[k])
	}
	q.cover[i] = words.share(merge(t.terms, t.header))
	title := words.share(t.header)
	heading, above := 0.0, []lexical.Term(nil)
	retrieval := 1 / float64(i+1)
	if bestScore > 0 {
		retrieval = max(p.Score, 0) / bestScore
	}
	intro := -1
	for k, s := range t.spans {
		body := s.Of(p.Text)
		if s.Kind == sentence.Heading {
			heading, above = shares[k], t.each[k]
			continue
		}
		if s.Kind == sentence.Prose || s.Kind == sentence.Line {
			intro = -1
		}
		if introduces(t.spans, k, body) {
			intro = k
			continue
		}
		cue := q.asks.met(body, q.question, t.language)
		if !t.says(k, body) || strange && s.Kind != sentence.Prose && s.Kind != sentence.Item ||
			s.Kind == sentence.Line && cue == 0 && !adds(t.each[k], words.terms) {
			continue
		}
		c := &candidate{
			passage: i, index: k, span: s, spans: t.spans, terms: t.each[k], intro: intro, header: t.heads[k], own: shares[k],
			named:   w.named(words, keys(s, p.Text), t.language),
			overlap: shares[k], heading: max(title, heading), retrieval: retrieval, cue: cue,
		}
		c.weigh(t, shares, words, p.Text)
		c.strays = len(words.turn) > 0 && !meets(words.turn, t.header, above, t.each[k], t.lead(c.intro), t.lead(c.header), t.lead(k-1))
		if c.overlap+c.previous+c.heading > 0 {
			q.candidates = append(q.candidates, c)
		}
	}
}

// says reports whether a span can be an answer: text for people, which is not
// only the head of a table.
func (t *text) says(k int, body string) bool {
	switch s := t.spans[k]; {
	case s.Kind == sentence.Code, t.heads[k] == k, !usable(body):
		return false
	case s.Kind == sentence.Prose, s.Kind == sentence.Line:
		return !data(body)
	}
	return true
}

// weigh tells what the candidate and its neighbours hold of the question.
func (c *candidate) weigh(t *text, shares []float64, words *vocabulary, body string) {
	k := c.index
	if k > 0 && t.spans[k-1].Kind != sentence.Heading {
		c.previous = shares[k-1]
		if c.leansBack(body) {
			// The sentence before comes along, so its words count in full.
			c.overlap = max(c.overlap, words.share(merge(t.each[k-1], t.each[k])))
		}
	}
	if c.intro >= 0 {
		c.overlap = max(c.overlap, words.share(merge(t.each[c.intro], t.each[k])))
	}
	if c.header >= 0 && c.own > 0 {
		c.overlap = max(c.overlap, words.share(merge(t.each[c.header], t.each[k])))
	}
	if k+1 < len(t.spans) && t.spans[k+1].Kind != sentence.Heading && t.spans[k+1].Kind != sentence.Line {
		c.next = shares[k+1]
	}
	if n := len(t.each[k]); n > 0 {
		c.dense = shares[k] * float64(len(words.terms)) / math.Max(float64(n), 5)
	}
}

// named returns the share of the question's words in the best of the keys that it has every word of.
func (w *Writer) named(words *vocabulary, keys []string, l lexical.Language) float64 {
	best := 0.0
	for _, key := range keys {
		if terms := w.analyzer.Query(key, lexical.Set(0).With(l)); !adds(terms, words.terms) {
			best = max(best, words.share(terms))
		}
	}
	return best
}

// adds reports whether a line has a word that the question has not.
func adds(line, asked []lexical.Term) bool {
	return slices.ContainsFunc(line, func(t lexical.Term) bool { return !has(asked, t.ID) })
}

// introduces reports whether a sentence only introduces the rows or items
// that follow: it ends with a colon, and says nothing without them.
func introduces(spans []sentence.Span, k int, body string) bool {
	if !strings.HasSuffix(body, ":") && !strings.HasSuffix(body, "：") {
		return false
	}
	for _, s := range spans[k+1:] {
		if s.Kind != sentence.Heading {
			return s.Kind == sentence.Row || s.Kind == sentence.Item
		}
	}
	return false
}
