package pdf

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// onPaper returns a line as it stands on paper, from left to right: turned
// round, but for what is read from left to right in it.
func onPaper(logical string) string {
	runes := []rune(logical)
	slices.Reverse(runes)
	again := regexp.MustCompile(`([0-9]+[ ,.&-]+)*[A-Za-z]+([ ,.&-]+[A-Za-z]+)*|[%$]?[0-9]+([-.,:/][0-9]+)*[%$]?`)
	return again.ReplaceAllStringFunc(string(runes), func(s string) string {
		turned := []rune(s)
		slices.Reverse(turned)
		return string(turned)
	})
}

// glyphsOf sets text from left to right.
func glyphsOf(text string) []glyph {
	var out []glyph
	x := 0.0
	for _, r := range text {
		if r != ' ' {
			out = append(out, glyph{text: string(r), x0: x, x1: x + 5, size: 10, em: 10})
		}
		x += 5
	}
	return out
}

func TestLinesReadFromRightToLeftKeepTheirMarks(t *testing.T) {
	t.Parallel()
	mirror := strings.NewReplacer("(", ")", ")", "(", "[", "]", "]", "[")
	for _, want := range []string{
		"افتتح عام 1999. يعمل فيه 540 موظفا.",
		"נפתח בשנת 2004. עובדים בו 77 אנשים.",
		"המנהלת היא רות לוי (טלפון 04-555).",
		"בשנים 1999, 2004 ו 2010.",
		"עלה ב 50% או $75.",
		"הספר הישן (Oxford Press, 1999) נמכר אתמול בחנות.",
		"הספר נמכר אצל Oxford Press.",
		"[12] ראו את המקור, עמוד 7!",
		"המחסן נפתח ב 2004",
	} {
		visual := onPaper(want)
		for _, set := range []string{visual, mirror.Replace(visual)} {
			l := line{x1: float64(5 * len([]rune(set)))}
			l.composeRTL(glyphsOf(set))
			if l.text != want {
				t.Errorf("set as %q, read as %q, want %q", set, l.text, want)
			}
		}
	}
}
