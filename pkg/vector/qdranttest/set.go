package qdranttest

import (
	"iter"
	"math/bits"
)

const wordBits = 64

// set is a set of slots. The zero value is empty.
type set []uint64 //nolint:recvcheck // only what adds may need more room

func (s set) has(slot uint32) bool {
	word := int(slot / wordBits)
	return word < len(s) && s[word]&(1<<(slot%wordBits)) != 0
}

func (s *set) add(slot uint32) {
	for int(slot/wordBits) >= len(*s) {
		*s = append(*s, 0)
	}
	(*s)[slot/wordBits] |= 1 << (slot % wordBits)
}

func (s set) remove(slot uint32) {
	if word := int(slot / wordBits); word < len(s) {
		s[word] &^= 1 << (slot % wordBits)
	}
}

// keep removes what is not in the other set.
func (s set) keep(other set) {
	for i := range s {
		if i < len(other) {
			s[i] &= other[i]
		} else {
			s[i] = 0
		}
	}
}

// join adds what is in the other set.
func (s *set) join(other set) {
	for len(*s) < len(other) {
		*s = append(*s, 0)
	}
	for i, word := range other {
		(*s)[i] |= word
	}
}

func (s set) size() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

func (s set) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i, word := range s {
			for ; word != 0; word &= word - 1 {
				if !yield(uint32(i*wordBits + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}
