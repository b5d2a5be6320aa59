package extract

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding/htmlindex"
)

const (
	russian = "Завод в Казани был построен в 1975 году. Директор завода Иван Петров."
	polish  = "Miłość jest źródłem życia; wąż płynął łódką po żółtej łące."
	french  = "Le café coûte 4,50 € à Genève, où l’été a déjà été très long."
)

func encoded(t *testing.T, charset, text string) string {
	t.Helper()
	enc, err := htmlindex.Get(charset)
	if err != nil {
		t.Fatal(err)
	}
	out, err := enc.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAnUndeclaredEncodingIsGuessedOrDoubted(t *testing.T) {
	t.Parallel()
	const (
		asGuessed  = "the file does not say its encoding and was read as "
		asDoubtful = "the file does not say its encoding, was read as Windows-1252, and looks wrong: send it as UTF-8"
		asWestern  = "the file does not say its encoding, is not UTF-8, and was read as Windows-1252"
	)
	for _, tc := range []struct{ name, content, mediaType, text, warning string }{
		{"KOI8-R", encoded(t, "koi8-r", russian), "", russian, asGuessed + "koi8-r"},
		{"Windows-1251 in Markdown", "# A\n\n" + encoded(t, "windows-1251", russian), "text/markdown", russian, asGuessed + "windows-1251"},
		{"an unknown charset is none", encoded(t, "koi8-r", russian), "text/plain; charset=strange", russian, asGuessed + "koi8-r"},
		{"declared", encoded(t, "koi8-r", russian), "text/plain; charset=koi8-r", russian, ""},
		{"Polish", encoded(t, "windows-1250", polish), "", "", asDoubtful},
		{"French", encoded(t, "windows-1252", french), "", french, "14 bytes of the text were not valid UTF-8 and were read as Windows-1252"},
		{"HTML in Windows-1251", "<html><p>" + encoded(t, "windows-1251", russian), "", russian, asGuessed + "windows-1251"},
		{"HTML that declares", "<html><meta charset=windows-1251><p>" + encoded(t, "windows-1251", russian), "", russian, ""},
		{"HTML that declares Windows-1252", "<html><meta charset=windows-1252><p>" + encoded(t, "windows-1252", french), "", french, ""},
		{"HTML declared beside", "<html><p>" + encoded(t, "koi8-r", russian), "text/html; charset=koi8-r", russian, ""},
		{"HTML in Polish", "<html><p>" + encoded(t, "windows-1250", polish), "", "", asDoubtful},
		{"HTML in French", "<html><p>" + encoded(t, "windows-1252", french), "", french, asWestern},
		{"HTML in UTF-8 that begins in ASCII", "<html><p>" + strings.Repeat("plain words ", 200) + "<p>" + russian, "", russian, ""},
		{"HTML in UTF-8 with a damaged letter", "<html><p>" + russian + "<p>\xd0", "", russian, ""},
		{"HTML in UTF-8 that says so", "<html><meta charset=utf-8><p>" + russian, "", russian, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			pages, sum, err := run(t, extractor(t, Limits{}), Source{File: file(t, tc.content), MediaType: tc.mediaType})
			if err != nil || len(pages) != 1 || !strings.Contains(pages[0], tc.text) {
				t.Errorf("text %q, %v", pages, err)
			}
			warning := strings.Join(sum.Warnings, "\n")
			if !strings.HasPrefix(warning, tc.warning) || (tc.warning == "") != (warning == "") || len(sum.Warnings) > 1 {
				t.Errorf("warnings %q, want %q", sum.Warnings, tc.warning)
			}
		})
	}
}
