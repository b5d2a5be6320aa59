package evidence

import (
	"math/bits"
	"slices"

	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/sentence"
)

// match says which words and numbers of a claim each sentence of a passage holds.
type match struct {
	words, numbers int // how many the claim has
	limbs          int // of 64 bits, for each sentence
	// held has one bit for each word, and behind them one for each number, sentence after sentence.
	held []uint64
}

func (p *Passage) match(c *Claim, words []lexical.Term) match {
	m := match{words: len(words), numbers: len(c.numbers), limbs: (len(words) + len(c.numbers) + 63) / 64}
	m.held = make([]uint64, m.limbs*len(p.each))
	for i := range p.each {
		own := m.held[i*m.limbs : (i+1)*m.limbs]
		terms := p.each[i].terms
		for b, w := range words { // both are in ascending order
			for len(terms) > 0 && terms[0].ID < w.ID {
				terms = terms[1:]
			}
			if len(terms) > 0 && terms[0].ID == w.ID {
				own[b/64] |= 1 << (b % 64)
			}
		}
		for n, number := range c.numbers {
			if b := len(words) + n; slices.Contains(p.each[i].numbers, number) {
				own[b/64] |= 1 << (b % 64)
			}
		}
	}
	return m
}

// cover returns the shares of words and of numbers that the sentences from i to j hold together.
func (m match) cover(i, j int) (inWords, inNumbers float64) {
	words, numbers := 0, 0
	for l := range m.limbs {
		held := uint64(0)
		for k := i; k <= j; k++ {
			held |= m.held[k*m.limbs+l]
		}
		ofWords := ^uint64(0)
		if left := max(m.words-64*l, 0); left < 64 {
			ofWords = 1<<left - 1
		}
		words += bits.OnesCount64(held & ofWords)
		numbers += bits.OnesCount64(held &^ ofWords)
	}
	return ratio(words, m.words), ratio(numbers, m.numbers)
}

// maxWindow is how many neighbouring sentences count as one piece of evidence.
const maxWindow = 3

// window finds the shortest run of up to [maxWindow] sentences that holds
// most of the claim. A longer run must add words or numbers to be taken.
func (p *Passage) window(m match) (first, last int, found float64) {
	bestScore := -1.0
	for n := 1; n <= maxWindow; n++ {
		for i := 0; i+n <= len(p.Sentences); i++ {
			if p.Sentences[i].Kind == sentence.Heading && n == 1 && len(p.Sentences) > 1 {
				continue
			}
			w, num := m.cover(i, i+n-1)
			score := w + 0.5*num - 0.12*float64(n-1)
			if score > bestScore+1e-9 {
				bestScore, first, last, found = score, i, i+n-1, w
			}
		}
	}
	return first, last, found
}
