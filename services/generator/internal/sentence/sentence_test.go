package sentence_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/services/generator/internal/sentence"
)

func split(text string) []string {
	names := map[sentence.Kind]string{sentence.Heading: "# ", sentence.Item: "- ", sentence.Row: "| ", sentence.Code: "` ", sentence.Line: "= "}
	var out []string
	for _, s := range sentence.Split(text) {
		out = append(out, names[s.Kind]+s.Of(text))
	}
	return out
}

func TestSplit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want []string
	}{
		"empty":             {"", nil},
		"blank":             {" \n\n\t", nil},
		"two":               {"One is here. Two is there.", []string{"One is here.", "Two is there."}},
		"marks":             {"Really?! Yes… No! Fine.", []string{"Really?!", "Yes…", "No!", "Fine."}},
		"quotes close":      {`He said "stop." Then he left.`, []string{`He said "stop."`, "Then he left."}},
		"decimals":          {"It is 3.14 or 1,000.5 high. Next.", []string{"It is 3.14 or 1,000.5 high.", "Next."}},
		"abbreviations":     {"Dr. Smith met Mr. Jones, e.g. in St. Louis. They ate.", []string{"Dr. Smith met Mr. Jones, e.g. in St. Louis.", "They ate."}},
		"initials":          {"J. K. Rowling wrote it. He did not.", []string{"J. K. Rowling wrote it.", "He did not."}},
		"addresses":         {"See example.com for it. Mail a.b@c.org now.", []string{"See example.com for it.", "Mail a.b@c.org now."}},
		"lower case":        {"The ver. two of it. The end.", []string{"The ver. two of it.", "The end."}},
		"german ordinal":    {"Am 3. Oktober war es so. Im 19. Jahrhundert nicht.", []string{"Am 3. Oktober war es so.", "Im 19. Jahrhundert nicht."}},
		"german":            {"Das ist z.B. Wasser. Der Rest bzw. Eis.", []string{"Das ist z.B. Wasser.", "Der Rest bzw. Eis."}},
		"spanish":           {"¿Quién es? Es Juan. ¡Bien!", []string{"¿Quién es?", "Es Juan.", "¡Bien!"}},
		"russian":           {"В 1912 г. он родился. Потом умер.", []string{"В 1912 г. он родился.", "Потом умер."}},
		"chinese":           {"他在北京。她在“上海。”谁？我！", []string{"他在北京。", "她在“上海。”", "谁？", "我！"}},
		"arabic":            {"ولد هناك. من هو؟ رجل.", []string{"ولد هناك.", "من هو؟", "رجل."}},
		"tokenised":         {"It is so . Any one -- ( see it ) . Next .", []string{"It is so .", "Any one -- ( see it ) .", "Next ."}},
		"wrapped lines":     {"A line that\ngoes on. And\nmore.", []string{"A line that\ngoes on.", "And\nmore."}},
		"markdown heading":  {"# Install it\nRun make. Wait.", []string{"# Install it", "Run make.", "Wait."}},
		"plain heading":     {"Opening hours\n\nWe open at nine.", []string{"# Opening hours", "We open at nine."}},
		"list":              {"- first thing. more\n- second\n  goes on\n1. third", []string{"- first thing. more", "- second\n  goes on", "- third"}},
		"table":             {"| a | b |\n|---|---|\n| 1 | 2. X |", []string{"# | a | b |", "| | 1 | 2. X |"}},
		"a short last row":  {"Rope\t4\t2.50\nSum\t2.50\nPay soon.", []string{"| Rope\t4\t2.50", "| Sum\t2.50", "Pay soon."}},
		"code is left":      {"Do:\n\n```go\na. B. C\n\n# d\n```\nDone.", []string{"Do:", "` ```go\na. B. C\n\n# d\n```", "Done."}},
		"open code":         {"```\nx. Y", []string{"` ```\nx. Y"}},
		"quote":             {"> It is so. Yes.", []string{"It is so.", "Yes."}},
		"rulers":            {"One.\n\n---\n\nTwo.", []string{"One.", "Two."}},
		"invalid utf-8":     {"a\xffb. \xfe C.", []string{"a\xffb.", "\xfe C."}},
		"labels are apart":  {"Harbour: Skagen\nOpen: 8 to 16,\nin winter 9 to 15\nCall: Ms. Holm", []string{"= Harbour: Skagen", "Open: 8 to 16,\nin winter 9 to 15", "= Call: Ms. Holm"}},
		"a label in prose":  {"The rule is old and says\nplainly: go home. They went.", []string{"The rule is old and says\nplainly: go home.", "They went."}},
		"facts":             {"Rowing club\n\nFounded by miners\n\nBoats for 40 people\n\nOpen on Sunday", []string{"# Rowing club", "= Founded by miners", "= Boats for 40 people", "= Open on Sunday"}},
		"facts and a text":  {"Seats 80 people\n\nThe room is warm.", []string{"= Seats 80 people", "The room is warm."}},
		"a statement":       {"Dogs are welcome\n\nThe room is warm.", []string{"= Dogs are welcome", "The room is warm."}},
		"a question's head": {"What is allowed\n\nDogs.", []string{"# What is allowed", "Dogs."}},
		"a numbered head":   {"3.1 Deposits\n\nNone is asked.", []string{"# 3.1 Deposits", "None is asked."}},
		"an edition":        {"Fees 2026\n\nNone is asked.", []string{"# Fees 2026", "None is asked."}},
		"above a heading":   {"## Fines\n\nTwo euros per week\n\n## Rooms\n\nFour.", []string{"# Fines", "= Two euros per week", "# Rooms", "Four."}},
		"heads of sections": {"Fines\n\nTwo euros per week\n\nRooms\n\nThere are four.", []string{"# Fines", "= Two euros per week", "# Rooms", "There are four."}},
		"mark before quote": {"So it is [2]. Yes.", []string{"So it is [2].", "Yes."}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, split(tt.text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLongTextIsCut(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"words": strings.Repeat("word ", 1000), "no space": strings.Repeat("x", 5000), "thai": strings.Repeat("ภาษาไทยเป็นภาษา ", 100),
	} {
		for _, s := range sentence.Split(text) {
			if n := utf8.RuneCountInString(s.Of(text)); n > 500 || name == "thai" && n > 80 {
				t.Errorf("%s: a sentence has %d runes", name, n)
			}
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"One. Two.", "# H\n- a\n| b | c |\n```\nx\n```", "他在。“她。”", "a\xff. B", "1. x\n2) y", "J. K. z.B. 3. 4."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last := 0
		for _, s := range sentence.Split(text) {
			if s.Start < last || s.End <= s.Start || s.End > len(text) {
				t.Fatalf("span %+v after %d in %d bytes", s, last, len(text))
			}
			if utf8.ValidString(text) && !utf8.ValidString(s.Of(text)) {
				t.Fatalf("span %+v splits a rune", s)
			}
			if s.Of(text) != strings.TrimSpace(s.Of(text)) {
				t.Fatalf("%q is not trimmed", s.Of(text))
			}
			last = s.End
		}
	})
}
