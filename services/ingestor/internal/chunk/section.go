package chunk

import (
	"strings"
	"unicode/utf8"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// section is a run of units under one heading.
type section struct {
	first, last int
	path        []open
	// titled reports that it begins with its heading, body that there is more than that.
	titled, body bool
}

// group is a run of sections that are cut together: one, or several short ones.
type group struct {
	first, last int
	sections    []section
}

// sections splits the units of a page at its headings and puts short
// neighbours together. It moves the path of open headings along.
func (c *Chunker) sections(d *draft, p page.Page) []group {
	var groups []group
	for first := 0; first < len(d.units); {
		last := first + 1
		for last < len(d.units) && d.units[last].kind != heading {
			last++
		}
		s := section{first: first, last: last, titled: d.units[first].kind == heading}
		if s.titled {
			c.enter(p.Headings[d.units[first].of])
		}
		s.body = !s.titled || last > first+1
		s.path = c.path
		if n := len(groups); n > 0 && joins(d, groups[n-1], s) {
			groups[n-1].last = last
			groups[n-1].sections = append(groups[n-1].sections, s)
		} else {
			groups = append(groups, group{first: first, last: last, sections: []section{s}})
		}
		first = last
	}
	return groups
}

// enter opens a heading and closes those it ends. The path is copied, because
// sections hold on to the old one.
func (c *Chunker) enter(h page.Heading) {
	n := len(c.path)
	for n > 0 && c.path[n-1].level >= h.Level {
		n--
	}
	text := strings.Join(strings.Fields(h.Text), " ")
	if utf8.RuneCountInString(text) > maxHeading {
		text = string([]rune(text)[:maxHeading-1]) + "…"
	}
	path := append(make([]open, 0, n+1), c.path[:n]...)
	if text != "" && n < maxPath {
		path = append(path, open{level: h.Level, text: text})
	}
	c.path = path
}

// joins reports whether section s goes with the group before it. A heading
// without text goes with what is below it, always. Else a section goes with
// its sibling, or its parent, when one of them is tiny or both are small. Two
// headings of the first level are two subjects: only small ones go together.
func joins(d *draft, g group, s section) bool {
	head := g.sections[0]
	empty := true
	for _, part := range g.sections {
		empty = empty && !part.body
	}
	if empty && hasPrefix(s.path, g.sections[len(g.sections)-1].path) {
		return true
	}
	parent := head.path
	if head.titled && len(parent) > 0 {
		parent = parent[:len(parent)-1]
	}
	if !hasPrefix(s.path, parent) {
		return false
	}
	have := d.units[g.last-1].runeEnd - d.units[g.first].runeStart
	more := d.units[s.last-1].runeEnd - d.units[s.first].runeStart
	both := d.units[s.last-1].runeEnd - d.units[g.first].runeStart
	if both > Max {
		return false
	}
	if len(parent) == 0 && s.titled && len(s.path) > 0 && s.path[len(s.path)-1].level == 1 {
		return have < small && more < small
	}
	return have < tiny || more < tiny || have < small && more < small
}

func hasPrefix(path, prefix []open) bool { return common(path, prefix) == len(prefix) }

// common returns how many headings two paths share.
func common(a, b []open) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// sectionOf returns the path that all text of s shares, headings without text
// not counted, and the names of the columns if s begins inside a table.
func (d *draft) sectionOf(g group, s span) string {
	var path, bare []open
	seen := false
	for _, part := range g.sections {
		if d.units[part.first].start >= s.end || d.units[part.last-1].end <= s.start {
			continue
		}
		bare = part.path
		switch {
		case !part.body:
		case seen:
			path = path[:common(path, part.path)]
		default:
			path, seen = part.path, true
		}
	}
	if !seen {
		path = bare
	}
	texts := make([]string, len(path), len(path)+1)
	for i, o := range path {
		texts[i] = o.text
	}
	if names := d.columnsAbove(g, s); names != "" {
		texts = append(texts, names)
	}
	return strings.Join(texts, Separator)
}
