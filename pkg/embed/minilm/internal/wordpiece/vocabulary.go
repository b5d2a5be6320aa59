package wordpiece

import (
	"fmt"
	"strings"
)

// The ids of the special pieces, the same in every uncased BERT vocabulary.
const (
	padID     = 0
	unknownID = 100
	startID   = 101
	endID     = 102
	maskID    = 103
)

// continuation marks the pieces that do not begin a word.
const continuation = "##"

// vocabulary finds pieces in a hash table with open addressing over the text
// they came in. It needs a quarter of the memory of a map with string keys,
// and the hash of a longer piece follows from that of a shorter one.
type vocabulary struct {
	text string
	// ends[id] is the offset at which the line of a piece ends.
	ends []uint32
	// slots holds ids, or free; its length is a power of two.
	slots []uint16
	// longest is the greatest length of a piece in bytes, without the mark.
	longest int
}

const (
	slotCount = 1 << 16
	free      = 1<<16 - 1
	maxPieces = slotCount / 2
)

// specials returns the pieces that are recognised in a text as they are.
func specials() [5]special {
	return [...]special{{"[PAD]", padID}, {"[UNK]", unknownID}, {"[CLS]", startID}, {"[SEP]", endID}, {"[MASK]", maskID}}
}

type special struct {
	text string
	id   uint16
}

func parseVocabulary(text string) (*vocabulary, error) {
	v := &vocabulary{text: text, slots: make([]uint16, slotCount)}
	for i := range v.slots {
		v.slots[i] = free
	}
	start := 0
	for line := range strings.Lines(text) {
		id := len(v.ends)
		if id == maxPieces {
			return nil, fmt.Errorf("vocabulary has more than %d pieces", maxPieces)
		}
		piece := strings.TrimSuffix(line, "\n")
		v.ends = append(v.ends, uint32(start+len(piece)))
		start += len(line)
		if err := v.insert(uint16(id), piece); err != nil {
			return nil, err
		}
	}
	for _, s := range specials() {
		if int(s.id) >= len(v.ends) || v.piece(s.id) != s.text {
			return nil, fmt.Errorf("vocabulary does not have %s in line %d", s.text, s.id+1)
		}
	}
	return v, nil
}

func (v *vocabulary) piece(id uint16) string {
	start := uint32(0)
	if id > 0 {
		start = v.ends[id-1] + 1
	}
	return v.text[start:v.ends[id]]
}

func (v *vocabulary) insert(id uint16, piece string) error {
	hash, rest := firstSeed, piece
	if tail, ok := strings.CutPrefix(piece, continuation); ok && tail != "" {
		hash, rest = innerSeed, tail
	}
	if rest == "" {
		return fmt.Errorf("vocabulary has an empty piece in line %d", id+1)
	}
	v.longest = max(v.longest, len(rest))
	for i := range len(rest) {
		hash = extend(hash, rest[i])
	}
	slot := slotOf(hash)
	for v.slots[slot] != free {
		if v.piece(v.slots[slot]) == piece {
			return fmt.Errorf("vocabulary has %q twice", piece)
		}
		slot = (slot + 1) % slotCount
	}
	v.slots[slot] = id
	return nil
}

// The hash is FNV-1a with 64 bits; the two kinds of piece differ in its seed.
const (
	firstSeed uint64 = 14695981039346656037
	innerSeed uint64 = firstSeed ^ 0x9e3779b97f4a7c15
)

func extend(hash uint64, b byte) uint64 { return (hash ^ uint64(b)) * 1099511628211 }

func slotOf(hash uint64) uint64 { return (hash ^ hash>>32) * 0x9e3779b97f4a7c15 >> 48 }

// find returns the id of text, whose hash is given, as a first or an inner piece.
func (v *vocabulary) find(hash uint64, text []byte, inner bool) (uint16, bool) {
	for slot := slotOf(hash); v.slots[slot] != free; slot = (slot + 1) % slotCount {
		piece := v.piece(v.slots[slot])
		if inner {
			if len(piece) != len(continuation)+len(text) || piece[:len(continuation)] != continuation {
				continue
			}
			piece = piece[len(continuation):]
		}
		if piece == string(text) {
			return v.slots[slot], true
		}
	}
	return 0, false
}

// longestMatch returns the longest piece that word begins with, and its length.
func (v *vocabulary) longestMatch(word []byte, inner bool) (id uint16, length int) {
	hash := firstSeed
	if inner {
		hash = innerSeed
	}
	for i := range min(len(word), v.longest) {
		hash = extend(hash, word[i])
		if found, ok := v.find(hash, word[:i+1], inner); ok {
			id, length = found, i+1
		}
	}
	return id, length
}
