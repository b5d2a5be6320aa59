package lexical

import (
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// wordSlots bounds how many words of questions are remembered, about 2 MB of them.
const wordSlots = 1 << 14

// words remembers the terms of words in several languages: a store that does
// not know its languages has every word of a question stemmed in all of them,
// and a few thousand words make most of all questions. A word may take the
// place of another, which is then stemmed anew. It is safe for concurrent use.
type words struct {
	slots [wordSlots]atomic.Pointer[word]
}

// word is a Latin word with its terms in the known languages. It never changes.
type word struct {
	text  string
	known Set
	ids   [languageCount]uint32
}

// of returns text, a word in lower case of at most [MaxStemmed] bytes, with
// its terms in at least these languages. The content of buf does not matter.
func (w *words) of(buf *[MaxStemmed + 1]byte, text []byte, languages Set) *word {
	slot := &w.slots[xxhash.Sum64(text)%wordSlots]
	found := slot.Load()
	if found == nil || found.text != string(text) {
		found = &word{text: string(text)}
	}
	if languages&^found.known == 0 {
		return found
	}
	next := *found
	for l := range languageCount {
		if languages.Has(l) && !next.known.Has(l) {
			next.ids[l] = stemID(buf, latinTag+byte(l), l, text)
		}
	}
	next.known |= languages
	slot.Store(&next)
	return &next
}

// appendWord appends the ids of a Latin word in each of the languages.
func (a *Analyzer) appendWord(s *scratch, ids []uint32, text []byte, languages Set) []uint32 {
	if len(text) > MaxStemmed {
		for l := range languageCount {
			if languages.Has(l) {
				ids = append(ids, termID(latinTag+byte(l), text))
			}
		}
		return ids
	}
	terms := a.words.of(&s.word, text, languages)
	for l := range languageCount {
		if languages.Has(l) {
			ids = append(ids, terms.ids[l])
		}
	}
	return ids
}
