package docx

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
)

// maxStyles bounds the styles and the numbering levels that are kept.
const maxStyles = 10_000

// style is what a paragraph style says about structure.
type style struct {
	name, basedOn string
	// outline is 1 to 9 for a heading, 0 for none given.
	outline int
	number  numbering
}

// numbering is a paragraph's place in a list; num "" is none given, "0" is switched off.
type numbering struct {
	num   string
	level int
}

// styles of a document by id.
type styles map[string]style

// heading returns the heading level that a style gives, or 0.
func (s styles) heading(id string) int {
	for range 16 {
		st, ok := s[id]
		if !ok {
			return headingName(id)
		}
		if st.outline > 0 {
			return st.outline
		}
		if level := headingName(st.name); level > 0 {
			return level
		}
		id = st.basedOn
	}
	return 0
}

// title reports whether the style is that of the document's title.
func (s styles) title(id string) bool {
	return strings.EqualFold(id, "title") || strings.EqualFold(s[id].name, "title")
}

// number returns the list that a style puts its paragraphs in.
func (s styles) number(id string) numbering {
	for range 16 {
		st, ok := s[id]
		if !ok || st.number.num != "" {
			return st.number
		}
		id = st.basedOn
	}
	return numbering{}
}

// headingName returns the level of a style called "heading 2", "Heading2" and the like.
func headingName(name string) int {
	name = strings.ToLower(strings.ReplaceAll(name, " ", ""))
	digits, ok := strings.CutPrefix(name, "heading")
	if !ok {
		return 0
	}
	level, err := strconv.Atoi(digits)
	if err != nil || level < 1 || level > 9 {
		return 0
	}
	return level
}

// readStyles reads word/styles.xml; a document may have none.
func readStyles(a *archive) (styles, error) {
	out := styles{}
	err := a.walk("word/styles.xml", func(r *reader) error {
		var id string
		var cur style
		return elements(r, func(e xml.StartElement) {
			switch e.Name.Local {
			case "style":
				id, cur = attr(e, "styleId"), style{}
			case "name":
				cur.name = attr(e, "val")
			case "basedOn":
				cur.basedOn = attr(e, "val")
			case "outlineLvl":
				cur.outline = outlineLevel(e)
			case "numId":
				cur.number.num = attr(e, "val")
			case "ilvl":
				cur.number.level = listLevel(e)
			}
		}, func(local string) {
			if local == "style" && id != "" && len(out) < maxStyles {
				out[id] = cur
			}
		})
	})
	if errors.Is(err, errMissing) {
		return out, nil
	}
	return out, err
}

// elements calls start for every element of the part and end for every end.
func elements(r *reader, start func(xml.StartElement), end func(local string)) error {
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
			start(t)
		case xml.EndElement:
			end(t.Name.Local)
		}
	}
}

// outlineLevel returns 1 to 9, or 0 for body text.
func outlineLevel(e xml.StartElement) int {
	n, err := strconv.Atoi(attr(e, "val"))
	if err != nil || n < 0 || n > 8 {
		return 0
	}
	return n + 1
}

func listLevel(e xml.StartElement) int {
	n, err := strconv.Atoi(attr(e, "val"))
	if err != nil {
		return 0
	}
	return min(max(n, 0), 8)
}

// lists knows the markers of list items and counts them.
type lists struct {
	// abstract maps a list to its definition, formats a definition's levels to their number format.
	abstract map[string]string
	formats  map[string][9]string
	counts   map[string]*[9]int
}

// readLists reads word/numbering.xml; a document may have none.
func readLists(a *archive) (*lists, error) {
	l := &lists{abstract: map[string]string{}, formats: map[string][9]string{}, counts: map[string]*[9]int{}}
	err := a.walk("word/numbering.xml", func(r *reader) error {
		var def, num string
		var level int
		return elements(r, func(e xml.StartElement) {
			switch e.Name.Local {
			case "abstractNum":
				def = attr(e, "abstractNumId")
			case "lvl":
				level = min(max(atoi(attr(e, "ilvl")), 0), 8)
			case "numFmt":
				if f := l.formats[def]; num == "" && len(l.formats) < maxStyles {
					f[level] = attr(e, "val")
					l.formats[def] = f
				}
			case "num":
				num = attr(e, "numId")
			case "abstractNumId":
				if num != "" && len(l.abstract) < maxStyles {
					l.abstract[num] = attr(e, "val")
				}
			}
		}, func(local string) {
			if local == "num" {
				num = ""
			}
		})
	})
	if errors.Is(err, errMissing) {
		return l, nil
	}
	return l, err
}

// marker returns the marker of the next item of a list: "-" for bullets, else its number.
func (l *lists) marker(n numbering) string {
	def := l.abstract[n.num]
	format := l.formats[def][n.level]
	if format == "bullet" || format == "none" || format == "" {
		return "-"
	}
	c := l.counts[def]
	if c == nil {
		c = new([9]int)
		l.counts[def] = c
	}
	c[n.level]++
	for i := n.level + 1; i < len(c); i++ {
		c[i] = 0
	}
	return strconv.Itoa(c[n.level]) + "."
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
