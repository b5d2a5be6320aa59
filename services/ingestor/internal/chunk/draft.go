package chunk

import (
	"strings"
	"unicode/utf8"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// unitKind is what a unit of text is.
type unitKind uint8

const (
	paragraph unitKind = iota
	heading
	item
	row
	code
)

// span is a stretch of the page's text in bytes and in code points.
type span struct {
	start, end         int
	runeStart, runeEnd int
}

func (s span) runes() int { return s.runeEnd - s.runeStart }

// unit is a stretch of text that is kept whole where possible.
type unit struct {
	span
	kind unitKind
	// gap reports an empty line before it.
	gap bool
	// head marks the rows that name a table's columns.
	head bool
	// of is the index of a heading in the page's headings.
	of int
	// below is the row that names the columns of a row's table, when that is another.
	below *string
}

// draft is one page on its way to chunks.
type draft struct {
	text  string
	units []unit
	// fence is the code fence that is open at the end of what was read.
	fence string
	// paged reports that the text is laid out in pages: a line that begins
	// with a tab is then a row whose first cell is empty, and no code.
	paged bool
	// table is the row that names the columns of the table that is open at the
	// end of what was read, nil for none.
	table *string
}

// newDraft finds the units of a page whose text begins inside the code fence,
// "" for none, or the table, nil for none.
func newDraft(p page.Page, fence string, table *string) *draft {
	d := &draft{text: p.Text, fence: fence, table: table, paged: p.Number > 0, units: make([]unit, 0, 16+len(p.Text)/256)}
	starts := headingBytes(p)
	running := runningBytes(p)
	gap, next := false, 0
	for at := 0; at < len(p.Text); {
		end := strings.IndexByte(p.Text[at:], '\n')
		if end < 0 {
			end = len(p.Text)
		} else {
			end += at
		}
		for next < len(starts) && starts[next] < at {
			next++
		}
		for len(running) > 0 && running[0].end <= at {
			running = running[1:]
		}
		if len(running) > 0 && running[0].start <= at && end <= running[0].end {
			gap, d.table = true, nil
			at = end + 1
			continue
		}
		line := p.Text[at:end]
		switch isBlank := blank(line); {
		case isBlank && d.fence == "":
			gap, d.table = true, nil
			at = end + 1
			continue
		case !isBlank && next < len(starts) && starts[next] <= end:
			d.fence, d.table = "", nil
			d.units = append(d.units, unit{span: span{start: at, end: end}, kind: heading, of: next, gap: gap})
			next++
		case d.fence != "":
			d.codeLine(at, end, gap)
		default:
			d.line(at, end, gap)
		}
		gap = false
		at = end + 1
	}
	d.countRunes()
	return d
}

// headingBytes returns where the headings of a page begin, in bytes.
func headingBytes(p page.Page) []int {
	starts := make([]int, 0, len(p.Headings))
	at, runes := 0, 0
	for _, h := range p.Headings {
		for runes < h.Start && at < len(p.Text) {
			if p.Text[at] < utf8.RuneSelf {
				at++
			} else {
				_, size := utf8.DecodeRuneInString(p.Text[at:])
				at += size
			}
			runes++
		}
		starts = append(starts, at)
	}
	return starts
}

// runningBytes returns where the lines are that other pages repeat.
func runningBytes(p page.Page) []span {
	ends := make([]page.Heading, 0, 2*len(p.Running))
	for _, r := range p.Running {
		ends = append(ends, page.Heading{Start: r.Start}, page.Heading{Start: r.End})
	}
	at := headingBytes(page.Page{Text: p.Text, Headings: ends})
	out := make([]span, 0, len(p.Running))
	for i := 0; i < len(at); i += 2 {
		out = append(out, span{start: at[i], end: at[i+1]})
	}
	return out
}

// line adds a line outside code: a unit of its own, or more of the one before.
func (d *draft) line(start, end int, gap bool) {
	line := d.text[start:end]
	if d.fence = fenceOf(line); d.fence != "" {
		d.table = nil
		d.units = append(d.units, unit{span: span{start: start, end: end}, kind: code, gap: gap})
		return
	}
	u := unit{span: span{start: start, end: end}, kind: kindOf(line), gap: gap}
	if d.paged && u.kind == paragraph && kindOf(strings.TrimLeft(line, "\t")) == row {
		u.kind = row
	}
	if u.kind != row {
		d.table = nil
	}
	if n := len(d.units); n > 0 && !gap {
		last := &d.units[n-1]
		joins := last.kind == paragraph || last.kind == item || last.kind == heading && underline(line)
		if u.kind == paragraph && joins {
			last.end = end
			return
		}
		u.head = u.kind == row && (last.kind != row || last.head && tableRule(line))
	} else {
		u.head = u.kind == row && d.table == nil
	}
	switch {
	case u.kind != row:
	case !u.head:
		u.below = d.table
	case d.table == nil:
		head := line
		d.table = &head
	}
	d.units = append(d.units, u)
}

// codeLine adds a line inside an open fence to its unit.
func (d *draft) codeLine(start, end int, gap bool) {
	if closes(d.text[start:end], d.fence) {
		d.fence = ""
	}
	if n := len(d.units); n > 0 && d.units[n-1].kind == code {
		d.units[n-1].end = end
		return
	}
	d.units = append(d.units, unit{span: span{start: start, end: end}, kind: code, gap: gap})
}

// countRunes sets the code point positions of all units.
func (d *draft) countRunes() {
	if utf8.RuneCountInString(d.text) == len(d.text) {
		for i := range d.units {
			u := &d.units[i]
			u.runeStart, u.runeEnd = u.start, u.end
		}
		return
	}
	at, runes := 0, 0
	for i := range d.units {
		u := &d.units[i]
		u.runeStart = runes + utf8.RuneCountInString(d.text[at:u.start])
		u.runeEnd = u.runeStart + utf8.RuneCountInString(d.text[u.start:u.end])
		at, runes = u.end, u.runeEnd
	}
}

// kindOf tells a list item and a table row from running text by its first characters.
func kindOf(line string) unitKind {
	body := strings.TrimLeft(line, " \t")
	if body == "" {
		return paragraph
	}
	switch c := body[0]; {
	case c == '|' && len(body) > 1:
		return row
	case strings.IndexByte(line, '\t') > 0 && !strings.HasSuffix(body, "\t") && strings.IndexByte(body, '\t') > 0:
		return row
	case (c == '-' || c == '*' || c == '+') && len(body) > 1 && body[1] == ' ':
		return item
	case c >= '0' && c <= '9' || c == '(':
		return numbered(body)
	case strings.HasPrefix(body, "•"), strings.HasPrefix(body, "◦"), strings.HasPrefix(body, "▪"), strings.HasPrefix(body, "‣"), strings.HasPrefix(body, "– "):
		return item
	}
	return paragraph
}

// numbered recognises "1. ", "12) ", "(3) " and "1.2.3 " is not one: that is a heading or a date.
func numbered(body string) unitKind {
	s := strings.TrimPrefix(body, "(")
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	if digits == 0 || digits > 3 || len(s) < digits+2 || s[digits] != '.' && s[digits] != ')' || s[digits+1] != ' ' {
		return paragraph
	}
	return item
}

func blank(line string) bool {
	for i := range len(line) {
		if c := line[i]; c != ' ' && c != '\t' {
			return c >= utf8.RuneSelf && strings.TrimSpace(line) == ""
		}
	}
	return true
}

// fenceOf returns the fence that a line opens, or "".
func fenceOf(line string) string {
	body := strings.TrimLeft(line, " ")
	if len(body) < 3 || body[0] != '`' && body[0] != '~' || body[1] != body[0] || body[2] != body[0] {
		return ""
	}
	rest := strings.TrimLeft(body, body[:1])
	if body[0] == '`' && strings.IndexByte(rest, '`') >= 0 {
		return ""
	}
	return body[:len(body)-len(rest)]
}

// closes reports whether a line ends the fence.
func closes(line, fence string) bool {
	body := strings.TrimSpace(line)
	return len(body) >= len(fence) && strings.Trim(body, fence[:1]) == ""
}

// underline reports a line that makes the one before it a heading.
func underline(line string) bool {
	line = strings.TrimRight(line, " \t")
	return line != "" && (strings.Trim(line, "=") == "" || strings.Trim(line, "-") == "")
}

// tableRule reports the line between a table's head and body.
func tableRule(line string) bool { return strings.Trim(line, "|-: \t") == "" }
