package answer_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ragbus/ragbus/services/generator/internal/answer"
)

func parse(sources int, deltas ...string) (string, *answer.Parser) {
	p := &answer.Parser{Sources: sources}
	var out strings.Builder
	for _, d := range deltas {
		out.WriteString(p.Write(d))
	}
	out.WriteString(p.Close())
	return out.String(), p
}

func TestMarkers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, want string }{
		"plain":                    {"It is so [1]. Yes [2].", "It is so [1]. Yes [2]."},
		"list":                     {"a [1, 2] b", "a [1][2] b"},
		"pair":                     {"a [1][2] b", "a [1][2] b"},
		"semicolon":                {"a [1;3] b", "a [1][3] b"},
		"range":                    {"a [1-3] b", "a [1][2][3] b"},
		"dash":                     {"a [1–2] b", "a [1][2] b"},
		"chinese brackets":         {"是【1】。", "是[1]。"},
		"wide brackets":            {"是［2］。", "是[2]。"},
		"dagger":                   {"x【1†manual.pdf】y", "x[1]y"},
		"colon":                    {"x【3:0†source】y", "x[3]y"},
		"footnote":                 {"x [^2]", "x [2]"},
		"named":                    {"x [Source 2] y [source: 1]", "x [2] y [1]"},
		"named list":               {"x [Source 1, Source 2].", "x [1][2]."},
		"unknown":                  {"It is so [9]. Yes.", "It is so. Yes."},
		"unknown in a list":        {"It is so [1, 9].", "It is so [1]."},
		"unknown in the middle":    {"It [9] is", "It is"},
		"unknown without a space":  {"It[9] is", "It is"},
		"unknown at the end":       {"It is [9]", "It is"},
		"unknown at the beginning": {"[9] It is", "It is"},
		"two unknown":              {"It is [8] [9].", "It is."},
		"huge":                     {"x [99999999999999999999] y", "x [99999999999999999999] y"},
		"abstained":                {"[0] The sources do not say.", "The sources do not say."},
		"no marker":                {"a [b] c [see 1] d [1b] e []", "a [b] c [see 1] d [1b] e []"},
		"open at the end":          {"a [1", "a [1"},
		"nested":                   {"a [[1]] b", "a [[1]] b"},
		"bracket in bracket":       {"a [see [1] b", "a [see [1] b"},
		"link":                     {"a [1](https://evil.example/?q=x) b", "a [1] b"},
		"local link":               {"a [1](#s1) b", "a [1] b"},
		"remark":                   {"a [1](see b) c", "a [1](see b) c"},
		"link never closed":        {"a [1](https://evil.example/x y", "a [1] y"},
		"markdown link":            {"a [text](https://x.example) b", "a [text](https://x.example) b"},
		"fenced":                   {"x [1]\n```\na[0] = b[9]\n```\ny [9].", "x [1]\n```\na[0] = b[9]\n```\ny."},
		"blank lines are kept":     {"a [1].\n\n- b [2]\n", "a [1].\n\n- b [2]"},
		"only spaces":              {"  \n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, _ := parse(3, tt.in); got != tt.want {
				t.Errorf("parse(%q) = %q, want %q", tt.in, got, tt.want)
			}
			if got, _ := parse(3, strings.Split(tt.in, "")...); got != tt.want {
				t.Errorf("rune by rune %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAbstainedAndUnknownAreCounted(t *testing.T) {
	t.Parallel()
	if _, p := parse(2, "[0] No. [1] [7] [8, 9]"); !p.Abstained() || p.Unknown() != 3 {
		t.Errorf("abstained %v, unknown %d, want true, 3", p.Abstained(), p.Unknown())
	}
	if _, p := parse(2, "x [1]"); p.Abstained() || p.Unknown() != 0 {
		t.Error("nothing was abstained or unknown")
	}
}

// A delta must never keep text back beyond a marker that has begun.
func TestTextIsShownAtOnce(t *testing.T) {
	t.Parallel()
	p := &answer.Parser{Sources: 3}
	for _, step := range []struct{ in, want string }{{"Hel", "Hel"}, {"lo", "lo"}, {" ", ""}, {"you", " you"}, {" [", ""}, {"1", ""}, {"]", " [1]"}, {".", "."}, {" [x", " [x"}} {
		if got := p.Write(step.in); got != step.want {
			t.Errorf("Write(%q) = %q, want %q", step.in, got, step.want)
		}
	}
}

func FuzzParserSplits(f *testing.F) {
	for _, s := range []string{"a [1, 2] b【1†x】[9].", "x [1](http://e) ```\n[3]\n``` [0] ü [", "[[1]]( [Source 1; 2] [^3]", "\xff[1\xc3"} {
		f.Add(s, uint64(0b1011010110101))
	}
	f.Fuzz(func(t *testing.T, text string, cuts uint64) {
		whole, _ := parse(3, text)
		var deltas []string
		last := 0
		for i := range len(text) {
			if cuts>>(i%64)&1 == 1 {
				deltas = append(deltas, text[last:i])
				last = i
			}
		}
		split, _ := parse(3, append(deltas, text[last:])...)
		if split != whole {
			t.Fatalf("split %q, whole %q", split, whole)
		}
		if !utf8.ValidString(whole) {
			t.Fatalf("%q is not UTF-8", whole)
		}
	})
}
