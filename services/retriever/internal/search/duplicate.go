package search

import (
	"math"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Two passages are near-duplicates when this share of the smaller one's
// shingles is in the other: the same boilerplate, or the same text from
// another file. Overlapping but different passages stay well below.
const duplicateShare = 0.85

// shingleWords is how many words make a shingle.
const shingleWords = 4

// fingerprints remembers the passages seen so far. The zero value is ready.
type fingerprints struct {
	// sets are the hashes of each passage's shingles, ascending, none twice.
	sets [][]uint64
	// words is reused from text to text.
	words []uint64
}

// nearDuplicate reports whether text says the same as one remembered, and
// remembers it when it does not.
func (f *fingerprints) nearDuplicate(text string) bool {
	set := f.shingles(text)
	for _, other := range f.sets {
		small, large := set, other
		if len(small) > len(large) {
			small, large = large, small
		}
		if len(small)*2 < len(large) {
			continue // one is a small part of the other: both tell something
		}
		if mostlyIn(small, large) {
			return true
		}
	}
	f.sets = append(f.sets, set)
	return false
}

// mostlyIn reports whether at least [duplicateShare] of small is in large. It
// stops as soon as too many are missing, which is soon for most texts.
func mostlyIn(small, large []uint64) bool {
	spare := len(small) - int(math.Ceil(duplicateShare*float64(len(small))))
	for _, s := range small {
		for len(large) > 0 && large[0] < s {
			large = large[1:]
		}
		if len(large) > 0 && large[0] == s {
			continue
		}
		if spare--; spare < 0 {
			return false
		}
	}
	return true
}

// shingles hashes every run of words. Text without spaces between words is
// cut into characters instead, so that it has shingles too.
func (f *fingerprints) shingles(text string) []uint64 {
	f.split(text, false)
	if len(f.words) > 0 && len(text) > 24*len(f.words) {
		f.split(text, true)
	}
	set := make([]uint64, 0, max(1, len(f.words)))
	for i := 0; i == 0 || i+shingleWords <= len(f.words); i++ {
		set = append(set, join(f.words[i:min(i+shingleWords, len(f.words))]))
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// join makes one hash of those of a few words, in their order.
func join(words []uint64) uint64 {
	h := uint64(0)
	for _, w := range words {
		h = (h + w) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return h
}

// FNV-1a with 64 bits, over characters. Whoever makes words collide gains
// nothing that repeating a text does not give.
const (
	fnvBasis = 14695981039346656037
	fnvPrime = 1099511628211
)

// split hashes the words of text, runs of letters and digits in lower case,
// or each of their characters.
func (f *fingerprints) split(text string, characters bool) {
	f.words = f.words[:0]
	h, inside := uint64(fnvBasis), false
	for _, r := range text {
		if wordly(r) {
			h, inside = (h^uint64(unicode.ToLower(r)))*fnvPrime, true
			if !characters {
				continue
			}
		}
		if inside {
			f.words = append(f.words, h)
			h, inside = fnvBasis, false
		}
	}
	if inside {
		f.words = append(f.words, h)
	}
}

// wordly reports whether r is a letter or a number. ASCII, most of most texts, needs no tables.
func wordly(r rune) bool {
	if r >= utf8.RuneSelf {
		return unicode.IsLetter(r) || unicode.IsNumber(r)
	}
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}
