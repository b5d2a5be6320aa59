package chunk_test

import (
	"strings"
	"testing"

	"github.com/ragbus/ragbus/services/ingestor/internal/chunk"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// sections are those of all chunks but the first.
func sections(t *testing.T, pages ...page.Page) map[string]int {
	t.Helper()
	found := map[string]int{}
	for i, c := range cut(t, pages...) {
		if i > 0 {
			found[c.Section]++
		}
	}
	return found
}

func TestTheRestOfATableCarriesTheNamesOfItsColumns(t *testing.T) {
	t.Parallel()
	const bars, tabs = "| a part of it | 14 kg | hall 3 |\n", "a part of it\t14 kg\thall 3\n"
	for _, tc := range []struct {
		name, head, row, want string
		page                  int
	}{
		{"Markdown", "| Part | Weight | Hall |\n|---|---|---|\n", bars, "Part | Weight | Hall", 0},
		{"no rule", "| Part | Weight | Hall |\n", bars, "Part | Weight | Hall", 0},
		{"a bar in a name", "| Part | Weight \\| Mass | Hall |\n", bars, "Part | Weight / Mass | Hall", 0},
		{"tabs", "Part\tWeight\tHall\n", tabs, "Part | Weight | Hall", 3},
		{"an empty first cell", "\tWeight\tHall\n", tabs, "Weight | Hall", 3},
		{"years", "| Segment | 2024 | 2025 |\n|---|---|---|\n", bars, "Segment | 2024 | 2025", 0},
		{"the first row is data", "| Wheel | 12 kg | hall 3 |\n", bars, "", 0},
		{"the first row is prose", "| " + strings.Repeat("word ", 20) + " | Hall |\n", bars, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := sections(t, page.Page{Number: tc.page, Text: "List\n\n" + tc.head + strings.Repeat(tc.row, 80), Headings: []page.Heading{{Level: 1, Text: "List"}}})
			want := "List"
			if tc.want != "" {
				want += chunk.Separator + tc.want
			}
			if got[want] == 0 || len(got) != 1 {
				t.Errorf("sections %v, want %q", got, want)
			}
		})
	}
}

func TestColumnsEndWithTheirTable(t *testing.T) {
	t.Parallel()
	text := "| Part | Hall |\n" + strings.Repeat("| a part of it | hall 3 |\n", 80)
	for name, after := range map[string]string{
		"text":            "\n" + sentences(40, "matter"),
		"code":            "```\n" + strings.Repeat("a line of code\n", 200) + "```\n",
		"a table of data": "\n" + strings.Repeat("| 5 | 6 and a little text |\n", 80),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chunks := cut(t, page.Page{Text: text + after})
			if last := chunks[len(chunks)-1]; last.Section != "" {
				t.Errorf("the last section is %q", last.Section)
			}
		})
	}
}

func TestColumnsGoOnInTheNextPart(t *testing.T) {
	t.Parallel()
	rows := strings.Repeat("| a part of it | hall 3 |\n", 80)
	head := page.Page{Text: "| Part | Hall |\n" + rows}
	for name, tc := range map[string]struct {
		next page.Page
		want string
	}{
		"the table goes on":     {page.Page{Offset: len(head.Text), Text: rows}, "Part | Hall"},
		"an empty line ends it": {page.Page{Offset: len(head.Text), Text: "\n" + rows}, ""},
		"another page ends it":  {page.Page{Number: 2, Text: rows}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := len(cut(t, head))
			got := cut(t, head, tc.next)[first]
			if got.Section != tc.want {
				t.Errorf("section %q, want %q", got.Section, tc.want)
			}
		})
	}
}
