package question

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/event"
)

func TestWhatAFollowUpLeansOn(t *testing.T) {
	t.Parallel()
	const ferry = "Who is the captain of the ferry?"
	for name, tt := range map[string]struct {
		history  []string
		question string
		want     string
	}{
		"words of time alone":             {[]string{ferry}, "Since when?", ferry + " Since when?"},
		"they are no anchor":              {[]string{ferry, "Since when?"}, "Who was it before her?", ferry + " Who was it before her?"},
		"a part of a word points back":    {[]string{ferry}, "What's it's name?", ferry + " What's it's name?"},
		"in German":                       {[]string{"Wer leitet die Werft?"}, "Seit wann?", "Wer leitet die Werft? Seit wann?"},
		"in Spanish":                      {[]string{"¿Quién dirige el puerto?"}, "¿Desde cuándo?", "¿Quién dirige el puerto? ¿Desde cuándo?"},
		"a year":                          {[]string{"How many guests came?"}, "2024?", "How many guests came? 2024?"},
		"another year":                    {[]string{"How many guests came in 2022?"}, "and in 2023?", "How many guests came in 2023?"},
		"a third year":                    {[]string{"How many guests came in 2022?", "and in 2023?"}, "2024?", "How many guests came in 2024?"},
		"a number of another kind":        {[]string{"How many guests came in 2022?"}, "and on day 12?", "How many guests came in 2022? and on day 12?"},
		"two years to choose from":        {[]string{"Did more guests come in 2022 than in 2021?"}, "and in 2023?", "Did more guests come in 2022 than in 2021? and in 2023?"},
		"a new subject":                   {[]string{"When are boots washed?"}, "What about the tents?", "When are boots washed? What about the tents?"},
		"what leans on the new subject":   {[]string{"When are boots washed?", "What about the tents?"}, "Who does it?", "When are boots washed? What about the tents? Who does it?"},
		"thanks are no anchor":            {[]string{ferry, "thanks!"}, "Since when?", ferry + " Since when?"},
		"thanks lean on nothing":          {[]string{ferry}, "thank you very much!", "thank you very much!"},
		"a question of its own is itself": {[]string{ferry}, "When does the museum open on Sunday?", "When does the museum open on Sunday?"},
		"nothing to lean on":              {[]string{"why?"}, "Since when?", "Since when?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var history []event.Turn
			for _, h := range tt.history {
				history = append(history, event.Turn{Role: "user", Content: h}, event.Turn{Role: "assistant", Content: "It is so."})
			}
			if got := NewRewriter(nil, nil).Standalone(t.Context(), history, tt.question); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestCourtesy(t *testing.T) {
	t.Parallel()
	for q, want := range map[string]bool{
		"thanks!": true, "Thank you very much.": true, "Hello there": true, "ok, great": true, "Vielen Dank!": true, "Merci beaucoup": true, "谢谢": true,
		"": false, "?": false, "Thanks, and who paid?": false, "Who is there?": false, "Hello World program": false, "very good": false,
	} {
		if got := Courtesy(q); got != want {
			t.Errorf("Courtesy(%q) = %t", q, got)
		}
	}
}
