package chunk

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the names of a table's columns, in code points: of one, beyond
// which it is prose, and of all, beyond which they are cut off.
const (
	maxColumn  = 60
	maxColumns = 200
)

// columnsAbove returns the names of the columns for text that begins inside a
// table, after the row that names them; "" for any other.
func (d *draft) columnsAbove(g group, s span) string {
	units := d.units[g.first:g.last]
	i := sort.Search(len(units), func(i int) bool { return units[i].end > s.start })
	if i == len(units) || units[i].below == nil {
		return ""
	}
	return columnNames(*units[i].below)
}

// columnNames reads the first row of a table as the names of its columns. A
// row that holds a value is data: the table names no columns.
func columnNames(row string) string {
	cells := rowCells(row)
	named := 0
	for _, cell := range cells {
		if value(cell) || utf8.RuneCountInString(cell) > maxColumn {
			return ""
		}
		if strings.IndexFunc(cell, unicode.IsLetter) >= 0 {
			named++
		}
	}
	if named == 0 || len(cells) < 2 {
		return ""
	}
	names := strings.TrimSpace(strings.Join(cells, " | "))
	if runes := []rune(names); len(runes) > maxColumns {
		names = string(runes[:maxColumns-1]) + "…"
	}
	return names
}

// rowCells splits a row at its bars or tabs.
func rowCells(row string) []string {
	body := strings.TrimSpace(row)
	sep := "\t"
	if strings.HasPrefix(body, "|") {
		sep = "|"
		body = strings.TrimSuffix(strings.ReplaceAll(body[1:], `\|`, "/"), "|")
	}
	cells := strings.Split(body, sep)
	for i, cell := range cells {
		cells[i] = strings.Join(strings.Fields(cell), " ")
	}
	return cells
}

// value reports a cell that begins with a number; a year names a column.
func value(cell string) bool {
	digits := strings.TrimLeft(cell, "+-−–±~≈<>≤≥(€$£¥ ")
	rest := strings.TrimLeftFunc(digits, unicode.IsDigit)
	number := digits[:len(digits)-len(rest)]
	if number == "" {
		return false
	}
	year := len(number) == 4 && number >= "1900" && number < "2200"
	return !year || strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, ",")
}
