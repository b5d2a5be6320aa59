package lexical

import (
	"strings"

	"github.com/kljensen/snowball/english"
	"github.com/kljensen/snowball/french"
	"github.com/kljensen/snowball/hungarian"
	"github.com/kljensen/snowball/norwegian"
	"github.com/kljensen/snowball/russian"
	"github.com/kljensen/snowball/spanish"
	"github.com/kljensen/snowball/swedish"
)

// stemID returns the id of a word's term. It works in buf, whose content does not matter.
func stemID(buf *[MaxStemmed + 1]byte, tag byte, l Language, word []byte) uint32 {
	if tag == latinTag+byte(English) && len(word) <= MaxStemmed {
		if stem, ok := stemEnglish(append(buf[:0], word...)); ok {
			return termID(tag, stem)
		}
	}
	return termID(tag, []byte(stem(tag, l, string(word))))
}

// stem reduces a lower-case word. Accents are folded after stemming, for the
// stemmers read them but people leave them out; Vietnamese keeps its tones.
func stem(tag byte, l Language, word string) string {
	switch tag {
	case greekTag:
		return stemGreek(word)
	case cyrillicTag:
		return russian.Stem(strings.ReplaceAll(word, "ё", "е"), true)
	case arabicTag:
		return stemArabic(word)
	}
	switch l {
	case German:
		return stemGerman(word)
	case Spanish:
		return fold(spanish.Stem(word, true))
	case French:
		return fold(french.Stem(word, true))
	case Portuguese, Italian:
		return stemVowels(fold(word))
	case Dutch:
		return stemDutch(fold(word))
	case Swedish:
		return fold(swedish.Stem(word, true))
	case Norwegian:
		return fold(norwegian.Stem(word, true))
	case Hungarian:
		return fold(hungarian.Stem(word, true))
	case Vietnamese:
		return word
	case English, languageCount:
	}
	return english.Stem(fold(word), true)
}

// fold replaces accented Latin letters by their base letters.
func fold(word string) string {
	for i := range len(word) {
		if word[i] >= 0x80 {
			return foldAccents(word)
		}
	}
	return word
}

// stemVowels removes number and gender of Portuguese and Italian nouns and
// adjectives: a plural s and final vowels, while four letters remain.
func stemVowels(word string) string {
	if len(word) > 4 {
		word = strings.TrimSuffix(word, "s")
	}
	for range 2 {
		if len(word) > 4 && strings.IndexByte("aeio", word[len(word)-1]) >= 0 {
			word = word[:len(word)-1]
		}
	}
	return word
}

// stemDutch removes the plurals and inflections -en, -s and -e, undoubles the
// consonant they leave and the long vowel before a single one.
func stemDutch(word string) string {
	for _, suffix := range [...]string{"en", "s", "e"} {
		if cut, ok := strings.CutSuffix(word, suffix); ok && len(cut) >= 3 {
			word = cut
			break
		}
	}
	n := len(word)
	if n >= 4 && word[n-1] == word[n-2] {
		return word[:n-1]
	}
	if n >= 4 && word[n-2] == word[n-3] && strings.IndexByte("aeou", word[n-2]) >= 0 {
		return word[:n-2] + word[n-1:]
	}
	return word
}
