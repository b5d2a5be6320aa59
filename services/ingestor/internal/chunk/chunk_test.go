package chunk_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/services/ingestor/internal/chunk"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/textdoc"
)

var ref = corpus.ChunkRef{Tenant: "default", Document: "doc", Version: "0123456789abcdef0123"}

// parts extracts Markdown and returns its parts.
func parts(t testing.TB, markdown string) []page.Page {
	t.Helper()
	var out []page.Page
	opts := textdoc.Options{Markdown: true, MaxBytes: 1 << 30}
	_, err := textdoc.Read(t.Context(), strings.NewReader(markdown), opts, func(p page.Page) error {
		out = append(out, p)
		return nil
	})
	if err != nil {
		t.Fatalf("read markdown: %v", err)
	}
	return out
}

func cut(t testing.TB, pages ...page.Page) []corpus.Chunk {
	t.Helper()
	var out []corpus.Chunk
	c := chunk.New(ref)
	for _, p := range pages {
		if err := c.Add(p, func(ch corpus.Chunk) error {
			out = append(out, ch)
			return nil
		}); err != nil {
			t.Fatalf("add: %v", err)
		}
	}
	check(t, pages, out)
	return out
}

// check holds every promise that can be held against any text.
func check(t testing.TB, pages []page.Page, chunks []corpus.Chunk) {
	t.Helper()
	texts, kept := map[int][]rune{}, map[int][]rune{}
	for _, p := range pages {
		own := []rune(p.Text)
		texts[p.Number] = append(texts[p.Number], own...)
		for _, r := range p.Running {
			for i := r.Start; i < min(r.End, len(own)); i++ {
				own[i] = ' '
			}
		}
		kept[p.Number] = append(kept[p.Number], own...)
	}
	covered := map[int]int{}
	for i, c := range chunks {
		text := texts[c.Page]
		if c.Ordinal != i {
			t.Errorf("chunk %d has the ordinal %d", i, c.Ordinal)
		}
		if c.CharStart < covered[c.Page] || c.CharEnd <= c.CharStart || c.CharEnd > len(text) {
			t.Fatalf("chunk %d has bounds [%d,%d) after %d of %d", i, c.CharStart, c.CharEnd, covered[c.Page], len(text))
		}
		if got := string(text[c.CharStart:c.CharEnd]); got != c.Text {
			t.Errorf("chunk %d is not the slice it names:\n%s", i, cmp.Diff(got, c.Text))
		}
		if n := utf8.RuneCountInString(c.Text); n > chunk.Max {
			t.Errorf("chunk %d has %d characters", i, n)
		}
		if strings.TrimSpace(c.Text) != c.Text {
			t.Errorf("chunk %d is not trimmed: %q", i, c.Text)
		}
		uncovered(t, kept[c.Page][covered[c.Page]:c.CharStart])
		covered[c.Page] = c.CharEnd
	}
	for number, text := range kept {
		uncovered(t, text[covered[number]:])
	}
}

// uncovered fails when a gap between chunks holds a letter or digit.
func uncovered(t testing.TB, gap []rune) {
	t.Helper()
	for _, r := range gap {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			t.Errorf("text outside every chunk: %.60q", string(gap))
			return
		}
	}
}

func sentences(n int, word string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("The " + word + " of number " + strings.Repeat("x", i%7+1) + " is what this sentence says about it. ")
	}
	return strings.TrimSpace(b.String())
}

func TestShortSectionsOfOneParentStayTogetherAndCarryIt(t *testing.T) {
	t.Parallel()
	got := cut(t, parts(t, "# Guide\n\n## Install\n\nRun make.\n\n## Start\n\nRun it.\n\n# Other\n\n"+sentences(10, "matter"))...)
	var sections []string
	for _, c := range got {
		sections = append(sections, c.Section)
	}
	if diff := cmp.Diff([]string{"Guide", "Other"}, sections); diff != "" {
		t.Errorf("sections (-want +got):\n%s", diff)
	}
}

func TestHeadingStaysWithItsText(t *testing.T) {
	t.Parallel()
	got := cut(t, parts(t, "# Guide\n\n## Long\n\n"+sentences(60, "thing")+"\n\n## Next\n\n"+sentences(12, "end"))...)
	for i, c := range got {
		last := c.Text[strings.LastIndexByte(c.Text, '\n')+1:]
		if strings.HasPrefix(last, "#") {
			t.Errorf("chunk %d ends with a heading: %q", i, last)
		}
	}
	if got[0].Section != "Guide › Long" || got[len(got)-1].Section != "Guide › Next" {
		t.Errorf("sections are %q and %q", got[0].Section, got[len(got)-1].Section)
	}
}

func TestLongTextIsCutAtSentencesNearTheTarget(t *testing.T) {
	t.Parallel()
	got := cut(t, page.Page{Number: 3, Text: sentences(200, "point")})
	for i, c := range got {
		if n := utf8.RuneCountInString(c.Text); n < 800 {
			t.Errorf("chunk %d has only %d characters", i, n)
		}
		if !strings.HasSuffix(c.Text, ".") {
			t.Errorf("chunk %d does not end with a sentence: …%q", i, c.Text[len(c.Text)-20:])
		}
		if c.Page != 3 {
			t.Errorf("chunk %d is on page %d", i, c.Page)
		}
	}
}

