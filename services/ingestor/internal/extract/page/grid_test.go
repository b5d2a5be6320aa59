package page_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

func TestGridKeepsColumns(t *testing.T) {
	t.Parallel()
	cell := func(text string) page.Cell { return page.Cell{Text: text} }
	long := strings.Repeat("long ", 60)
	for _, tc := range []struct {
		name string
		rows [][]page.Cell
		want [][]string
	}{
		{"no spans", [][]page.Cell{{cell("a"), cell("")}, {cell("b")}}, [][]string{{"a", ""}, {"b"}}},
		{
			"a cell over two rows",
			[][]page.Cell{{{Text: "Pool", Rows: 2}, cell("day"), cell("4")}, {cell("night"), cell("6")}, {cell("Gym"), cell("all"), cell("9")}},
			[][]string{{"Pool", "day", "4"}, {"Pool", "night", "6"}, {"Gym", "all", "9"}},
		},
		{
			"one in the middle and one at the end",
			[][]page.Cell{{cell("a"), {Text: "m", Rows: 2}, cell("b"), {Text: "e", Rows: 3}}, {cell("c"), cell("d")}, {cell("f")}},
			[][]string{{"a", "m", "b", "e"}, {"c", "m", "d", "e"}, {"f", "", "", "e"}},
		},
		{"a cell over two columns", [][]page.Cell{{{Text: "both", Columns: 2}, cell("x")}}, [][]string{{"both", "", "x"}}},
		{"a cell over all columns", [][]page.Cell{{{Text: "all", Columns: 4}}}, [][]string{{"all"}}},
		{
			"a cell over rows and columns",
			[][]page.Cell{{{Text: "b", Rows: 2, Columns: 2}, cell("x")}, {cell("y")}},
			[][]string{{"b", "", "x"}, {"b", "", "y"}},
		},
		{
			"merged with the cell above",
			[][]page.Cell{{cell("Crane"), cell("300")}, {{Merged: true}, cell("340")}, {{Merged: true, Text: "own"}, cell("1")}},
			[][]string{{"Crane", "300"}, {"Crane", "340"}, {"own", "1"}},
		},
		{"nothing of its own", [][]page.Cell{{{Text: "a", Rows: 3}, cell("b")}, {cell("")}, {cell("c")}}, [][]string{{"a", "b"}, nil, {"a", "c"}}},
		{"prose is not repeated", [][]page.Cell{{{Text: long, Rows: 2}, cell("b")}, {cell("c")}}, [][]string{{long, "b"}, {"", "c"}}},
		{"merged with nothing", [][]page.Cell{{{Merged: true}, cell("b")}}, [][]string{{"", "b"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var g page.Grid
			var got [][]string
			for _, row := range tc.rows {
				got = append(got, g.Row(row))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestGridIsBounded(t *testing.T) {
	t.Parallel()
	var g page.Grid
	wide := []page.Cell{{Text: "a", Columns: 1 << 30, Rows: 1 << 30}, {Text: "b"}}
	for range 3 {
		if n := len(g.Row(wide)); n > 1000 {
			t.Fatalf("a row of %d cells", n)
		}
	}
	g.EndGroup()
	if diff := cmp.Diff([]string{"c"}, g.Row([]page.Cell{{Text: "c"}})); diff != "" {
		t.Errorf("a group does not end (-want +got):\n%s", diff)
	}
}
