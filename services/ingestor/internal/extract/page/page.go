// Package page holds what every document format is turned into: parts of
// text with their headings. Bytes of any supported format enter elsewhere;
// what leaves is UTF-8 free of invisible characters, in one system of
// offsets that chunks and citations point into.
package page

import (
	"strings"
	"unicode/utf8"
)

// MaxPart is the largest text, in bytes, that one Page carries. A longer page
// or document arrives in several parts.
const MaxPart = 1 << 20

// Page is a page of a document, or a part of it. The parts of one page (of
// the whole document, for formats without pages) arrive in order, with the
// same Number; joined without a separator they are the page's text.
type Page struct {
	// Number counts from 1; it is 0 for formats without pages.
	Number int `json:"number"`
	// Offset is how many code points of the page's text came in earlier
	// parts. A position in Text plus Offset is a position in the page.
	Offset int `json:"offset"`
	// Text is valid UTF-8 of at most MaxPart bytes.
	Text string `json:"text"`
	// Headings are in the order of their Start.
	Headings []Heading `json:"headings,omitempty"`
	// Running are the stretches of Text that other pages repeat, such as
	// running heads and page numbers, ascending and apart. They are text of
	// the page, and nothing to search for.
	Running []Range `json:"running,omitempty"`
}

// Range is a stretch of a part's Text, in code points.
type Range struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Heading is a heading inside a Page.
type Heading struct {
	// Start counts code points from the beginning of the part's Text.
	Start int `json:"start"`
	// Level is 1 for the highest.
	Level int `json:"level"`
	// Text is the heading in one line, without markup.
	Text string `json:"text"`
}

// Split cuts p into parts of at most MaxPart bytes, at the last line break,
// else the last space, else between two code points.
func Split(p Page) []Page {
	var parts []Page
	for len(p.Text) > MaxPart {
		cut := cutPoint(p.Text[:MaxPart])
		head := Page{Number: p.Number, Offset: p.Offset, Text: p.Text[:cut]}
		runes := utf8.RuneCountInString(head.Text)
		n := 0
		for n < len(p.Headings) && p.Headings[n].Start < runes {
			n++
		}
		head.Headings = p.Headings[:n:n]
		rest := make([]Heading, 0, len(p.Headings)-n)
		for _, h := range p.Headings[n:] {
			h.Start -= runes
			rest = append(rest, h)
		}
		var later []Range
		head.Running, later = splitRanges(p.Running, runes)
		p = Page{Number: p.Number, Offset: p.Offset + runes, Text: p.Text[cut:], Headings: rest, Running: later}
		parts = append(parts, head)
	}
	return append(parts, p)
}

// splitRanges parts ranges at a position; the later ones count from there.
func splitRanges(ranges []Range, at int) (before, after []Range) {
	for _, r := range ranges {
		if r.Start < at {
			before = append(before, Range{r.Start, min(r.End, at)})
		}
		if r.End > at {
			after = append(after, Range{max(r.Start-at, 0), r.End - at})
		}
	}
	return before, after
}

// cutPoint returns where to cut s, in its second half, always more than zero.
func cutPoint(s string) int {
	for _, sep := range []string{"\n", " "} {
		if i := strings.LastIndex(s, sep); i > len(s)/2 {
			return i + 1
		}
	}
	cut := len(s)
	for back := 0; back < utf8.UTFMax && cut > 1; back++ {
		if r, size := utf8.DecodeLastRuneInString(s[:cut]); r != utf8.RuneError || size > 1 {
			break
		}
		cut--
	}
	return cut
}
