package evidence

import (
	"slices"

	"github.com/ragbus/ragbus/pkg/lexical"
)

// Question is what was asked, made ready once for all claims of its answer.
// It is not safe for concurrent use.
type Question struct{ spoken spoken }

// NewQuestion makes a question ready.
func NewQuestion(text string) *Question { return &Question{spoken{text: text}} }

// Claim is a statement made ready to be checked against passages. It is not
// safe for concurrent use.
type Claim struct {
	Text     string
	numbers  []string
	question *Question
	whole    spoken
	told     []reading // without the question's words
	script   int       // from 1 on; 0: not worked out
}

// NewClaim makes a statement ready. Words of the question, which may be nil,
// are left out where others remain: repeating the question is no evidence.
func NewClaim(text string, question *Question) *Claim {
	return &Claim{Text: text, question: question, numbers: Numbers(text, false), whole: spoken{text: text}}
}

// reading is the terms of a text in one language.
type reading struct {
	language lexical.Language
	terms    []lexical.Term
}

func find(all []reading, l lexical.Language) ([]lexical.Term, bool) {
	for i := range all {
		if all[i].language == l {
			return all[i].terms, true
		}
	}
	return nil, false
}

// spoken is a text whose terms are worked out once for each language that they are asked for in.
type spoken struct {
	text  string
	known []reading
}

func (s *spoken) words(j *Judge, l lexical.Language) []lexical.Term {
	if terms, ok := find(s.known, l); ok {
		return terms
	}
	terms := j.Words(s.text, l)
	s.known = append(s.known, reading{l, terms})
	return terms
}

// words returns the terms that the claim is judged by.
func (c *Claim) words(j *Judge, l lexical.Language) []lexical.Term {
	if terms, ok := find(c.told, l); ok {
		return terms
	}
	terms := c.whole.words(j, l)
	if c.question != nil && c.question.spoken.text != "" {
		asked := c.question.spoken.words(j, l)
		own := slices.DeleteFunc(slices.Clone(terms), func(t lexical.Term) bool { return holds(asked, t.ID) })
		if len(own) >= 2 {
			terms = own
		}
	}
	c.told = append(c.told, reading{l, terms})
	return terms
}

// written returns the claim's script as [scriptOf] numbers it.
func (c *Claim) written() int {
	if c.script == 0 {
		c.script = scriptOf(c.Text) + 1
	}
	return c.script - 1
}

// Empty reports whether the claim says nothing that could be checked in the passage's language.
func (c *Claim) Empty(p *Passage) bool {
	return len(c.words(p.judge, p.Language)) == 0 && len(c.numbers) == 0
}

// HasNumbers reports whether the claim has any number.
func (c *Claim) HasNumbers() bool { return len(c.numbers) > 0 }
