package evidence

import (
	"strings"

	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/sentence"
)

// Passage is a passage made ready for any number of claims. It is immutable.
type Passage struct {
	Text      string
	Sentences []sentence.Span
	Language  lexical.Language

	judge   *Judge
	terms   []lexical.Term
	numbers []string
	script  int
	each    []part
}

// part is what is known of one sentence.
type part struct {
	terms   []lexical.Term
	numbers []string
}

// Read makes a passage ready. The same passages are cited again and again, so
// those read last are remembered; what is returned may be shared.
func (j *Judge) Read(text string) *Passage {
	if p, ok := j.known.Get(text); ok {
		return p
	}
	p := j.read(strings.Clone(text)) // text may be a piece of something large
	j.known.Put(p.Text, p)
	return p
}

func (j *Judge) read(text string) *Passage {
	a := j.analyzer.Analyze(text)
	p := &Passage{
		Text: text, Sentences: sentence.Split(text), Language: a.Language, judge: j,
		terms: a.Terms, numbers: Numbers(text, true), script: scriptOf(text),
	}
	p.each = make([]part, len(p.Sentences))
	for i, s := range p.Sentences {
		p.each[i] = part{terms: j.Words(s.Of(text), p.Language), numbers: Numbers(s.Of(text), true)}
	}
	return p
}

// recentBytes is the weight of the passages that are remembered, at least; at
// most it is twice that. A passage of 1,000 characters weighs about 4,000.
const recentBytes = 4 << 20

// weight estimates how many bytes a remembered passage takes.
func weight(_ string, p *Passage) int {
	const term, number, span, sentence = 8, 24, 32, 48
	sum := len(p.Text) + len(p.terms)*term + len(p.numbers)*number + len(p.each)*(span+sentence) + 256
	for i := range p.each {
		sum += len(p.each[i].terms)*term + len(p.each[i].numbers)*number
	}
	return sum
}
