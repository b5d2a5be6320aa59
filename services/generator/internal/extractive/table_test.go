package extractive

import (
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
)

var (
	tents = corpus.Passage{ID: "t", Title: "Rental", Score: 1, Text: "We rent tents all year.\n\n| Tent | Sleeps | Price per night |\n| --- | --- | --- |\n" +
		"| Lapwing | 2 | 14 € |\n| Plover | 4 | 23 € |\n| Dunlin | 6 | 31 € |\n\nA tent must come back dry."}
	lots = corpus.Passage{ID: "s", Title: "Stock", Score: 1, Text: "| Lot | Mass | Value | Shelf |\n| Lot 017 | 12 kg | 44 € | row 3 |\n| Lot 018 | 15 kg | 17 € | row 4 |\n| Lot 044 | 19 kg | 18 € | row 5 |"}
	bill = corpus.Passage{ID: "b", Title: "bill", Score: 1, Text: "Bill No:\tB-77\tDate:\t2 May 2024\nBuyer:\tNorden Sails\tPayable:\t1 June 2024\nArticle\tCount\tEach\tSum\n" +
		"Canvas roll\t4\t20.00\t80.00\nThread\t9\t3.00\t27.00\nSum\t107.00\n\nThank you for your order."}
	years = corpus.Passage{ID: "y", Title: "Yearbook", Section: "Visitors", Score: 1, Text: "Visitors in thousands by site.\n\nSite\t2021\t2022\t2023\nTower\t11.2\t12.9\t14.1\nQuarry\t3.3\t4.0\t4.4\n\nThe tower was closed in May 2021."}
)

// A row answers when the question names what the row is about, and is never shown without its header.
func TestRowsAnswerBelowTheirHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked
		from corpus.Passage
	}{
		{asked{"How much does the Plover cost?", "Tent – Sleeps – Price per night [1] Plover – 4 – 23 €", []string{"Lapwing", "Dunlin"}}, tents},
		{asked{"How many people does the Dunlin sleep?", "Price per night [1] Dunlin – 6", []string{"Plover"}}, tents},
		{asked{"When must a tent come back?", "A tent must come back dry.", []string{"Price"}}, tents},
		{asked{"How heavy is lot 017?", "Lot – Mass – Value – Shelf [1] Lot 017 – 12 kg", []string{"018"}}, lots},
		{asked{"Where is Lot 018?", "Lot 018 – 15 kg", []string{"Lot 044", "Lot 017"}}, lots},
		{asked{"What is the sum?", "Article Count Each Sum [1] Sum 107.00", []string{"Canvas", "Thank"}}, bill},
		{asked{"When is it payable?", "Payable: 1 June 2024", []string{"Thread"}}, bill},
		{asked{"How many visitors came to the quarry in 2022?", "Site 2021 2022 2023 [1] Quarry 3.3 4.0 4.4", []string{"Tower"}}, years},
		{asked{"How many visitors came to the quarry in 2023? and in 2021?", "Site 2021 2022 2023 [1] Quarry", nil}, years},
	} {
		tt.check(t, tt.from)
	}
}

// What is like the thing that is asked for is not it: another number, another year, another kind.
func TestTheWrongThingIsNoAnswer(t *testing.T) {
	t.Parallel()
	report := corpus.Passage{ID: "r", Title: "Norden Sails", Score: 1, Text: "Turnover rose to 12.4 million euros in 2023. For 2024 Norden Sails expects turnover of 13 million euros. " +
		"The head of sales is Ulla Berg. A guarantee of 50 euros is asked for each sail."}
	for _, tt := range []struct {
		asked
		from corpus.Passage
	}{
		{asked{"What is the value of Lot 300?", "", nil}, lots},
		{asked{"What was the turnover of Norden Sails in 2016?", "", nil}, report},
		{asked{"What was the turnover of Norden Sails in 2023?", "12.4 million", nil}, report},
		{asked{"What is the guarantee for a helicopter?", "", nil}, report},
		{asked{"What is the guarantee for a sail?", "50 euros", nil}, report},
		{asked{"Who is the head of human resources at the bakery?", "", nil}, report},
		{asked{"Who is the head of sales?", "Ulla Berg", nil}, report},
	} {
		tt.check(t, tt.from)
	}
}

func TestAHeaderAloneIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, p := range []corpus.Passage{tents, lots, years} {
		d, ok := writer().Write("price per night sleeps shelf mass value lot tent site", []corpus.Passage{p})
		if n := len(d.Citations); ok && n > 0 && strings.Contains(d.Citations[n-1].Quote, "per night") {
			t.Errorf("%s: %q", p.ID, d.Text)
		}
	}
}
