package sentence

import (
	"strings"
	"unicode/utf8"
)

// block is a run of lines that belong together.
type block struct {
	start, end int
	kind       Kind
	number     int
	lines      int
}

// blocks cuts a text by lines. What no kind claims is prose, which goes on
// over line ends until an empty line.
func blocks(text string) []block {
	var (
		out   []block
		open  bool
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
		switch {
		case fence != "":
			out[len(out)-1].end = end
			if strings.HasPrefix(bare, fence) {
				fence, open = "", false
			}
		case strings.HasPrefix(bare, "```") || strings.HasPrefix(bare, "~~~"):
			fence = bare[:3]
			begin(block{start: start, end: end, kind: Code, lines: 1})
		case bare == "" || ruler(bare):
			open = false
		case bare[0] == '#' && strings.HasPrefix(strings.TrimLeft(bare, "#"), " "):
			begin(block{start: start + strings.Index(line, bare) + len(bare) - len(strings.TrimLeft(bare, "# ")), end: end, kind: Heading, lines: 1})
			open = false
		case row(bare):
			begin(block{start: start, end: end, kind: Row, lines: 1})
			open = false
		case bullet(bare) > 0:
			begin(block{start: start + strings.Index(line, bare) + bullet(bare), end: end, kind: Item, lines: 1})
		case open:
			last := &out[len(out)-1]
			last.end = end
			last.lines++
		default:
			skip := 0
			if strings.HasPrefix(bare, "> ") {
				skip = 2
			}
			begin(block{start: start + strings.Index(line, bare) + skip, end: end, kind: Prose, lines: 1})
		}
		start = next
	}
	titles(text, out)
	return out
}

// maxTitle is how long, in runes, a line without end mark is at most to be taken for a heading.
const maxTitle = 80

// titles marks single short lines of prose without an end mark, above another block, as headings.
func titles(text string, all []block) {
	for i := range all {
		b := &all[i]
		if b.kind != Prose || b.lines != 1 || i+1 == len(all) {
			continue
		}
		line := strings.TrimSpace(text[b.start:b.end])
		last, _ := utf8.DecodeLastRuneInString(line)
		if utf8.RuneCountInString(line) <= maxTitle && !strings.ContainsRune(`.!?…。！？:;,"”»)؟।`, last) {
			b.kind = Heading
		}
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
