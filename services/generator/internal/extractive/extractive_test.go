package extractive

import (
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/evidence"
)

func writer() *Writer { return New(lexical.New(), embed.Profile{}) }

// What a program reads is no sentence for people, whatever words it holds.
func TestDataIsNoSentence(t *testing.T) {
	t.Parallel()
	from := []corpus.Passage{
		{ID: "y", Title: "API", Score: 1, Text: "example: {question: \"How long does probation last?\", answer: \"Probation lasts as the contract says\", grounded: true, reason: null,\n" +
			"citations: [{marker: 1, passage_id: d1, version: \"9f86\", quote: \"probation\"}], usage: {prompt_tokens: 0}}"},
		{ID: "g", Title: "Guide", Score: 0.9, Text: "Probation lasts six months. Notice period: four weeks."},
	}
	for question, want := range map[string]string{
		"How long does probation last?": "Probation lasts six months.", "What is the notice period?": "Notice period: four weeks.",
	} {
		d, ok := writer().Write(question, from)
		if !ok || !strings.Contains(d.Text, want) || strings.Contains(d.Text, "marker") {
			t.Errorf("%s %t %q", question, ok, d.Text)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	manual := corpus.Passage{
		ID: "m", Title: "Handbook", Section: "Backups", Score: 1, CharStart: 50,
		Text: "# Backups\n\nThe database is saved **every night** at 02:30, see [the plan](https://x.example/plan)[3]. It takes four minutes.\n\n" +
			"- Backups are kept for 30 days.\n- Older ones are deleted.\n\n```sh\nbackup --nightly database\n```\n\nWho may restore a backup? Only the administrators may restore a backup.",
	}
	other := corpus.Passage{ID: "o", Title: "Lunch", Score: 0.4, Text: "The canteen opens at noon. Dr. Meier recommends the soup. The soup costs 3.50 euros."}
	for name, tt := range map[string]struct {
		question string
		want     []string
		never    []string
	}{
		"a time":               {"When is the database saved?", []string{"every night at 02:30, see the plan"}, []string{"**", "http", "[3]", "canteen"}},
		"it takes its subject": {"How long does saving the database take?", []string{"four minutes", "The database is saved"}, nil},
		"a list item":          {"How many days are backups kept?", []string{"Backups are kept for 30 days."}, []string{"soup"}},
		"no question back":     {"Who may restore a backup?", []string{"Only the administrators may restore a backup."}, []string{"Who may"}},
		"a price":              {"How much does the soup cost?", []string{"The soup costs 3.50 euros."}, []string{"database"}},
		"a name":               {"Who recommends the soup?", []string{"Dr. Meier recommends the soup."}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := []corpus.Passage{manual, other}
			d, ok := writer().Write(tt.question, from)
			if !ok {
				t.Fatalf("abstained with %.2f", d.Confidence)
			}
			for _, w := range tt.want {
				if !strings.Contains(d.Text, w) {
					t.Errorf("%q does not hold %q", d.Text, w)
				}
			}
			for _, n := range tt.never {
				if strings.Contains(d.Text, n) {
					t.Errorf("%q holds %q", d.Text, n)
				}
			}
			if strings.Join(d.Parts, "") != d.Text || len(d.Parts) != len(d.Citations) || len(d.Parts) > MaxSentences {
				t.Errorf("parts %q", d.Parts)
			}
			for _, c := range d.Citations {
				p := from[c.Marker-1]
				if got := string([]rune(p.Text)[c.CharStart-p.CharStart : c.CharEnd-p.CharStart]); got != c.Quote || !c.Supported {
					t.Errorf("citation %+v, at its offsets %q", c, got)
				}
			}
		})
	}
}

func TestAbstains(t *testing.T) {
	t.Parallel()
	from := []corpus.Passage{{ID: "o", Score: 1, Text: "The canteen opens at noon. The soup costs 3.50 euros."}}
	for _, question := range []string{"Which planet has the most moons?", "Wer gewann die Weltmeisterschaft im Jahr 1954?", "", "?!"} {
		if d, ok := writer().Write(question, from); ok {
			t.Errorf("%q is answered with %q (%.2f)", question, d.Text, d.Confidence)
		}
	}
	for _, none := range [][]corpus.Passage{nil, {{Text: ""}}, {{Text: "# Only a heading"}}, {{Text: "```\ncode\n```"}}} {
		if d, ok := writer().Write("What is it?", none); ok {
			t.Errorf("%+v answers %q", none, d.Text)
		}
	}
}

// The search's cosines decide, but only those of the model they were measured with.
func TestCosinesCount(t *testing.T) {
	t.Parallel()
	far := 0.05
	from := []corpus.Passage{{ID: "o", Score: 1, Text: "The soup of the canteen costs 3.50 euros.", Scores: corpus.Scores{Dense: &far}}}
	for model, want := range map[string]bool{"": true, "another": true, evidence.MeasuredModel: false} {
		if _, ok := New(lexical.New(), embed.Profile{Model: model}).Write("Who cooks the soup of the canteen?", from); ok != want {
			t.Errorf("with %q answered: %v, want %v", model, ok, want)
		}
	}
}

func TestAtMostFourSentencesAndNoneTwice(t *testing.T) {
	t.Parallel()
	var from []corpus.Passage
	for range 12 {
		from = append(from, corpus.Passage{Score: 1, Text: "The red fox eats mice. The red fox eats mice at night. A red fox eats berries too. Every red fox eats fish. The red fox eats eggs of birds. The red fox eats worms."})
	}
	d, ok := writer().Write("What does the red fox eat?", from)
	if !ok || len(d.Citations) == 0 || len(d.Citations) > MaxSentences {
		t.Fatalf("%d citations", len(d.Citations))
	}
	seen := map[string]bool{}
	for _, c := range d.Citations {
		if seen[c.Quote] {
			t.Errorf("%q is said twice", c.Quote)
		}
		seen[c.Quote] = true
	}
}

func TestTheBestSentenceLeads(t *testing.T) {
	t.Parallel()
	from := []corpus.Passage{{
		ID: "g", Title: "Guide", Score: 1,
		Text: "You may work from home once your probation is over. Ask your lead. Probation lasts six months. The company pays for probation courses.",
	}}
	d, ok := writer().Write("How long does probation last?", from)
	if !ok || !strings.HasPrefix(d.Text, "Probation lasts six months. [1]") || d.Citations[0].Quote != "Probation lasts six months." {
		t.Errorf("answer %q", d.Text)
	}
	table := []corpus.Passage{{ID: "h", Title: "Hotels", Score: 1, Text: "The company pays for a hotel up to these rates:\n\n| City | Rate |\n| --- | --- |\n| Oslo | 190 euros |\n| Hamburg | 150 euros |"}}
	d, ok = writer().Write("What is the hotel rate that the company pays in Oslo?", table)
	if oslo := strings.Index(d.Text, "Oslo – 190"); !ok || oslo < 0 || strings.Contains(d.Text, "Hamburg") || strings.Contains(d.Text, "pays") && strings.Index(d.Text, "pays") > oslo {
		t.Errorf("answer %q", d.Text)
	}
}

func TestAskedFor(t *testing.T) {
	t.Parallel()
	for q, want := range map[string]asks{
		"Who wrote it?": aName, "When was it?": aDate, "How many are there?": aNumber, "Why is it so?": aReason, "Describe it.": anything,
		"Wie viele gibt es?": aNumber, "Wann war das?": aDate, "¿Quién lo hizo?": aName, "¿En qué año fue?": aDate, "Кто это сделал?": aName, "Сколько их?": aNumber,
		"黑豹队的防守丢了多少分？": aNumber, "谁写的？": aName, "什么时候？": aDate, "كم عددهم؟": aNumber, "متى كان ذلك؟": aDate, "为什么？": aReason, "מי כתב את זה?": aName, "מתי זה נכתב?": aDate, "כמה ספרים יש?": aNumber, "למה זה כך?": aReason,
		"いつですか？": aDate, "何人ですか？": aNumber, "誰ですか？": aName, "누가 썼습니까?": aName, "มีกี่คน": aNumber, "ใครเขียน": aName,
	} {
		if got := askedFor(q); got != want {
			t.Errorf("askedFor(%q) = %d, want %d", q, got, want)
		}
	}
}

func FuzzWrite(f *testing.F) {
	f.Add("When is it?", "It is at 9. Then not.", "# T\n- a [1]\n| b | c |")
	f.Add("多少？", "他有三个。[2] 不是。", "")
	f.Fuzz(func(t *testing.T, question, a, b string) {
		// JSON, in which passages travel, holds valid UTF-8 only.
		a, b = strings.ToValidUTF8(a, "\ufffd"), strings.ToValidUTF8(b, "\ufffd")
		from := []corpus.Passage{{Text: a, CharStart: 3, Score: 1}, {Text: b, Score: 0.5}}
		d, ok := writer().Write(question, from)
		if !ok {
			return
		}
		if strings.Count(d.Text, "[") != len(d.Citations) {
			t.Fatalf("%q has other brackets than its %d citations", d.Text, len(d.Citations))
		}
		for _, c := range d.Citations {
			p := from[c.Marker-1]
			if got := string([]rune(p.Text)[c.CharStart-p.CharStart : c.CharEnd-p.CharStart]); got != c.Quote {
				t.Fatalf("at its offsets stands %q, the quote is %q", got, c.Quote)
			}
		}
	})
}
