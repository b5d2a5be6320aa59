package reconcile

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// shownDifferences is how many differences are told one by one to people.
const shownDifferences = 100

// WriteText tells people what was compared and what differs. Repair says
// whether mending was asked for. Errors of w are not told.
func (r Report) WriteText(w io.Writer, repair bool) {
	fmt.Fprintf(w, "compared %d documents, %d points, %d uploads, %d queued messages, %d dead letters\n", r.Documents, r.Points, r.Blobs, r.Messages, r.Letters)
	for _, note := range r.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	if len(r.Differences) == 0 {
		fmt.Fprintln(w, "nothing differs")
		return
	}
	found, mended := map[Kind]int{}, map[Kind]int{}
	for _, d := range r.Differences {
		found[d.Kind]++
		if d.Mended {
			mended[d.Kind]++
		}
	}
	fmt.Fprintf(w, "\n%-18s %5s %7s\n", "difference", "found", "mended")
	for _, kind := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(w, "%-18s %5d %7d\n", kind.Words(), found[kind], mended[kind])
	}
	fmt.Fprintln(w)
	for i, d := range r.Differences {
		if i == shownDifferences {
			fmt.Fprintf(w, "… and %d more; --json lists all\n", len(r.Differences)-i)
			break
		}
		line := fmt.Sprintf("%s %s: %s: %s", d.Tenant, d.Document, d.Kind.Words(), d.What)
		if d.Document == "" {
			line = fmt.Sprintf("%s: %s: %s", d.Tenant, d.Kind.Words(), d.What)
		}
		if d.Done != "" {
			line += " → " + d.Done
		}
		fmt.Fprintln(w, line)
	}
	if !repair {
		fmt.Fprintln(w, "\nWith --repair, what can be mended is.")
	}
}
