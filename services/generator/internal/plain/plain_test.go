package plain_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ragbus/ragbus/services/generator/internal/plain"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain text\n\twith lines":            "plain text\n\twith lines",
		"zero\u200bwidth\u200d and\ufeff bom": "zerowidth and bom",
		"a\u202edesrever\u202c b":             "adesrever b",
		"iso\u2066late\u2069":                 "isolate",
		"tag\U000e0041\U000e0042s":            "tags",
		"bell\x07 and nul\x00":                "bell and nul",
		"soft\u00adhyphen":                    "softhyphen",
		"می\u200cخواهم":                       "می\u200cخواهم",
		"👩\u200d💻":                            "👩\u200d💻",
		"bad\xffutf":                          "badutf",
	} {
		if got := plain.Visible(in); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"as it is":               "as it is",
		"two\n lines  and\tmore": "two lines and more",
		"see [the guide](https://x.example/a) now":    "see the guide now",
		"an ![image](https://evil.example/?d=1) here": "an here",
		"cited[12] twice [3, 4].":                     "cited twice .",
		"a [note] stays":                              "a (note) stays",
		"**bold** and *thin* and `code`":              "bold and thin and code",
		"snake_case and 2*3 stay":                     "snake_case and 2*3 stay",
		"| a | b |":                                   "a – b",
		"Software\t6.0\t\t9.9":                        "Software 6.0 – 9.9",
		"a\t\t\tb":                                    "a – – b",
		"open [bracket":                               "open (bracket",
		"中文 [1]。":                                     "中文 。",
	} {
		if got := plain.Line(in); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
}

// What is shown of a document must never look like a citation of ours.
func FuzzLineHasNoMarker(f *testing.F) {
	f.Add("[1]")
	f.Add("[[1]](x) ![2](y) [a](b [3])")
	f.Add("[1\u200b] [`2`] [**3**]")
	f.Fuzz(func(t *testing.T, text string) {
		line := plain.Line(text)
		if strings.ContainsAny(line, "[]") && strings.Contains(line, "[") {
			t.Fatalf("Line(%q) = %q has a bracket", text, line)
		}
		if utf8.ValidString(text) && !utf8.ValidString(line) {
			t.Fatalf("Line(%q) is not UTF-8", text)
		}
	})
}

// Every byte counts wherever it stands, also where eight are looked at together.
func TestEveryByteIsLookedAt(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for at := range 19 {
			text := strings.Repeat("a", at) + string([]byte{byte(c)}) + strings.Repeat("~", 18-at)
			if got, want := plain.ASCII(text), c < utf8.RuneSelf; got != want {
				t.Errorf("byte %#x at %d: ASCII %v, want %v", c, at, got, want)
			}
			want := text
			if c < 0x20 && c != '\n' && c != '\t' || c >= 0x7f {
				want = strings.Repeat("a", at) + strings.Repeat("~", 18-at)
			}
			if got := plain.Visible(text); got != want {
				t.Errorf("byte %#x at %d: %q, want %q", c, at, got, want)
			}
		}
	}
}
