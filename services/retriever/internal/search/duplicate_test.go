package search

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNearDuplicates(t *testing.T) {
	t.Parallel()
	const text = "The herring swims in large schools through the northern seas, and every spring it comes close to the coast to spawn."
	for _, c := range []struct {
		name  string
		other string
		want  bool
	}{
		{"the same", text, true},
		{"other case and punctuation", strings.ToUpper(text) + "!!", true},
		{"one word changed", strings.Replace(text, "northern", "southern", 1), false},
		{"a small part of it", "The herring swims in large schools.", false},
		{"something else", "The salmon climbs rivers and jumps over falls that are higher than a man, to spawn where it was born.", false},
		{"nothing", "", false},
	} {
		var f fingerprints
		if f.nearDuplicate(text) {
			t.Fatal("the first one is a duplicate")
		}
		if got := f.nearDuplicate(c.other); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestTextWithoutSpacesHasShinglesToo(t *testing.T) {
	t.Parallel()
	const text = "鲱鱼在北方的海洋里成群结队地游动每年春天它们都会来到海岸附近产卵这是渔民一年中最忙碌的季节"
	var f fingerprints
	if f.nearDuplicate(text) || !f.nearDuplicate(text) {
		t.Error("the same text was not seen")
	}
	if f.nearDuplicate("鲑鱼在秋天逆流而上跳过比人还高的瀑布回到它们出生的地方产卵然后死去它们的身体养活了河边的森林") {
		t.Error("another text was taken for the same")
	}
}

func TestADuplicateMayDifferALittle(t *testing.T) {
	t.Parallel()
	set := func(numbers ...uint64) []uint64 { return numbers }
	twenty := set(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
	for _, c := range []struct {
		name  string
		large []uint64
		want  bool
	}{
		{"all", twenty, true},
		{"17 of 20", twenty[3:], true},
		{"17 of 20, others behind", append(slices.Clone(twenty[:17]), 30, 31, 32), true},
		{"16 of 20", twenty[4:], false},
		{"none", set(21, 22), false},
		{"nothing", nil, false},
	} {
		if got := mostlyIn(twenty, c.large); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func BenchmarkNearDuplicates(b *testing.B) {
	texts := make([]string, 14)
	for i := range texts {
		for n := range 150 {
			texts[i] += fmt.Sprint("word", (n*n+i*7919)%3571, " ")
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		var f fingerprints
		for _, text := range texts {
			if f.nearDuplicate(text) {
				b.Fatal("a duplicate")
			}
		}
	}
}
