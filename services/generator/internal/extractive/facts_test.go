package extractive

import (
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// asked is a question, what its answer holds and what it must not; want "" is an abstention.
type asked struct {
	question, want string
	never          []string
}

func (a asked) check(t *testing.T, from ...corpus.Passage) {
	t.Helper()
	d, ok := writer().Write(a.question, from)
	if ok != (a.want != "") || !strings.Contains(d.Text, a.want) {
		t.Errorf("%q: %t %q (%.2f), want %q", a.question, ok, d.Text, d.Confidence, a.want)
	}
	for _, n := range a.never {
		if strings.Contains(d.Text, n) {
			t.Errorf("%q: %q holds %q", a.question, d.Text, n)
		}
	}
}

// Facts on lines of their own are answers, whether or not they end with a full stop.
func TestLinesOfAFactSheetAnswer(t *testing.T) {
	t.Parallel()
	loose := corpus.Passage{ID: "l", Title: "Lighthouse", Score: 1, Text: "The Skarv lighthouse\n\nKeeper's code: 4471\n\nTower height 38 metres\n\nLit by gas until 1952\n\n" +
		"The ferry lands twice a day\n\nBreakfast is served from seven\n\nHelp by radio: channel 16"}
	dense := corpus.Passage{ID: "d", Title: "Supplier", Score: 1, Text: "Supplier: Holm Ropes\nStreet: Kaivej 4, Skagen\nTax number: DK 55 66 77\nSales contact: Mette Lund\nDelivery time: 6 days\nPayment: within 14 days"}
	headed := corpus.Passage{ID: "h", Title: "Pool", Score: 1, Text: "# Pool\n\n## Opening hours\n\nTuesday to Sunday 10:00 to 20:00\n\n## Locker deposit\n\nOne coin\n\n## Lanes\n\nThe large basin has eight lanes."}
	for _, tt := range []struct {
		asked
		from corpus.Passage
	}{
		{asked{"What is the keeper's code?", "4471", []string{"channel", "38"}}, loose},
		{asked{"How high is the tower?", "38 metres", []string{"4471"}}, loose},
		{asked{"Until when was it lit by gas?", "1952", []string{"ferry"}}, loose},
		{asked{"How often does the ferry land?", "twice a day", []string{"Breakfast"}}, loose},
		{asked{"When is breakfast served?", "from seven", []string{"ferry"}}, loose},
		{asked{"What is the sales contact?", "Mette Lund", []string{"Kaivej", "14 days"}}, dense},
		{asked{"What is the tax number?", "DK 55 66 77", []string{"Kaivej", "Mette"}}, dense},
		{asked{"How long is the delivery time?", "6 days", []string{"Kaivej"}}, dense},
		{asked{"What are the opening hours?", "Tuesday to Sunday", []string{"basin"}}, headed},
		{asked{"How much is the locker deposit?", "One coin", []string{"basin", "Tuesday"}}, headed},
		{asked{"Who painted the ceiling of the chapel?", "", nil}, loose},
		{asked{"Which bank financed the merger?", "", nil}, dense},
	} {
		tt.check(t, tt.from)
	}
}

// A heading is no answer, and neither is what happens to stand beside it.
func TestAHeadingSpeaksOnlyForWhatIsBelowIt(t *testing.T) {
	t.Parallel()
	p := corpus.Passage{ID: "p", Title: "Guide", Score: 1, Text: "Bring warm clothes.\n\nRope storage\n\nThe shed is behind the slip."}
	asked{"Where is the rope storage?", "behind the slip", []string{"clothes", "Rope storage"}}.check(t, p)
}
