package lexical

import (
	"math/bits"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// Tags that are part of a term's id, so that equal spellings of different
// analyses are different terms.
const (
	plainTag byte = iota
	pairTag
	singleTag
	greekTag
	cyrillicTag
	arabicTag
)

// latinTag plus the language's number tags the words of Latin languages.
const latinTag byte = 16

const (
	stemSlots   = 2048
	longestSlot = 24
)

// stemSlot remembers the term of one word. Words follow Zipf's law, so a
// direct-mapped table of a few thousand answers most of them.
type stemSlot struct {
	word   [longestSlot]byte
	length uint8
	tag    byte
	id     uint32
}

func lowest(s Set) Language {
	return Language(bits.TrailingZeros16(uint16(s)))
}

// appendTerms appends the ids of a token's terms: none for a stop word, one
// for a word, one a pair for a run.
func (a *Analyzer) appendTerms(s *scratch, ids []uint32, t token, l Language) []uint32 {
	text := s.folded[t.start:t.end]
	if t.script.paired() {
		return appendPairs(ids, text)
	}
	if t.stop.other || t.script == latin && t.stop.latin.Has(l) {
		return ids
	}
	tag := tagOf(t.script, l)
	if len(text) > MaxStemmed || tag == plainTag {
		return append(ids, termID(tag, text))
	}
	if len(text) > longestSlot {
		return append(ids, stemID(&s.word, tag, l, text))
	}
	h := xxhash.Sum64(text) + uint64(tag)
	slot := &s.stems[h%stemSlots]
	if slot.tag != tag || string(slot.word[:slot.length]) != string(text) {
		slot.tag = tag
		slot.length = uint8(copy(slot.word[:], text))
		slot.id = stemID(&s.word, tag, l, text)
	}
	return append(ids, slot.id)
}

func tagOf(s script, l Language) byte {
	switch s {
	case latin:
		return latinTag + byte(l)
	case greek:
		return greekTag
	case cyrillic:
		return cyrillicTag
	case arabic:
		return arabicTag
	case separator, joiner, dropped, digit, alphabet, ideograph, syllabary, hangul:
	}
	return plainTag
}

// appendPairs appends an id for each two neighbouring characters, or one for
// a single character. A mark belongs to the character before it.
func appendPairs(ids []uint32, run []byte) []uint32 {
	first, end := 0, nextCharacter(run, 0)
	if end == len(run) {
		return append(ids, termID(singleTag, run))
	}
	for end < len(run) {
		second := end
		end = nextCharacter(run, second)
		ids = append(ids, termID(pairTag, run[first:end]))
		first = second
	}
	return ids
}

// appendSingles appends an id for each character of a run that made pairs.
func appendSingles(ids []uint32, run []byte) []uint32 {
	at, end := 0, nextCharacter(run, 0)
	if end == len(run) {
		return ids
	}
	for at < len(run) {
		ids = append(ids, termID(singleTag, run[at:end]))
		if at = end; at < len(run) {
			end = nextCharacter(run, at)
		}
	}
	return ids
}

func nextCharacter(run []byte, at int) int {
	_, size := utf8.DecodeRune(run[at:])
	at += size
	for at < len(run) {
		r, size := utf8.DecodeRune(run[at:])
		if scriptOf(r) != joiner {
			break
		}
		at += size
	}
	return at
}

// termID hashes an analysed word. The tag goes last, which keeps the hash in
// one call for words that fit the buffer.
func termID(tag byte, word []byte) uint32 {
	var buf [MaxStemmed + 1]byte
	if len(word) <= MaxStemmed {
		n := copy(buf[:], word)
		buf[n] = tag
		return uint32(xxhash.Sum64(buf[:n+1]) >> 32)
	}
	return uint32((xxhash.Sum64(word) + uint64(tag)*0x9E3779B97F4A7C15) >> 32)
}
