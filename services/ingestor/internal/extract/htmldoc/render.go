package htmldoc

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

const (
	// maxInline is the length from which a paragraph without an end is cut.
	maxInline = 256 << 10
	// maxCells bounds the cells of a row.
	maxCells = 1000
)

// element is one open element.
type element struct {
	tag string
	// padded is the tag between spaces, as the rules list it.
	padded  string
	dropped bool
	main    bool
}

// list is one open list.
type list struct {
	ordered bool
	next    int
}

// table is one open table. A layout table is one that holds other tables or
// headings: its cells are read like blocks.
type table struct {
	layout bool
	grid   page.Grid
	cells  []page.Cell
	inCell bool
}

// renderer is the second pass: it turns tokens into blocks.
type renderer struct {
	out      *page.Builder
	onlyMain bool
	hasMain  bool
	xhtml    bool

	stack   []element
	dropped int
	mains   int
	article int

	inline  strings.Builder
	pre     int
	heading int
	lists   []list
	marker  string
	tables  []table
	title   strings.Builder
	titled  bool
}

func (w *renderer) token(tt html.TokenType, z *html.Tokenizer) error {
	switch tt {
	case html.TextToken:
		return w.text(string(z.Text()))
	case html.StartTagToken, html.SelfClosingTagToken:
		name, more := z.TagName()
		tag := string(name)
		attrs := readAttributes(z, more)
		if err := w.start(tag, attrs); err != nil {
			return err
		}
		if tt == html.SelfClosingTagToken && w.xhtml && roleOf(tag) != roleVoid {
			return w.end(tag)
		}
	case html.EndTagToken:
		name, _ := z.TagName()
		return w.end(string(name))
	case html.ErrorToken, html.CommentToken, html.DoctypeToken:
	}
	return nil
}

func (w *renderer) close() error {
	for len(w.stack) > 0 {
		if err := w.pop(); err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.out.Close()
}

// text takes a text token: into the title, nowhere, or into the open block.
func (w *renderer) text(s string) error {
	if w.inTitle() {
		if !w.titled && w.title.Len() < 4<<10 {
			w.title.WriteString(s)
		}
		return nil
	}
	if w.dropped > 0 || w.onlyMain && w.mains == 0 {
		return nil
	}
	if w.pre == 0 {
		s = flatten(s)
	}
	w.inline.WriteString(s)
	if w.inline.Len() > maxInline {
		return w.flush()
	}
	return nil
}

// inTitle reports whether the open element is the page's title, not one inside a drawing.
func (w *renderer) inTitle() bool {
	n := len(w.stack)
	if n == 0 || w.stack[n-1].tag != "title" {
		return false
	}
	for _, e := range w.stack[:n-1] {
		if e.tag != "html" && e.tag != "head" {
			return false
		}
	}
	return true
}

// flatten makes every white space a space.
func flatten(s string) string {
	if !strings.ContainsAny(s, "\n\t\r\f") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' || r == '\f' {
			return ' '
		}
		return r
	}, s)
}

