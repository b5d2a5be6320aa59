package pdf

import (
	"math"
	"strings"
)

const (
	// rowsAround is how far around a row its table's columns are looked for.
	rowsAround = 12
	// maxColumns is how many columns a table may have; no page has room for more.
	maxColumns = 30
)

// interval is a stretch of a line.
type interval struct{ x0, x1 float64 }

func (a interval) overlaps(b interval) bool { return min(a.x1, b.x1) > max(a.x0, b.x0) }

// fillCells gives the rows of tables tabs for their empty cells, so that every
// value stays in its column. What the columns are, two other rows of the same
// table must agree on; a row that does not fit them stays as it is.
func fillCells(ls []line) {
	for from := 0; from < len(ls); {
		to := from + 1
		for to < len(ls) && sameTable(&ls[to-1], &ls[to]) {
			to++
		}
		if rows := ls[from:to]; len(rows) > 2 {
			texts := make([]string, len(rows))
			for i := range rows {
				texts[i] = filled(rows, i)
			}
			for i := range rows {
				rows[i].text = texts[i]
			}
		}
		from = to
	}
}

func sameTable(a, b *line) bool {
	return a.cells > 1 && b.cells > 1 && sameSize(a.size, b.size) && math.Abs(a.y-b.y) <= 3*a.size
}

// filled returns the text of row i with a tab for each empty cell before its last.
func filled(rows []line, i int) string {
	l := &rows[i]
	texts := strings.Split(l.text, "\t")
	if l.dotted() || len(texts) != l.cells {
		return l.text
	}
	columns := columnsAround(rows, i)
	var out strings.Builder
	column := 0
	for k, cell := range l.intervals() {
		at := columnOf(columns, cell)
		if at < column || k > 0 && at == column {
			return l.text
		}
		out.WriteString(strings.Repeat("\t", at-column))
		out.WriteString(texts[k])
		column = at
	}
	return out.String()
}

// dotted reports dots that lead the eye across the line, which are no cells.
func (l *line) dotted() bool { return l.leader || strings.Contains(l.text, "\t.\t") }

// intervals are where the cells of a line stand.
func (l *line) intervals() []interval {
	cells := []interval{{x0: l.x0}}
	for _, g := range l.gaps {
		if g.cell {
			cells[len(cells)-1].x1 = g.x0
			cells = append(cells, interval{x0: g.x1})
		}
	}
	cells[len(cells)-1].x1 = l.x1
	return cells
}

// columnsAround returns the columns that the nearest two rows with more cells
// than row i agree on, nil when no two do.
func columnsAround(rows []line, i int) []interval {
	var seen [][]interval
	for distance := 1; distance <= rowsAround; distance++ {
		for _, j := range []int{i - distance, i + distance} {
			if j < 0 || j >= len(rows) || rows[j].dotted() || rows[j].cells <= rows[i].cells || rows[j].cells > maxColumns {
				continue
			}
			row := rows[j].intervals()
			for _, other := range seen {
				if columns := agreed(row, other); columns != nil {
					return columns
				}
			}
			seen = append(seen, row)
		}
	}
	return nil
}

// agreed returns the columns of two rows whose cells stand above each other
// one by one, else nil.
func agreed(a, b []interval) []interval {
	if len(a) != len(b) {
		return nil
	}
	columns := make([]interval, len(a))
	for k := range a {
		columns[k] = interval{min(a[k].x0, b[k].x0), max(a[k].x1, b[k].x1)}
		if !a[k].overlaps(b[k]) || k > 0 && columns[k-1].x1 >= columns[k].x0 {
			return nil
		}
	}
	return columns
}

// columnOf returns the one column that a cell stands in, else -1.
func columnOf(columns []interval, cell interval) int {
	found := -1
	for k, c := range columns {
		if !c.overlaps(cell) {
			continue
		}
		if found >= 0 {
			return -1
		}
		found = k
	}
	return found
}
