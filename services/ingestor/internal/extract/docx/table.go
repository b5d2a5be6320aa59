package docx

import (
	"encoding/xml"
	"strconv"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// rowProperties reads <w:trPr>: columns that a row of the outermost table
// leaves out at its beginning are empty cells.
func (w *writer) rowProperties(r *reader) error {
	return properties(r, "trPrChange", func(e xml.StartElement) {
		if e.Name.Local == "gridBefore" && w.tables == 1 && len(w.cells) == 0 {
			w.cells = append(w.cells, page.Cell{Columns: columnCount(e)})
		}
	})
}

// cellProperties reads <w:tcPr>: how many columns a cell of the outermost
// table spans, and whether it goes on with the cell above.
func (w *writer) cellProperties(r *reader) error {
	return properties(r, "tcPrChange", func(e xml.StartElement) {
		if w.tables != 1 || len(w.cells) == 0 {
			return
		}
		cell := &w.cells[len(w.cells)-1]
		switch e.Name.Local {
		case "gridSpan":
			cell.Columns = columnCount(e)
		case "vMerge":
			cell.Merged = attr(e, "val") != "restart"
		}
	})
}

// properties hands the elements inside the one whose start was just returned
// to each, without what they were before a tracked change.
func properties(r *reader, change string, each func(xml.StartElement)) error {
	for outer := r.depth - 1; r.depth > outer; {
		tok, err := r.next()
		if err != nil {
			return err
		}
		e, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		if e.Name.Local == change {
			if err := r.skip(); err != nil {
				return err
			}
			continue
		}
		each(e)
	}
	return nil
}

// columnCount reads a number of columns; what is none is 1.
func columnCount(e xml.StartElement) int {
	n, err := strconv.Atoi(attr(e, "val"))
	if err != nil || n < 1 {
		return 1
	}
	return min(n, maxCells)
}