func TestCutsKeepWhatBelongsTogether(t *testing.T) {
	t.Parallel()
	longItem := "- " + strings.TrimSpace(strings.Repeat("an item that holds several sentences. It goes on. ", 8))
	row := "| " + strings.Repeat("a cell with words. ", 6) + "| second |"
	block := "```go\n" + strings.Repeat("fmt.Println(\"one line. And more\")\n\n", 20) + "```"
	for _, tc := range []struct {
		name, text string
		// whole are pieces of which every occurrence must lie in one chunk.
		whole string
		count int
	}{
		{"list items", strings.TrimSpace(strings.Repeat(longItem+"\n", 9)), longItem, 9},
		{"table rows", "| h1 | h2 |\n|---|---|\n" + strings.TrimSpace(strings.Repeat(row+"\n", 30)), row, 30},
		{"a code block that fits", sentences(10, "code") + "\n\n" + block + "\n\n" + sentences(10, "code"), block, 1},
		{"sentences without spaces", strings.Repeat("検索は文書を見つける。", 400), "検索は文書を見つける。", 400},
		{"quoted sentences without spaces", strings.Repeat("彼は「はい。」と言った。", 300), "彼は「はい。」と言った。", 300},
		{"Thai phrases", strings.TrimSpace(strings.Repeat("ประเทศไทยมีประชากรมาก ", 200)), "ประเทศไทยมีประชากรมาก", 200},
		{"abbreviations", strings.TrimSpace(strings.Repeat("See Dr. Who and Fig. Two, e.g. There by J. Smith. ", 60)), "See Dr. Who and Fig. Two, e.g. There by J. Smith.", 60},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			found := 0
			chunks := cut(t, page.Page{Text: tc.text})
			for _, c := range chunks {
				found += strings.Count(c.Text, tc.whole)
			}
			if found != tc.count {
				t.Errorf("%d of %d are whole in %d chunks", found, tc.count, len(chunks))
			}
		})
	}
}

func TestTextWithoutAnyPlaceToCutIsCut(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"letters":   strings.Repeat("x", 5000),
		"combining": "a" + strings.Repeat("\u0301", 5000) + "b",
		"joiners":   strings.Repeat("👩\u200d", 3000),
		"thai":      strings.Repeat("เก", 4000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := cut(t, page.Page{Text: text}); len(got) == 0 {
				t.Error("no chunks")
			}
		})
	}
}

func TestTableHeadStaysWithARow(t *testing.T) {
	t.Parallel()
	text := sentences(12, "lead") + "\n\n| name | value |\n|---|---|\n" + strings.Repeat("| a row of the table | with a value |\n", 40)
	for i, c := range cut(t, parts(t, text)...) {
		if strings.HasSuffix(c.Text, "| name | value |") || strings.HasSuffix(c.Text, "|---|---|") {
			t.Errorf("chunk %d ends with the head of the table", i)
		}
	}
}

func TestRuleLinesAloneAreNoChunk(t *testing.T) {
	t.Parallel()
	if got := cut(t, page.Page{Text: "***\n\n---\n\n|---|"}); len(got) != 0 {
		t.Errorf("got %d chunks: %+v", len(got), got)
	}
}

func TestSectionsGoOnAcrossPagesAndParts(t *testing.T) {
	t.Parallel()
	got := cut(t,
		page.Page{Number: 1, Text: "One\n\n" + sentences(10, "a"), Headings: []page.Heading{{Level: 1, Text: "One"}}},
		page.Page{Number: 2, Text: sentences(10, "b")})
	if got[len(got)-1].Section != "One" {
		t.Errorf("section on page 2 is %q", got[len(got)-1].Section)
	}
	long := "# Top\n\n" + strings.Repeat("```\ncode\n\n# no heading\n```\n\nA paragraph of some words.\n\n", 8000)
	pages := parts(t, long)
	if len(pages) < 2 {
		t.Fatalf("%d parts", len(pages))
	}
	for _, c := range cut(t, pages...) {
		if c.Section != "Top" {
			t.Fatalf("section is %q", c.Section)
		}
	}
}

func TestErrorOfTheConsumerStops(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	calls := 0
	err := chunk.New(ref).Add(page.Page{Text: sentences(100, "x")}, func(corpus.Chunk) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("err = %v after %d calls", err, calls)
	}
}

func FuzzChunk(f *testing.F) {
	f.Add("# A\n\ntext\n\n## B\n\n- item\n- item\n\n| a | b |\n|---|---|\n```\ncode\n", 7)
	f.Add(strings.Repeat("word ", 500), 0)
	f.Add(strings.Repeat("日本語。", 500), 3)
	f.Add("a\n=\n\n"+strings.Repeat("\u0301", 1300)+"\tb\t", 1)
	f.Fuzz(func(t *testing.T, text string, number int) {
		pages := parts(t, text)
		first := cut(t, pages...)
		if diff := cmp.Diff(first, cut(t, pages...)); diff != "" {
			t.Errorf("not the same twice:\n%s", diff)
		}
		// Headings at any place, as a PDF reader might give them.
		runes := utf8.RuneCountInString(text)
		p := page.Page{Number: max(number, 0) % 9, Text: strings.ToValidUTF8(text, ""), Headings: []page.Heading{
			{Start: runes / 3, Level: 2, Text: "x"}, {Start: runes / 2, Level: 1}, {Start: runes + 5, Level: 3, Text: "y"},
		}, Running: []page.Range{{Start: 0, End: runes / 5}, {Start: runes / 4, End: runes + 3}}}
		cut(t, p)
	})
}

func TestARowWhoseFirstCellIsEmptyIsARow(t *testing.T) {
	t.Parallel()
	row := "\t" + strings.Repeat("a cell with words. ", 6) + "\tsecond"
	text := "lead\n\n" + strings.TrimSpace(strings.Repeat(row+"\n", 30))
	found := 0
	for _, c := range cut(t, page.Page{Number: 1, Text: text}) {
		found += strings.Count(c.Text, strings.TrimSpace(row))
	}
	if found != 30 {
		t.Errorf("%d of 30 rows are whole", found)
	}
}
