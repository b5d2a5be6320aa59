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
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/sentence"
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

// Judge holds what judging needs. It is safe for concurrent use.
type Judge struct {
	analyzer *lexical.Analyzer
	limits   Thresholds
}

// NewJudge returns a judge that reads words with the analyzer.
func NewJudge(a *lexical.Analyzer, limits Thresholds) *Judge {
	return &Judge{analyzer: a, limits: limits}
}

// Passage is a passage made ready for any number of claims. It is not safe
// for concurrent use.
type Passage struct {
	Text      string
	Sentences []sentence.Span
	Language  lexical.Language

	judge   *Judge
	terms   []lexical.Term
	numbers []string
	each    []part
}

// part is what is known of one sentence, worked out when first asked for.
type part struct {
	ready   bool
	terms   []lexical.Term
	numbers []string
}

// Read makes a passage ready.
func (j *Judge) Read(text string) *Passage {
	a := j.analyzer.Analyze(text)
	spans := sentence.Split(text)
	return &Passage{
		Text: text, Sentences: spans, Language: a.Language, judge: j,
		terms: a.Terms, numbers: Numbers(text, true), each: make([]part, len(spans)),
	}
}

func (p *Passage) part(i int) *part {
	e := &p.each[i]
	if !e.ready {
		s := p.Sentences[i].Of(p.Text)
		e.terms = p.judge.Words(s, p.Language)
		e.numbers = Numbers(s, true)
		e.ready = true
	}
	return e
}

// Words returns the terms of a text as a passage in the language has them.
func (j *Judge) Words(text string, l lexical.Language) []lexical.Term {
	return j.analyzer.Query(text, lexical.Set(0).With(l))
}

// Claim is a statement made ready to be checked against passages. It is not
// safe for concurrent use.
type Claim struct {
	Text    string
	numbers []string
	byLang  map[lexical.Language][]lexical.Term
	ignored string
}

// NewClaim makes a statement ready. Words of the question are left out where
// others remain: repeating the question is no evidence.
func NewClaim(text, question string) *Claim {
	return &Claim{Text: text, ignored: question, numbers: Numbers(text, false), byLang: make(map[lexical.Language][]lexical.Term, 1)}
}

func (c *Claim) words(j *Judge, l lexical.Language) []lexical.Term {
	if terms, ok := c.byLang[l]; ok {
		return terms
	}
	terms := j.Words(c.Text, l)
	if c.ignored != "" {
		asked := j.Words(c.ignored, l)
		own := slices.DeleteFunc(slices.Clone(terms), func(t lexical.Term) bool { return holds(asked, t.ID) })
		if len(own) >= 2 {
			terms = own
		}
	}
	c.byLang[l] = terms
	return terms
}

// Empty reports whether the claim says nothing that could be checked in the passage's language.
func (c *Claim) Empty(p *Passage) bool {
	return len(c.words(p.judge, p.Language)) == 0 && len(c.numbers) == 0
}

func holds(terms []lexical.Term, id uint32) bool {
	_, ok := slices.BinarySearchFunc(terms, id, func(t lexical.Term, id uint32) int {
		switch {
		case t.ID < id:
			return -1
		case t.ID > id:
			return 1
		}
		return 0
	})
	return ok
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
	v.First, v.Last, v.Window = p.window(c, words)
	v.Foreign = !sharesScript(c.Text, p.Text)
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

// maxWindow is how many neighbouring sentences count as one piece of evidence.
const maxWindow = 3

// window finds the shortest run of up to [maxWindow] sentences that holds
// most of the claim. A longer run must add words or numbers to be taken.
func (p *Passage) window(c *Claim, words []lexical.Term) (first, last int, found float64) {
	bestScore := -1.0
	for n := 1; n <= maxWindow; n++ {
		for i := 0; i+n <= len(p.Sentences); i++ {
			if p.Sentences[i].Kind == sentence.Heading && n == 1 && len(p.Sentences) > 1 {
				continue
			}
			w, num := p.cover(c, words, i, i+n-1)
			score := w + 0.5*num - 0.12*float64(n-1)
			if score > bestScore+1e-9 {
				bestScore, first, last, found = score, i, i+n-1, w
			}
		}
	}
	return first, last, found
}

// cover returns the shares of words and of numbers that the sentences from i to j hold together.
func (p *Passage) cover(c *Claim, words []lexical.Term, i, j int) (inWords, inNumbers float64) {
	found, numbers := 0, 0
	for _, w := range words {
		for k := i; k <= j; k++ {
			if holds(p.part(k).terms, w.ID) {
				found++
				break
			}
		}
	}
	for _, n := range c.numbers {
		for k := i; k <= j; k++ {
			if slices.Contains(p.part(k).numbers, n) {
				numbers++
				break
			}
		}
	}
	return ratio(found, len(words)), ratio(numbers, len(c.numbers))
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
		words := c.words(p.judge, p.Language)
		front, fn := p.cover(c, words, first, last-1)
		back, bn := p.cover(c, words, first+1, last)
		if front+fn >= back+bn {
			last--
		} else {
			first++
		}
	}
	return p.Sentences[first].Start, p.Sentences[last].End
}

// sharesScript reports whether the letters of both texts are mostly of one script.
func sharesScript(a, b string) bool {
	return scriptOf(a) == scriptOf(b) || scriptOf(a) == 0 || scriptOf(b) == 0
}

// scriptOf returns a number for the script that most of the first letters of a text have; 0: no letters.
func scriptOf(text string) int {
	tables := []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Arabic, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Devanagari, unicode.Hebrew}
	var counts [12]int
	seen := 0
	for _, r := range text {
		if seen > 200 {
			break
		}
		if r < utf8.RuneSelf {
			if r|0x20 >= 'a' && r|0x20 <= 'z' {
				counts[1]++
				seen++
			}
			continue
		}
		for i, t := range tables {
			if unicode.Is(t, r) {
				counts[i+1]++
				seen++
				break
			}
		}
	}
	// Kana and Han are one writing.
	counts[5] += counts[6] + counts[7]
	counts[6], counts[7] = 0, 0
	best := 0
	for i, n := range counts {
		if n > counts[best] {
			best = i
		}
	}
	if counts[best] == 0 {
		return 0
	}
	return best
}

// fold returns a word in lower case without what surrounds it.
func fold(word string) string {
	return strings.ToLower(strings.TrimFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }))
}

// HasNumbers reports whether the claim has any number.
func (c *Claim) HasNumbers() bool { return len(c.numbers) > 0 }

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
