package embeddedvector

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestAGuideFindsWhatABinarySearchFinds(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for _, size := range []int{0, 1, 2, 3, 4, 7, 8, 9, 100, 4096, 5000} {
		for _, mask := range []uint32{math.MaxUint32, 0xFF, 0xFFFFFF00} { // spread, and crowded at either end
			terms := []uint32{0, math.MaxUint32}[:min(size, 2)]
			for len(terms) < size {
				terms = append(terms, rng.Uint32()&mask)
			}
			slices.Sort(terms)
			terms = slices.Compact(terms)
			g := newGuide(terms)
			ask := []uint32{0, 1, math.MaxUint32 - 1, math.MaxUint32, rng.Uint32(), rng.Uint32() & mask}
			for _, term := range append(ask, terms...) {
				want, known := slices.BinarySearch(terms, term)
				if got, ok := g.find(terms, term); ok != known || known && got != want {
					t.Fatalf("%d terms, %x: at %d (%v), want %d (%v)", len(terms), term, got, ok, want, known)
				}
			}
		}
	}
}
