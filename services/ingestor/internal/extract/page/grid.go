package page

import "strings"

const (
	// maxColumns bounds the cells of a row.
	maxColumns = 1000
	// maxRepeated is the longest text, in bytes, that is repeated in the rows
	// a cell spans. A longer one is prose that would drown them.
	maxRepeated = 240
)

// Cell is a cell of a table as its document has it.
type Cell struct {
	Text string
	// Columns and Rows say how far it spans; less than 2 is no further.
	Columns, Rows int
	// Merged says that it goes on with the cell above, whose text it takes
	// when it has none of its own.
	Merged bool
}

// Grid lays the cells of a table out, row by row, so that every value stands
// in its own column. A row is read alone, so a cell that spans rows says its
// text in each of them; one that spans columns says it in the first. The zero
// value is an empty table. Not safe for concurrent use.
type Grid struct {
	columns []column
}

// column is what the rows so far leave in a column.
type column struct {
	text string
	// rows is in how many further rows the cell above takes the place.
	rows int
}

// Row returns the row that cells make together with the cells that reach down
// into it, or nil when none of its own has text.
func (g *Grid) Row(cells []Cell) []string {
	var row []string
	filled, padding := false, 0
	for _, c := range cells {
		row = g.reachDown(row)
		if len(row) >= maxColumns {
			break
		}
		filled = filled || strings.TrimSpace(c.Text) != ""
		if c.Merged && c.Text == "" && len(row) < len(g.columns) {
			c.Text = g.columns[len(row)].text
		}
		row = g.place(row, c.Text, c.Rows)
		padding = 0
		for padding < c.Columns-1 && len(row) < maxColumns {
			row = g.place(row, "", c.Rows)
			padding++
		}
	}
	own := len(row)
	for i := own; i < len(g.columns); i++ {
		if g.columns[i].rows > 0 {
			row = append(row, make([]string, i-len(row))...)
			row = g.reachDown(row)
		}
	}
	if !filled {
		return nil
	}
	if len(row) == own {
		row = row[:own-padding]
	}
	return row
}

// EndGroup ends a group of rows, which no cell reaches beyond.
func (g *Grid) EndGroup() { g.columns = g.columns[:0] }

// reachDown fills the columns that cells of earlier rows still take.
func (g *Grid) reachDown(row []string) []string {
	for len(row) < len(g.columns) && g.columns[len(row)].rows > 0 {
		g.columns[len(row)].rows--
		row = append(row, g.columns[len(row)].text)
	}
	return row
}

// place appends a cell's text to the row and remembers it for the rows below.
func (g *Grid) place(row []string, text string, rows int) []string {
	if len(row) == len(g.columns) {
		g.columns = append(g.columns, column{})
	}
	c := column{rows: max(rows-1, 0)}
	if len(text) <= maxRepeated {
		c.text = text
	}
	g.columns[len(row)] = c
	return append(row, text)
}
