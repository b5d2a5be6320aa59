// Package evidence judges by words whether a passage bears out a claim: a
// claim and a passage go in, a verdict and the sentence or two that bear it
// out come out. It looks at content words (stemmed, in the passage's
// language), at numbers, and at what is negated. It calls no model, so it
// costs microseconds and always says the same.
package evidence

import (
	"slices"
	"strings"
	"unicode"

	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/recent"
)

// Thresholds decide on support. The defaults are measured (docs/quality.md):
// see [DefaultThresholds].
type Thresholds struct {
	// Window is the share of the claim's words that one to three neighbouring
	// sentences must hold, Passage that of the whole passage.
	Window  float64
	Passage float64
}

// DefaultThresholds were chosen on the development halves of CLAPnq and MTRAG:
// of the human answers' sentences they accept 98.8 % and 77 % against the gold
// passages, and 7 % and 24 % against the other passage of the set that shares
// most of their words.
func DefaultThresholds() Thresholds { return Thresholds{Window: 0.6, Passage: 0.7} }

// MeasuredModel is the embedder whose cosines were measured for what this
// service decides by them. Scales differ from model to model, so the cosines
// of any other say nothing here.
const MeasuredModel = "all-MiniLM-L6-v2"

// Judge holds what judging needs, and the passages that it read last. It is
// safe for concurrent use.
type Judge struct {
	analyzer *lexical.Analyzer
	limits   Thresholds
	known    *recent.Cache[string, *Passage]
}

// NewJudge returns a judge that reads words with the analyzer. It remembers
// passages in up to 8 MiB.
func NewJudge(a *lexical.Analyzer, limits Thresholds) *Judge {
	return &Judge{analyzer: a, limits: limits, known: recent.New(recentBytes, weight)}
}

// Words returns the terms of a text as a passage in the language has them.
func (j *Judge) Words(text string, l lexical.Language) []lexical.Term {
	return j.analyzer.Query(text, lexical.Set(0).With(l))
}

// holds reports whether an id is among terms, which are in ascending order.
func holds(terms []lexical.Term, id uint32) bool {
	low, high := 0, len(terms)
	for low < high {
		if mid := (low + high) / 2; terms[mid].ID < id {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low < len(terms) && terms[low].ID == id
}

// Verdict is what a passage has to say about a claim.
type Verdict struct {
	// Supported: words, numbers and negation agree.
	Supported bool
	// Window and Passage are the shares of the claim's words found.
	Window  float64
	Passage float64
	// Numbers reports whether every number of the claim is in the passage.
	Numbers bool
	// Contradicted reports that the one negates what the other says.
	Contradicted bool
	// Foreign reports that claim and passage share no script, so that words cannot decide.
	Foreign bool
	// First and Last are the sentences of the best window, an inclusive range.
	First, Last int
}

// Check judges a claim by a passage. A passage without sentences supports nothing.
func (p *Passage) Check(c *Claim) Verdict {
	words := c.words(p.judge, p.Language)
	v := Verdict{Numbers: containsAll(p.numbers, c.numbers)}
	if len(p.Sentences) == 0 {
		return v
	}
	v.Passage = share(words, p.terms)
	m := p.match(c, words)
	v.First, v.Last, v.Window = p.window(m)
	v.Foreign = !sharesScript(c.written(), p.script)
	v.Contradicted = p.contradicts(c, v.First, v.Last)
	l := p.judge.limits
	v.Supported = len(words)+len(c.numbers) > 0 && v.Numbers && !v.Contradicted && (v.Window >= l.Window || v.Passage >= l.Passage)
	return v
}

// share returns which part of the words is among the terms.
func share(words, terms []lexical.Term) float64 {
	if len(words) == 0 {
		return 0
	}
	found := 0
	for _, w := range words {
		if holds(terms, w.ID) {
			found++
		}
	}
	return float64(found) / float64(len(words))
}

func ratio(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func containsAll(have, want []string) bool {
	for _, n := range want {
		if !slices.Contains(have, n) {
			return false
		}
	}
	return true
}

// Quote returns the bytes of the passage from sentence first to last, at most two
// of them: of three it leaves the weaker end out.
func (p *Passage) Quote(c *Claim, v Verdict) (start, end int) {
	if len(p.Sentences) == 0 {
		return 0, 0
	}
	first, last := v.First, v.Last
	for last-first >= 2 {
		m := p.match(c, c.words(p.judge, p.Language))
		front, fn := m.cover(first, last-1)
		back, bn := m.cover(first+1, last)
		if front+fn >= back+bn {
			last--
		} else {
			first++
		}
	}
	return p.Sentences[first].Start, p.Sentences[last].End
}

// fold returns a word in lower case without what surrounds it.
func fold(word string) string {
	return strings.ToLower(strings.TrimFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }))
}

// leastShare is what each of several passages must add for them to be evidence together.
const leastShare = 0.25

// Together reports whether several passages bear a claim out that none does
// alone: each holds a part of its words, all of them most, and every number.
func Together(c *Claim, passages []*Passage) bool {
	if len(passages) == 0 {
		return false
	}
	words := c.words(passages[0].judge, passages[0].Language)
	found := make([]bool, len(words))
	var numbers []string
	for _, p := range passages {
		own := 0
		// The same word has another id in a passage of another language: those do not add up.
		for i, w := range words {
			if holds(p.terms, w.ID) {
				found[i] = true
				own++
			}
		}
		if ratio(own, len(words)) < leastShare {
			return false
		}
		numbers = append(numbers, p.numbers...)
	}
	all := 0
	for _, f := range found {
		if f {
			all++
		}
	}
	return ratio(all, len(words)) >= passages[0].judge.limits.Passage && containsAll(numbers, c.numbers)
}
