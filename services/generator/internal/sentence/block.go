package sentence

import "strings"

// block is a run of lines that belong together.
type block struct {
	start, end int
	kind       Kind
	number     int
	lines      int
	// marked: the kind is written in the text, not guessed.
	marked bool
}

// blocks cuts a text by lines. What no kind claims is prose, which goes on
// over line ends until an empty line.
func blocks(text string) []block {
	var (
		out   []block
		open  bool
		rows  bool // the line before is a row
		fence string
	)
	begin := func(b block) {
		b.number = len(out)
		out = append(out, b)
		open = true
	}
	for start := 0; start < len(text); {
		end := start + strings.IndexByte(text[start:], '\n')
		next := end + 1
		if end < start {
			end, next = len(text), len(text)
		}
		line := text[start:end]
		bare := strings.TrimSpace(line)
		indent := start + strings.Index(line, bare)
		kind, skip := classify(bare)
		if rows && kind == Prose && strings.Contains(bare, "\t") {
			kind = Row // the last row of many a table has fewer cells: "Total	7.20"
		}
		rows = kind == Row
		switch {
		case fence != "":
			out[len(out)-1].end = end
			if strings.HasPrefix(bare, fence) {
				fence, open = "", false
			}
		case kind == Code:
			fence = bare[:3]
			begin(block{start: start, end: end, kind: Code, lines: 1})
		case bare == "" || ruler(bare):
			open = false
			tableHead(out, bare)
		case kind != Prose:
			begin(block{start: indent + skip, end: end, kind: kind, lines: 1, marked: true})
			open = kind == Item
		case open && labelled(bare) && out[len(out)-1].labelled(text):
			begin(block{start: indent, end: end, kind: Prose, lines: 1})
		case open:
			last := &out[len(out)-1]
			last.end = end
			last.lines++
		default:
			begin(block{start: indent + skip, end: end, kind: Prose, lines: 1})
		}
		start = next
	}
	lone(text, out)
	return out
}

// classify returns what a trimmed line begins, and how many bytes of it are decoration.
func classify(line string) (kind Kind, skip int) {
	switch {
	case strings.HasPrefix(line, "```"), strings.HasPrefix(line, "~~~"):
		return Code, 0
	case line == "" || ruler(line):
		return Prose, 0
	case line[0] == '#' && strings.HasPrefix(strings.TrimLeft(line, "#"), " "):
		return Heading, len(line) - len(strings.TrimLeft(line, "# "))
	case row(line):
		return Row, 0
	case bullet(line) > 0:
		return Item, bullet(line)
	case strings.HasPrefix(line, "> "):
		return Prose, 2
	}
	return Prose, 0
}

// tableHead makes a heading of the row above a line that only draws a table.
func tableHead(all []block, line string) {
	if n := len(all); n > 0 && all[n-1].kind == Row && strings.Contains(line, "|") {
		all[n-1].kind, all[n-1].marked = Heading, false
	}
}

// ruler reports whether a line only draws: ---, ***, |---|:--|, ====.
func ruler(line string) bool {
	return len(line) >= 3 && strings.Trim(line, "-=*_|:+ \t") == ""
}

func row(line string) bool {
	return line[0] == '|' && strings.Count(line, "|") >= 2 || strings.Count(line, " | ") >= 2 || strings.Count(line, "\t") >= 2
}

// bullet returns the length of a list item's bullet with its space, or 0.
func bullet(line string) int {
	for _, b := range []string{"- ", "* ", "+ ", "• ", "– ", "· ", "◦ ", "▪ ", "‣ "} {
		if strings.HasPrefix(line, b) {
			return len(b)
		}
	}
	digits := 0
	for digits < len(line) && digits < 3 && line[digits] >= '0' && line[digits] <= '9' {
		digits++
	}
	if digits > 0 && digits+1 < len(line) && (line[digits] == '.' || line[digits] == ')') && line[digits+1] == ' ' {
		return digits + 2
	}
	return 0
}
