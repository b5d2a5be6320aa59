package embeddedvector

import (
	"math/bits"
	"slices"
)

// guide finds terms in the ascending list that it was made for. Terms are
// hashes and lie evenly: it knows where those with the same first bits begin,
// about four, which spares a search all steps through the list but the last.
type guide struct {
	// begins has the place of the first term with each leading bits, and the
	// number of terms at the end.
	begins []uint32
	// shift leaves the leading bits of a term.
	shift uint
}

func newGuide(terms []uint32) guide {
	leading := uint(max(0, bits.Len(uint(len(terms)))-3))
	g := guide{begins: make([]uint32, 1<<leading+1), shift: 32 - leading}
	for _, term := range terms {
		g.begins[term>>g.shift+1]++
	}
	for i := range g.begins[1:] {
		g.begins[i+1] += g.begins[i]
	}
	return g
}

// find returns the place of term in terms, and whether it is there.
func (g *guide) find(terms []uint32, term uint32) (int, bool) {
	leading := term >> g.shift
	from := g.begins[leading]
	i, ok := slices.BinarySearch(terms[from:g.begins[leading+1]], term)
	return int(from) + i, ok
}
