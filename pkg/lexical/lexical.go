// Package lexical turns text into the terms of a keyword search and holds
// the BM25 arithmetic that every store shares. Text goes in; 32-bit term ids
// with their counts come out, the same on every machine and in every release
// that has the same [Version].
//
// Text is folded (NFKC, lower case) and cut by script: letters and digits
// make words; Han, kana, Hangul, Thai, Lao, Khmer and Burmese, which have no
// or unhelpful spaces, make overlapping pairs, and ideographs and Hangul also
// single characters, for questions of one. Words are stemmed. Scripts
// with one analysis (Greek, Cyrillic, Arabic) need no detection; for Latin
// words of a passage the language is detected from its function words, and
// the language is part of the term's id. A question is too short to detect
// anything in, so it yields each word's term in every language that the
// caller asks for: a passage holds one language, so at most one of them
// matches it, and no store has to know which.
package lexical

import (
	"cmp"
	"slices"
	"sync"

	"golang.org/x/text/unicode/norm"
)

// Version names the analysis. Terms of different versions never meet: an
// index that was written by another version has to be rebuilt.
const Version = 1

// MaxStemmed is the length in bytes beyond which a word is taken as it is:
// no language has such words, so they are codes or hostile.
const MaxStemmed = 64

// Term is a term of a text and how often it occurs.
type Term struct {
	// ID is a 32-bit hash of language and stem. Two of a million distinct
	// terms share an id with a probability of about 2 in 10,000 for each
	// term, which costs a slightly wrong score and nothing else.
	ID    uint32
	Count uint32
}

// Analysis is what a passage consists of.
type Analysis struct {
	// Terms without stop words, in ascending order of id.
	Terms []Term
	// Length is BM25's document length: the sum of the counts, without the
	// single characters of runs that made pairs.
	Length int
	// Words counts all words, stop words included (pairs, where pairs are made).
	Words int
	// EnglishWords counts those that are among 24 common English ones.
	EnglishWords int
	// Language of the Latin words; English when nothing else is evident.
	Language Language
}

// Foreign reports whether a body of text with these totals is not English:
// common English words make under 10 % of its words. An empty one is not foreign.
func Foreign(words, englishWords int) bool { return englishWords*10 < words }

// Analyzer analyses texts. It is safe for concurrent use and keeps a bounded
// cache of stems per concurrent caller, and one of the words of questions.
type Analyzer struct {
	stops map[string]stop
	words words
	pool  sync.Pool
}

// New returns an Analyzer.
func New() *Analyzer {
	a := &Analyzer{stops: stopTable()}
	a.pool.New = func() any { return new(scratch) }
	return a
}

// scratch is what one analysis needs; it is reused.
type scratch struct {
	folded []byte
	tokens []token
	ids    []uint32
	seen   [stopWords]uint8
	word   [MaxStemmed + 1]byte
	stems  [stemSlots]stemSlot
}

// Analyze returns the terms of a passage. Its time is linear in the text
// apart from sorting the ids, whatever the text is; invalid UTF-8 separates words.
func (a *Analyzer) Analyze(text string) Analysis {
	s := a.scan(text)
	defer a.pool.Put(s)
	out := Analysis{}
	out.Language = a.weigh(s, &out).passage()
	s.ids = s.ids[:0]
	for i := range s.tokens {
		s.ids = a.appendTerms(s, s.ids, s.tokens[i], out.Language)
	}
	out.Length = len(s.ids)
	for _, t := range s.tokens {
		if t.script == ideograph || t.script == hangul {
			s.ids = appendSingles(s.ids, s.folded[t.start:t.end])
		}
	}
	out.Terms = count(s.ids)
	return out
}

// Language returns what Analyze says of the text's language, at a fraction of its cost.
func (a *Analyzer) Language(text string) Language {
	s := a.scan(text)
	defer a.pool.Put(s)
	return a.weigh(s, &Analysis{}).passage()
}

// Query returns the terms of a question for passages in any of the languages,
// in ascending order of id. Stop words of a language yield no term for it, and
// those of the question's own language none at all.
// A store that does not know its languages passes [AllLanguages]: the scores
// are the same, for a term of an absent language matches nothing.
func (a *Analyzer) Query(text string, languages Set) []Term {
	s := a.scan(text)
	defer a.pool.Put(s)
	s.ids = s.ids[:0]
	own := a.weigh(s, &Analysis{}).question()
	for i := range s.tokens {
		t := s.tokens[i]
		if t.script == latin && t.stop.latin.Has(own) {
			continue
		}
		if t.script != latin {
			s.ids = a.appendTerms(s, s.ids, t, English)
			continue
		}
		s.ids = a.appendWord(s, s.ids, s.folded[t.start:t.end], languages&^t.stop.latin)
	}
	return count(s.ids)
}

func (a *Analyzer) scan(text string) *scratch {
	s, ok := a.pool.Get().(*scratch)
	if !ok {
		s = new(scratch)
	}
	const keep = 1 << 20
	if cap(s.folded) > keep || cap(s.tokens) > keep || cap(s.ids) > keep {
		s.folded, s.tokens, s.ids = nil, nil, nil
	}
	if norm.NFKC.IsNormalString(text) {
		s.folded, s.tokens = segment(s.folded[:0], s.tokens[:0], text)
	} else {
		s.folded, s.tokens = segment(s.folded[:0], s.tokens[:0], norm.NFKC.String(text))
	}
	return s
}

// count sorts ids and returns each with its number of occurrences.
func count(ids []uint32) []Term {
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	distinct := 1
	for i, id := range ids[1:] {
		if id != ids[i] {
			distinct++
		}
	}
	terms := make([]Term, 0, distinct)
	for i, id := range ids {
		if i > 0 && id == ids[i-1] {
			terms[len(terms)-1].Count++
			continue
		}
		terms = append(terms, Term{ID: id, Count: 1})
	}
	return terms
}

// Compare orders terms by id.
func Compare(a, b Term) int { return cmp.Compare(a.ID, b.ID) }
