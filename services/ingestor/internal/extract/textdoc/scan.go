package textdoc

import (
	"bytes"
	"strings"
)

// scanner finds headings line by line: ATX ("## x") and underlined ones in
// Markdown, outside fences, indented code, comments and front matter; in
// plain text only underlined ones, because there a "#" is a comment.
type scanner struct {
	markdown bool

	lines     int
	fence     byte
	fenceLen  int
	front     bool
	frontLine int
	// run counts the lines of the paragraph that is open before this line.
	run   int
	blank bool
	title string
}

// lineKind is what a line turned out to be.
type lineKind int

const (
	lineText lineKind = iota
	lineBlank
	// lineHeading is a heading by itself.
	lineHeading
	// lineUnderline makes the line before it a heading.
	lineUnderline
	// lineOpaque is a line of code or front matter.
	lineOpaque
	// lineFrontEnd is the last line of front matter.
	lineFrontEnd
)

// maxFrontMatter bounds the lines of front matter; beyond it the opening rule was just a rule.
const maxFrontMatter = 200

// line classifies the next line, given without its line feed, and the line
// before it. For a heading it returns level and text.
func (s *scanner) line(line, before []byte) (kind lineKind, level int, text string) {
	s.lines++
	if s.inFrontMatter(line) {
		s.blank, s.run = false, 0
		if !s.front {
			return lineFrontEnd, 0, ""
		}
		return lineOpaque, 0, ""
	}
	trimmed := bytes.TrimRight(line, " \t")
	if s.markdown && s.fenced(trimmed) {
		s.blank, s.run = false, 0
		return lineOpaque, 0, ""
	}
	if len(trimmed) == 0 {
		s.blank, s.run = true, 0
		return lineBlank, 0, ""
	}
	defer func() { s.blank = false }()
	if s.markdown {
		if level, text = atx(trimmed); level > 0 {
			s.run = 0
			s.note(level, text)
			return lineHeading, level, text
		}
	}
	if s.run == 1 {
		if level = s.underline(trimmed, before); level > 0 {
			s.run = 0
			text = plainText(string(before))
			s.note(level, text)
			return lineUnderline, level, text
		}
	}
	if s.run > 0 || titleable(trimmed) {
		s.run++
	}
	return lineText, 0, ""
}

// open reports whether the next line continues something that must not be cut.
func (s *scanner) open() bool { return s.fence != 0 || s.front }

func (s *scanner) note(level int, text string) {
	if s.title == "" && level == 1 {
		s.title = text
	}
}

// inFrontMatter follows YAML ("---") front matter, whose title is the document's.
func (s *scanner) inFrontMatter(line []byte) bool {
	if s.lines == 1 {
		s.front = s.markdown && string(bytes.TrimRight(line, " \t")) == "---"
		return s.front
	}
	if !s.front {
		return false
	}
	s.frontLine++
	trimmed := string(bytes.TrimRight(line, " \t"))
	if trimmed == "---" || trimmed == "..." {
		s.front = false
		return true
	}
	if s.frontLine > maxFrontMatter || s.frontLine == 1 && trimmed == "" || !yamlLine(trimmed) {
		s.front, s.title = false, ""
		return false
	}
	if value, ok := strings.CutPrefix(trimmed, "title:"); ok && s.title == "" {
		s.title = strings.TrimSpace(strings.Trim(strings.TrimSpace(value), `"'`))
	}
	return true
}

// yamlLine reports a line that front matter may hold: a key, something below
// one, or a comment. Text that happens to follow a rule has others.
func yamlLine(line string) bool {
	if line == "" || strings.IndexByte(" \t-#]}", line[0]) >= 0 {
		return true
	}
	key, value, ok := strings.Cut(line, ":")
	return ok && (value == "" || value[0] == ' ') && !strings.ContainsAny(strings.Trim(key, `"'`), " \t")
}

// fenced follows code fences and reports whether line belongs to one.
func (s *scanner) fenced(line []byte) bool {
	body := bytes.TrimLeft(line, " ")
	if s.fence == 0 && len(line)-len(body) > 3 || len(body) < 3 || body[0] != '`' && body[0] != '~' {
		return s.fence != 0
	}
	n := 0
	for n < len(body) && body[n] == body[0] {
		n++
	}
	switch {
	case s.fence == 0:
		if n < 3 || body[0] == '`' && bytes.IndexByte(body[n:], '`') >= 0 {
			return false
		}
		s.fence, s.fenceLen = body[0], n
	case body[0] == s.fence && n >= s.fenceLen && n == len(body):
		s.fence = 0
	}
	return true
}

// atx returns level and text of an ATX heading; level 0 when line is none.
func atx(line []byte) (int, string) {
	body := bytes.TrimLeft(line, " ")
	if len(line)-len(body) > 3 {
		return 0, ""
	}
	level := 0
	for level < len(body) && body[level] == '#' {
		level++
	}
	if level == 0 || level > 6 || level < len(body) && body[level] != ' ' && body[level] != '\t' {
		return 0, ""
	}
	rest := bytes.TrimSpace(body[level:])
	if closed := bytes.TrimRight(rest, "#"); len(closed) == 0 || closed[len(closed)-1] == ' ' {
		rest = bytes.TrimSpace(closed)
	}
	text := plainText(string(rest))
	if text == "" {
		return 0, ""
	}
	return level, text
}

// underline returns the level that line gives to the one-line paragraph before it, or 0.
func (s *scanner) underline(line, before []byte) int {
	if len(before) == 0 || line[0] != '=' && line[0] != '-' || len(bytes.Trim(line, string(line[:1]))) > 0 {
		return 0
	}
	if !s.markdown && (len(line) < 3 || len(line) < len(bytes.TrimSpace(before))/2) || len(before) > 300 {
		return 0
	}
	if line[0] == '=' {
		return 1
	}
	if len(line) < 2 {
		return 0
	}
	return 2
}

// titleable reports whether a line may begin the paragraph that an underline makes a heading.
func titleable(line []byte) bool {
	switch line[0] {
	case ' ', '\t', '|', '>', '=', '+', '*', '-':
		return false
	}
	return true
}

// plainText takes the inline markup of Markdown off a heading: emphasis, code, links, images, anchors.
func plainText(s string) string {
	s = strings.TrimSpace(withoutNotes(s))
	if i := strings.LastIndex(s, "{#"); i > 0 && strings.HasSuffix(s, "}") {
		s = strings.TrimSpace(s[:i])
	}
	if !strings.ContainsAny(s, "*`[]_\\<") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && strings.IndexByte("*`[]_\\#<!", s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		case c == '`' || c == '*' || c == '[' || c == '!' && i+1 < len(s) && s[i+1] == '[':
		case c == '_' && (i == 0 || s[i-1] == ' ' || i+1 == len(s) || s[i+1] == ' '):
		case c == ']':
			if i+1 < len(s) && s[i+1] == '(' {
				if end := strings.IndexByte(s[i:], ')'); end > 0 {
					i += end
				}
			}
		case c == '<':
			end := strings.IndexByte(s[i:], '>')
			if end < 2 || s[i+1] != '/' && s[i+1] < 'A' {
				b.WriteByte(c)
				continue
			}
			i += end
		default:
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}
