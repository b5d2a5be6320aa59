package docx

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

const (
	// maxParagraph bounds the text of one paragraph or table cell, in bytes.
	maxParagraph = 1 << 20
	// maxCells bounds the cells of a row.
	maxCells = 1000
	// ctxEvery is after how many paragraphs the context is asked.
	ctxEvery = 256
)

// writer turns the elements of a document into blocks.
type writer struct {
	ctx    context.Context //nolint:containedctx // lives for one Read, which hands it in
	out    *page.Builder
	styles styles
	lists  *lists
	notes  map[string]string

	seen  int
	title string
	// cells are those of the open rows of the outermost table.
	tables int
	grid   page.Grid
	cells  []page.Cell
	// pending are the notes referred to since the last place to put them.
	pending []string
}

// document writes the body of the main part.
func (w *writer) document(r *reader) error {
	for {
		tok, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if err := w.start(r, t); err != nil {
				return err
			}
		case xml.EndElement:
			if err := w.end(t.Name.Local); err != nil {
				return err
			}
		}
	}
}

func (w *writer) start(r *reader, e xml.StartElement) error {
	switch e.Name.Local {
	case "p":
		return w.paragraph(r)
	case "del", "moveFrom", "Fallback", "sectPr", "tblPr", "tblGrid", "sdtPr":
		return r.skip()
	case "trPr":
		return w.rowProperties(r)
	case "tcPr":
		return w.cellProperties(r)
	case "tbl":
		w.tables++
		if w.tables == 1 {
			w.out.Table()
			w.grid = page.Grid{}
		}
	case "tc":
		if w.tables == 1 && len(w.cells) < maxCells {
			w.cells = append(w.cells, page.Cell{})
		}
	}
	return nil
}

func (w *writer) end(local string) error {
	switch local {
	case "tr":
		if w.tables == 1 {
			cells := w.cells
			w.cells = w.cells[:0]
			return w.out.Row(w.grid.Row(cells))
		}
	case "tbl":
		w.tables--
		if w.tables == 0 {
			w.out.Table()
			return w.writeNotes()
		}
	}
	return nil
}

// paragraph reads one paragraph and writes it as what it is.
func (w *writer) paragraph(r *reader) error {
	if w.seen++; w.seen%ctxEvery == 0 && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	p := paragraph{reader: r}
	if err := p.read(); err != nil {
		return err
	}
	for _, id := range p.notes {
		if w.notes[id] != "" {
			w.pending = append(w.pending, id)
		}
	}
	if err := w.write(&p); err != nil {
		return err
	}
	for _, inner := range p.inner {
		if err := w.write(inner); err != nil {
			return err
		}
	}
	if w.tables > 0 {
		return nil
	}
	return w.writeNotes()
}

func (w *writer) write(p *paragraph) error {
	text := p.text.String()
	if w.tables > 0 {
		if n := len(w.cells); n > 0 && len(w.cells[n-1].Text) < maxParagraph {
			w.cells[n-1].Text = strings.TrimSpace(w.cells[n-1].Text + " " + page.OneLine(text))
		}
		return nil
	}
	if w.title == "" && w.styles.title(p.style) {
		w.title = page.OneLine(text)
	}
	level := p.outline
	if level == 0 {
		level = w.styles.heading(p.style)
	}
	if level == 0 && w.styles.title(p.style) {
		level = 1
	}
	if level > 0 {
		return w.out.Heading(level, text)
	}
	n := p.number
	if n.num == "" {
		n = w.styles.number(p.style)
		n.level = max(n.level, p.number.level)
	}
	if n.num != "" && n.num != "0" && strings.TrimSpace(text) != "" {
		return w.out.Item(n.level, w.lists.marker(n), text)
	}
	return w.out.Paragraph(text)
}

func (w *writer) writeNotes() error {
	for _, id := range w.pending {
		if err := w.out.Paragraph(w.notes[id]); err != nil {
			return err
		}
	}
	w.pending = w.pending[:0]
	return nil
}

// readNotes returns the texts of footnotes and endnotes by "footnote:id" and "endnote:id".
func readNotes(ctx context.Context, a *archive, maxBytes int64) (map[string]string, error) {
	n := notes{texts: map[string]string{}, maxBytes: maxBytes}
	for _, kind := range []string{"footnote", "endnote"} {
		err := a.walk("word/"+kind+"s.xml", func(r *reader) error { return n.read(ctx, r, kind) })
		if err != nil && !errors.Is(err, errMissing) {
			return nil, err
		}
	}
	return n.texts, nil
}

// notes collects the texts of notes.
type notes struct {
	texts           map[string]string
	total, maxBytes int64
}

// read reads one part of notes; separators between text and notes are none.
func (n *notes) read(ctx context.Context, r *reader, kind string) error {
	id := ""
	for {
		tok, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		e, ok := tok.(xml.StartElement)
		switch {
		case !ok:
		case e.Name.Local == kind:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			id = ""
			if t := attr(e, "type"); t == "" || t == "normal" {
				id = kind + ":" + attr(e, "id")
			}
		case e.Name.Local == "p":
			p := paragraph{reader: r}
			if err := p.read(); err != nil {
				return err
			}
			text := page.OneLine(p.text.String())
			if n.total += int64(len(text)); n.total > n.maxBytes {
				return page.TooMuchText(n.maxBytes)
			}
			if id != "" {
				n.texts[id] = strings.TrimSpace(n.texts[id] + " " + text)
			}
		}
	}
}
