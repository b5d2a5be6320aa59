package extractive

import (
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
)

func TestAFollowUpIsAboutWhatItSays(t *testing.T) {
	t.Parallel()
	rules := corpus.Passage{ID: "r", Title: "Hostel rules", Score: 1, Text: "Kitchen duty is due every Monday. Laundry is due by the fifth of the month. The warden is Ole Dahl, who came in 2019 after Ida Krog."}
	for name, tt := range map[string]struct {
		asked Asked
		from  corpus.Passage
		want  string
		never string
	}{
		"a new subject":       {Asked{"When is kitchen duty due? What about laundry?", "What about laundry?"}, rules, "by the fifth", "Monday"},
		"another row":         {Asked{"How much does the Plover cost? and the Dunlin?", "and the Dunlin?"}, tents, "Dunlin – 6", "Plover"},
		"only a word of time": {Asked{"Who is the warden? Since when?", "Since when?"}, rules, "in 2019", "laundry"},
		"the turn's year":     {Asked{"How many visitors did the quarry have in 2016? and in 2022?", "and in 2022?"}, years, "Quarry 3.3", "Tower"},
		"a year unheard of":   {Asked{"How many visitors did the quarry have in 2022? and in 2016?", "and in 2016?"}, years, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, ok := writer().Answer(tt.asked, []corpus.Passage{tt.from})
			if ok != (tt.want != "") || !strings.Contains(d.Text, tt.want) || tt.never != "" && strings.Contains(d.Text, tt.never) {
				t.Errorf("%t %q (%.2f)", ok, d.Text, d.Confidence)
			}
		})
	}
}
