package extractive

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
)

func TestKin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"manages", "manager", true},
		{"leitet", "leiterin", true},
		{"gründete", "gründerin", true},
		{"основал", "основатель", true},
		{"price", "print", false},
		{"part", "party", false},
		{"water", "watertight", true},
		{"", "", false},
		{"inter", "international", false},
	} {
		if got := kin(tt.a, tt.b); got != tt.want {
			t.Errorf("kin(%q, %q) = %t", tt.a, tt.b, got)
		}
	}
}

// A question with a verb is answered by the noun of who does it.
func TestTheOneWhoDoesItIsFound(t *testing.T) {
	t.Parallel()
	german := corpus.Passage{ID: "g", Title: "Werft", Score: 1, Text: "Die Werft in Kiel wurde 1911 gebaut. Die Leiterin heißt Hanna Petersen."}
	english := corpus.Passage{ID: "e", Title: "Yard", Score: 1, Text: "The yard was built in 1911. The manager is Hanna Petersen. Visitors come by tram."}
	asked{"Wer leitet die Werft in Kiel?", "Hanna Petersen", nil}.check(t, german)
	asked{"Who manages the yard?", "Hanna Petersen", []string{"tram"}}.check(t, english)
}
