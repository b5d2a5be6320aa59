package embeddedvector

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestArenaKeepsWhatAppendingKeeps(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(15, 16))
	var a arena[int32]
	for _, most := range []int{1, 300, 3 * largestBlock} {
		want := []int32{}
		for len(want) < 3*largestBlock {
			added := a.extend(1 + rng.IntN(most))
			for i := range added {
				if added[i] != 0 {
					t.Fatalf("extended by %d, want zeros", added[i])
				}
				added[i] = rng.Int32()
			}
			want = append(want, added...)
		}
		if in := slices.Concat(a.blocks()...); !slices.Equal(want, in) {
			t.Errorf("steps up to %d: the blocks differ", most)
		}
		if got := a.join(); !slices.Equal(want, got) || cap(got) != len(got) {
			t.Errorf("steps up to %d: %d elements, want %d", most, len(got), len(want))
		}
		if got := a.join(); len(got) != 0 {
			t.Errorf("%d elements are left", len(got))
		}
	}
}
