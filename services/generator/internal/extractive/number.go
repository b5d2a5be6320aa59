package extractive

import (
	"slices"

	"github.com/ragbus/ragbus/pkg/corpus"

	"github.com/ragbus/ragbus/services/generator/internal/evidence"
)

// mistaken judges a passage by the question's numbers. other: the passage
// speaks of years, and of none that is asked for. strange: it has not all of
// the numbers, so that its rows and facts, which are about exactly what they
// say, are about something else.
func (q *inquiry) mistaken(p *corpus.Passage) (other, strange bool) {
	if len(q.numbers) == 0 {
		return false, false
	}
	have := evidence.Numbers(p.Title+"\n"+p.Section+"\n"+p.Text, true)
	asked, met := 0, 0
	for _, n := range q.numbers {
		found := slices.Contains(have, n)
		strange = strange || !found
		if year(n) {
			asked++
			if found {
				met++
			}
		}
	}
	return asked > 0 && met == 0 && slices.ContainsFunc(have, year), strange
}
