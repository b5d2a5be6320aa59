package search

import (
	"hash/maphash"
	"strings"
	"unicode"
)

// Two passages are near-duplicates when this share of the smaller one's
// shingles is in the other: the same boilerplate, or the same text from
// another file. Overlapping but different passages stay well below.
const duplicateShare = 0.85

// shingleWords is how many words make a shingle.
const shingleWords = 4

// fingerprints remembers the passages seen so far. The zero value is ready.
type fingerprints struct {
	seed maphash.Seed
	sets []map[uint64]struct{}
}

// nearDuplicate reports whether text says the same as one remembered, and
// remembers it when it does not.
func (f *fingerprints) nearDuplicate(text string) bool {
	if f.sets == nil {
		f.seed = maphash.MakeSeed()
	}
	set := f.shingles(text)
	for _, other := range f.sets {
		small, large := set, other
		if len(small) > len(large) {
			small, large = large, small
		}
		if len(small)*2 < len(large) {
			continue // one is a small part of the other: both tell something
		}
		shared := 0
		for s := range small {
			if _, ok := large[s]; ok {
				shared++
			}
		}
		if float64(shared) >= duplicateShare*float64(len(small)) {
			return true
		}
	}
	f.sets = append(f.sets, set)
	return false
}

// shingles hashes every run of words. Text without spaces between words is
// cut into characters instead, so that it has shingles too.
func (f *fingerprints) shingles(text string) map[uint64]struct{} {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	if len(words) > 0 && len(text) > 24*len(words) {
		words = strings.Split(strings.Join(words, ""), "")
	}
	set := make(map[uint64]struct{}, len(words))
	var h maphash.Hash
	h.SetSeed(f.seed)
	for i := 0; i == 0 || i+shingleWords <= len(words); i++ {
		h.Reset()
		for _, w := range words[i:min(i+shingleWords, len(words))] {
			_, _ = h.WriteString(strings.ToLower(w)) //nolint:errcheck // a hash cannot fail
			_ = h.WriteByte(0)                       //nolint:errcheck // a hash cannot fail
		}
		set[h.Sum64()] = struct{}{}
	}
	return set
}
