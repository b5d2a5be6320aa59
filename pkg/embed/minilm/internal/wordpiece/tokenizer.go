// Package wordpiece is the tokenizer of uncased BERT models: text goes in,
// the ids of its word pieces come out, framed by [CLS] and [SEP].
//
// In order: control characters, invalid UTF-8 and unassigned code points are
// dropped, CJK ideographs stand alone, text is decomposed (NFD), non-spacing
// marks are dropped, letters are lowered, words end at white space and around
// punctuation, and each word is the longest pieces from its left, or [UNK]
// when it cannot be composed or has over 100 characters. The five special
// pieces are recognised where a text spells them out, as the published
// tokenizer does.
package wordpiece

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxWord is the number of characters above which a word is unknown.
const maxWord = 100

// Tokenizer turns text into ids. It is immutable and safe for concurrent use.
type Tokenizer struct {
	vocabulary *vocabulary
	specials   [5]special
	ascii      [utf8.RuneSelf]class
}

// class is what becomes of a character.
type class uint8

const (
	dropped class = iota
	space
	letter
	punctuation
)

// New returns a tokenizer for the vocabulary, one piece a line, which it keeps alive.
func New(text string) (*Tokenizer, error) {
	v, err := parseVocabulary(text)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{vocabulary: v, specials: specials()}
	for r := range t.ascii {
		t.ascii[r] = classify(rune(r))
	}
	return t, nil
}

// Len returns the number of pieces in the vocabulary.
func (t *Tokenizer) Len() int { return len(t.vocabulary.ends) }

// Append appends the ids of text, [CLS] and [SEP] included and at most limit
// of them (limit is at least 2), to dst. Reading stops with the last id, and
// the time is linear in what was read.
func (t *Tokenizer) Append(dst []uint16, text string, limit int) []uint16 {
	w := writer{tokenizer: t, ids: append(dst, startID), end: len(dst) + limit - 1}
	for i := 0; i < len(text) && !w.full(); {
		b := text[i]
		if b < utf8.RuneSelf {
			i += w.ascii(text[i:], b)
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		w.unicode(r, text[i:i+size])
		i += size
	}
	w.flush()
	return append(w.ids, endID)
}

// writer collects the current word and appends its pieces when it ends.
type writer struct {
	tokenizer *Tokenizer
	ids       []uint16
	// end is the length of ids at which nothing more is wanted.
	end int
	// word holds the first maxWord of count characters.
	word  [maxWord * utf8.UTFMax]byte
	size  int
	count int
}

func (w *writer) full() bool { return len(w.ids) >= w.end }

// ascii takes the character b, or the special piece that begins with it, off
// rest and returns how many bytes that was.
func (w *writer) ascii(rest string, b byte) int {
	if b == '[' {
		for _, s := range w.tokenizer.specials {
			if strings.HasPrefix(rest, s.text) {
				w.flush()
				w.emit(s.id)
				return len(s.text)
			}
		}
	}
	if 'A' <= b && b <= 'Z' {
		b += 'a' - 'A'
	}
	w.character(rune(b), w.tokenizer.ascii[b])
	return 1
}

// unicode takes one character that is not ASCII; text is its encoding.
func (w *writer) unicode(r rune, text string) {
	switch {
	case classify(r) == dropped:
	case r >= hangulFirst && r <= hangulLast:
		w.hangul(r)
	case ideograph(r):
		w.flush()
		w.decomposed(r, text)
		w.flush()
	default:
		w.decomposed(r, text)
	}
}

// decomposed takes the canonical decomposition of a character. Canonical
// reordering is left out: of the characters it moves only spacing marks
// survive the stripping, and no piece of a vocabulary holds one.
func (w *writer) decomposed(r rune, text string) {
	parts := norm.NFD.PropertiesString(text).Decomposition()
	if parts == nil {
		w.normalised(r)
		return
	}
	for len(parts) > 0 {
		part, size := utf8.DecodeRune(parts)
		w.normalised(part)
		parts = parts[size:]
	}
}

func (w *writer) normalised(r rune) {
	if unicode.Is(unicode.Mn, r) {
		return
	}
	r = unicode.ToLower(r)
	w.character(r, classify(r))
}

// Precomposed Hangul syllables decompose by arithmetic (The Unicode Standard,
// section 3.12).
const (
	hangulFirst, hangulLast = 0xAC00, 0xD7A3
	leadFirst, vowelFirst   = 0x1100, 0x1161
	trailBase               = 0x11A7
	vowels, trails          = 21, 28
)

func (w *writer) hangul(r rune) {
	index := r - hangulFirst
	w.character(leadFirst+index/(vowels*trails), letter)
	w.character(vowelFirst+index%(vowels*trails)/trails, letter)
	if trail := index % trails; trail != 0 {
		w.character(trailBase+trail, letter)
	}
}

// character takes a character that has been normalised.
func (w *writer) character(r rune, c class) {
	switch c {
	case dropped:
	case space:
		w.flush()
	case letter:
		w.add(r)
	case punctuation:
		w.flush()
		w.add(r)
		w.flush()
	}
}

func (w *writer) add(r rune) {
	if w.count < maxWord {
		w.size += utf8.EncodeRune(w.word[w.size:], r)
	}
	w.count++
}

// flush ends the word, if there is one.
func (w *writer) flush() {
	if w.count == 0 {
		return
	}
	word, tooLong, before := w.word[:w.size], w.count > maxWord, len(w.ids)
	w.size, w.count = 0, 0
	if tooLong {
		w.emit(unknownID)
		return
	}
	// All pieces are matched even past the limit: the last one decides
	// whether the word is known at all.
	for rest := word; len(rest) > 0; {
		id, length := w.tokenizer.vocabulary.longestMatch(rest, len(rest) < len(word))
		if length == 0 {
			w.ids = w.ids[:min(before, len(w.ids))]
			w.emit(unknownID)
			return
		}
		w.emit(id)
		rest = rest[length:]
	}
}

func (w *writer) emit(id uint16) {
	if !w.full() {
		w.ids = append(w.ids, id)
	}
}

// classify says what becomes of a character; "dropped" are U+FFFD, which also
// stands for invalid UTF-8, and the whole of category C but tab and line ends.
func classify(r rune) class {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return space
	case r == utf8.RuneError:
		return dropped
	case unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r):
		return letter
	case unicode.IsSpace(r) && !unicode.IsControl(r):
		return space
	case unicode.IsPunct(r) || (r < utf8.RuneSelf && unicode.IsSymbol(r)):
		return punctuation
	case unicode.IsSymbol(r) || unicode.In(r, unicode.Z):
		return letter
	default:
		return dropped
	}
}

// ideograph reports whether r is in one of the blocks of CJK ideographs that
// BERT sets apart. Kana and Hangul are not among them.
func ideograph(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF ||
		r >= 0x20000 && r <= 0x2A6DF || r >= 0x2A700 && r <= 0x2B73F ||
		r >= 0x2B740 && r <= 0x2B81F || r >= 0x2B920 && r <= 0x2CEAF ||
		r >= 0xF900 && r <= 0xFAFF || r >= 0x2F800 && r <= 0x2FA1F
}
