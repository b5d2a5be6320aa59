package storm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxViolations bounds how many are told of each promise, and maxStories how
// many with their story; all are counted.
const (
	maxViolations = 12
	maxStories    = 3
)

// report prints the table and the violations.
func (s *storm) report() {
	out := s.cfg.Out
	s.found.mu.Lock()
	defer s.found.mu.Unlock()
	fmt.Fprintf(out, "\n%s\n\n", strings.Join(s.phases, "\n"))
	table := func(title string, counts map[string]int) {
		fmt.Fprintf(out, "%s\n", title)
		sum := 0
		for _, k := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(out, "  %8d  %s\n", counts[k], k)
			sum += counts[k]
		}
		fmt.Fprintf(out, "  %8d  together\n\n", sum)
	}
	table("faults", s.journal.counted())
	notes := s.found.notes
	fmt.Fprintln(out, "counts")
	for _, k := range slices.Sorted(maps.Keys(notes)) {
		fmt.Fprintf(out, "  %8d  %s\n", notes[k], k)
	}
	list := slices.Clone(s.found.violations)
	fmt.Fprintf(out, "\nviolations: %d\n", len(list))
	slices.SortStableFunc(list, func(a, b violation) int { return cmp.Compare(a.point, b.point) })
	byPoint := map[int]int{}
	for _, v := range list {
		byPoint[v.point]++
		if byPoint[v.point] > maxViolations {
			continue
		}
		fmt.Fprintf(out, "\nseed %d, promise %d: %s\n", s.cfg.Seed, v.point, v.text)
		if byPoint[v.point] <= maxStories {
			fmt.Fprint(out, s.journal.story(v.own))
		}
	}
}