func (w *renderer) start(tag string, attrs attributes) error {
	role := roleOf(tag)
	if n := len(w.stack); n > 0 && w.stack[n-1].tag == "head" && !headContent(tag) {
		if err := w.pop(); err != nil {
			return err
		}
	}
	ends, shields := implied(tag)
	if err := w.imply(ends, shields); err != nil {
		return err
	}
	if role != roleInline && role != roleVoid || tag == "hr" {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if role == roleVoid {
		switch alt := attrs.altText(); {
		case tag == "br":
			w.inline.WriteByte('\n')
		case tag == "img" && alt != "":
			return w.text(" " + alt + " ")
		}
		return nil
	}
	if len(w.stack) >= maxDepth {
		return nil
	}
	e := element{tag: tag, padded: " " + tag + " ", main: tag == "main" || attrs.main}
	e.dropped = role == roleDropped || attrs.hidden && tag != "body" && tag != "html" ||
		role == roleFurniture && w.hasMain && (tag != "header" || w.article+w.mains == 0)
	w.stack = append(w.stack, e)
	if e.dropped {
		w.dropped++
	}
	if e.main {
		w.mains++
	}
	if w.dropped > 0 {
		return nil
	}
	return w.open(tag, attrs)
}

// open does what an element that is read begins with.
func (w *renderer) open(tag string, attrs attributes) error {
	switch tag {
	case "article":
		w.article++
	case "pre", "listing", "xmp":
		w.pre++
	case "ul", "ol", "dir":
		first, err := strconv.Atoi(attrs.start)
		if err != nil || first < 0 || first > 1_000_000 {
			first = 1
		}
		w.lists = append(w.lists, list{ordered: tag == "ol", next: first})
	case "li":
		w.marker = "-"
		if n := len(w.lists); n > 0 && w.lists[n-1].ordered {
			w.marker = strconv.Itoa(w.lists[n-1].next) + "."
			w.lists[n-1].next++
		}
	case "table":
		if err := w.layout(); err != nil {
			return err
		}
		w.out.Table()
		w.tables = append(w.tables, table{layout: attrs.presentation})
	case "td", "th":
		if n := len(w.tables); n > 0 && len(w.tables[n-1].cells) < maxCells {
			w.tables[n-1].cells = append(w.tables[n-1].cells, page.Cell{Columns: attrs.columns, Rows: attrs.rows})
			w.tables[n-1].inCell = true
		}
	case "q":
		w.inline.WriteByte('"')
	case "sup", "sub":
		if n := w.inline.Len(); n > 0 && tag == "sup" {
			w.inline.WriteByte('^')
		}
	}
	if level := headingLevel(tag); level > 0 {
		w.heading = level
		if n := len(w.tables); n > 0 && w.tables[n-1].inCell {
			return w.layout()
		}
	}
	return nil
}

// layout makes every open table a layout table, giving out what its row holds.
func (w *renderer) layout() error {
	for i := range w.tables {
		t := &w.tables[i]
		if t.layout {
			continue
		}
		t.layout = true
		for _, c := range t.cells {
			if err := w.out.Paragraph(c.Text); err != nil {
				return err
			}
		}
		t.cells = nil
	}
	return nil
}

// imply pops the nearest run of elements that a start tag ends.
func (w *renderer) imply(ends, shields string) error {
	if ends == "" {
		return nil
	}
	lowest := -1
	for i, e := range slices.Backward(w.stack) {
		if strings.Contains(shields, e.padded) && !strings.Contains(ends, e.padded) {
			break
		}
		if strings.Contains(ends, e.padded) {
			lowest = i
			if strings.Contains(shields, e.padded) {
				break
			}
		}
	}
	for lowest >= 0 && len(w.stack) > lowest {
		if err := w.pop(); err != nil {
			return err
		}
	}
	return nil
}

func (w *renderer) end(tag string) error {
	if tag == "br" {
		w.inline.WriteByte('\n')
		return nil
	}
	shields := shieldedBy(tag)
	for i, e := range slices.Backward(w.stack) {
		if e.tag == tag {
			for len(w.stack) > i {
				if err := w.pop(); err != nil {
					return err
				}
			}
			return nil
		}
		if strings.Contains(shields, e.padded) {
			return nil
		}
	}
	return nil
}

// pop ends the innermost element.
func (w *renderer) pop() error {
	e := w.stack[len(w.stack)-1]
	w.stack = w.stack[:len(w.stack)-1]
	w.titled = w.titled || e.tag == "title" && w.title.Len() > 0
	var err error
	if w.dropped == 0 {
		err = w.shut(e.tag)
	}
	if e.dropped {
		w.dropped--
	}
	if e.main {
		w.mains--
	}
	return err
}

// shut does what an element that was read ends with.
func (w *renderer) shut(tag string) error {
	if role := roleOf(tag); role == roleBlock || role == roleFurniture {
		if err := w.flush(); err != nil {
			return err
		}
	}
	n := len(w.tables)
	switch tag {
	case "article":
		w.article--
	case "pre", "listing", "xmp":
		w.pre--
	case "ul", "ol", "dir":
		w.lists = w.lists[:max(len(w.lists)-1, 0)]
		w.marker = ""
	case "li":
		w.marker = ""
	case "td", "th":
		if n > 0 {
			w.tables[n-1].inCell = false
		}
	case "tr":
		return w.row()
	case "thead", "tbody", "tfoot":
		if n > 0 {
			w.tables[n-1].grid.EndGroup()
		}
	case "table":
		err := w.row()
		w.tables = w.tables[:max(n-1, 0)]
		w.out.Table()
		return err
	case "q":
		w.inline.WriteByte('"')
	}
	if headingLevel(tag) > 0 {
		w.heading = 0
	}
	return nil
}

func (w *renderer) row() error {
	n := len(w.tables)
	if n == 0 || w.tables[n-1].layout {
		return nil
	}
	cells := w.tables[n-1].cells
	w.tables[n-1].cells = nil
	return w.out.Row(w.tables[n-1].grid.Row(cells))
}

// flush ends the open paragraph and writes it as what it is.
func (w *renderer) flush() error {
	text := w.inline.String()
	w.inline.Reset()
	if strings.TrimSpace(text) == "" {
		return nil
	}
	if n := len(w.tables); n > 0 && w.tables[n-1].inCell && !w.tables[n-1].layout && len(w.tables[n-1].cells) > 0 {
		cell := &w.tables[n-1].cells[len(w.tables[n-1].cells)-1].Text
		*cell = strings.TrimSpace(*cell + " " + page.OneLine(text))
		if len(*cell) > maxInline {
			return w.layout()
		}
		return nil
	}
	switch {
	case w.heading > 0:
		return w.out.Heading(w.heading, text)
	case w.pre > 0:
		return w.out.Code(text)
	case w.marker != "":
		marker := w.marker
		w.marker = ""
		return w.out.Item(len(w.lists)-1, marker, text)
	}
	return w.out.Paragraph(text)
}
