package search

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/recent"
)

// Two passages are near-duplicates when this share of the smaller one's
// shingles is in the other: the same boilerplate, or the same text from
// another file. Overlapping but different passages stay well below.
const duplicateShare = 0.85

// shingleWords is how many words make a shingle.
const shingleWords = 4

// printsHalf bounds each half of the fingerprints that are remembered: those
// of about 1,500 passages of 1,000 characters.
const printsHalf = 4 << 20

// prints remembers fingerprints by chunk. A version may be cut anew, so that
// a fingerprint is taken only for the text that it is of. It is safe for
// concurrent use.
type prints struct {
	*recent.Cache[corpus.ChunkRef, *fingerprint]
}

func newPrints() prints {
	return prints{recent.New(printsHalf, func(ref corpus.ChunkRef, f *fingerprint) int {
		return len(ref.Tenant) + len(ref.Document) + len(ref.Version) + f.weight()
	})}
}

func (p prints) of(c *corpus.Chunk) *fingerprint {
	f, ok := p.Get(c.ChunkRef)
	if !ok || f.text != c.Text {
		f = newFingerprint(c.Text)
		p.Put(c.ChunkRef, f)
	}
	return f
}

// passagesSeen are the fingerprints of the passages of one result so far.
type passagesSeen struct {
	known prints
	seen  []*fingerprint
}

// nearDuplicate reports whether c says the same as one seen before, and
// remembers it when it does not.
func (p *passagesSeen) nearDuplicate(c *corpus.Chunk) bool {
	f := p.known.of(c)
	if slices.ContainsFunc(p.seen, f.nearDuplicateOf) {
		return true
	}
	p.seen = append(p.seen, f)
	return false
}

// fingerprint is what is compared of a text. It is safe for concurrent use.
type fingerprint struct {
	text string
	// bitmap has a bit for each shingle, shared by those that collide.
	bitmap [bitmapWords]uint64
	// shingles is how many there are, repeated ones included.
	shingles int

	// set is for shingleSet.
	once sync.Once
	set  []uint64
}

// bitmapWords makes a bitmap of 2,048 bits, enough to tell passages with some
// hundred shingles apart.
const bitmapWords = 32

func newFingerprint(text string) *fingerprint {
	f := &fingerprint{text: text}
	f.eachShingle(func(s uint64) {
		f.bitmap[s>>32%bitmapWords] |= 1 << (s >> 58)
		f.shingles++
	})
	return f
}

// shingleSet returns the hashes of the shingles, ascending, none twice. It is
// made when first asked for: few texts are so similar to another.
func (f *fingerprint) shingleSet() []uint64 {
	f.once.Do(func() {
		f.set = make([]uint64, 0, f.shingles)
		f.eachShingle(func(s uint64) { f.set = append(f.set, s) })
		slices.Sort(f.set)
		f.set = slices.Compact(f.set)
	})
	return f.set
}

// weight is about how many bytes a fingerprint takes, with its text and its set.
func (f *fingerprint) weight() int { return 480 + len(f.text) + 8*f.shingles }

func (f *fingerprint) nearDuplicateOf(other *fingerprint) bool {
	if f == other || f.text == other.text {
		return true
	}
	if f.surelyMisses(other) && other.surelyMisses(f) {
		return false
	}
	small, large := f.shingleSet(), other.shingleSet()
	if len(small) > len(large) {
		small, large = large, small
	}
	if len(small)*2 < len(large) {
		return false // one is a small part of the other: both tell something
	}
	return mostlyIn(small, large)
}

// surelyMisses reports whether more of f's shingles than a near-duplicate may
// miss are certainly not in other. Every bit that only f has stands for at
// least one shingle that other has not. For most texts a few words tell.
func (f *fingerprint) surelyMisses(other *fingerprint) bool {
	missing, allowed := 0, spareShingles(f.shingles)
	for i, b := range f.bitmap {
		if missing += bits.OnesCount64(b &^ other.bitmap[i]); missing > allowed {
			return true
		}
	}
	return false
}

// spareShingles is how many of n shingles may be missing. It grows with n.
func spareShingles(n int) int { return n - int(math.Ceil(duplicateShare*float64(n))) }

// mostlyIn reports whether at least [duplicateShare] of small is in large. It
// stops as soon as too many are missing, which is soon for most texts.
func mostlyIn(small, large []uint64) bool {
	spare := spareShingles(len(small))
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

// wordBytes: text with longer words than that, on average, has no spaces between them.
const wordBytes = 24

// eachShingle yields the hash of every run of words, of all of them when they
// are too few for one. Text without spaces between words is cut into
// characters instead, so that it has shingles too.
func (f *fingerprint) eachShingle(yield func(uint64)) {
	var room [256]uint64
	words := split(room[:0], f.text, false)
	if len(words) > 0 && len(f.text) > wordBytes*len(words) {
		words = split(words[:0], f.text, true)
	}
	for i := 0; i == 0 || i+shingleWords <= len(words); i++ {
		yield(join(words[i:min(i+shingleWords, len(words))]))
	}
}

// join makes one hash of those of at most four words, in their order. The
// odd multipliers are those of xxHash, whose bits are as good as random.
func join(words []uint64) uint64 {
	multipliers := [shingleWords]uint64{0x9e3779b185ebca87, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0x85ebca77c2b2ae63}
	h := uint64(0)
	for i, w := range words {
		h += w * multipliers[i]
	}
	h ^= h >> 32
	return h * multipliers[0]
}

// FNV-1a with 64 bits, over characters. Whoever makes words collide gains
// nothing that repeating a text does not give.
const (
	fnvBasis = 14695981039346656037
	fnvPrime = 1099511628211
)

// split appends the hashes of the words of text, runs of letters and digits
// in lower case, or of each of their characters. ASCII, most of most texts,
// needs no tables: one bit makes its letters small and leaves its digits.
func split(words []uint64, text string, characters bool) []uint64 {
	for i := 0; i < len(text); {
		h, start := uint64(fnvBasis), i
		for i < len(text) {
			c := text[i]
			if small := c | 0x20; small-'a' < 26 || c-'0' < 10 {
				h = (h ^ uint64(small)) * fnvPrime
				i++
			} else if r, size := wordly(text[i:]); r != 0 {
				h = (h ^ uint64(r)) * fnvPrime
				i += size
			} else {
				break
			}
			if characters {
				break
			}
		}
		if i > start {
			words = append(words, h)
			continue
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		i += size
	}
	return words
}

// wordly returns the character that text begins with in lower case, and its
// size; 0 when it is ASCII, or neither letter nor number.
func wordly(text string) (rune, int) {
	if text[0] < utf8.RuneSelf {
		return 0, 1
	}
	r, size := utf8.DecodeRuneInString(text)
	if unicode.IsLetter(r) || unicode.IsNumber(r) {
		return unicode.ToLower(r), size
	}
	return 0, size
}
