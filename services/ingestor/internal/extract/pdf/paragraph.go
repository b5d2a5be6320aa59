package pdf

import (
	"math"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// paragraph is a run of lines that belong together.
type paragraph struct {
	text  string
	lines int
	size  float64 // mean of its characters
	bold  bool
	plain bool // running text: neither table rows nor a list
	chars int
}

// join says how a line follows the one before it.
type join uint8

const (
	joinSpace   join = iota // the same sentence goes on
	joinBreak               // the same block, on a line of its own
	joinNothing             // another paragraph
)

// paragraphs groups the lines of a region.
func paragraphs(ls []line) []paragraph {
	if len(ls) == 0 {
		return nil
	}
	pitch := usualPitch(ls)
	var out []paragraph
	start, item := 0, 0 // the first lines of the paragraph and of its present item
	joins := make([]join, len(ls))
	for i := 1; i <= len(ls); i++ {
		if i < len(ls) {
			joins[i] = follow(ls, item, i, pitch)
			if joins[i] == joinBreak {
				item = i
			}
			if joins[i] != joinNothing {
				continue
			}
		}
		out = append(out, newParagraph(ls[start:i], joins[start:i]))
		start, item = i, i
	}
	return out
}

// usualPitch is the median distance of lines in units of their size.
func usualPitch(ls []line) float64 {
	var all []float64
	for i := 1; i < len(ls); i++ {
		if p := (ls[i-1].y - ls[i].y) / ls[i].size; p > 0.7 && p < 3.2 && sameSize(ls[i-1].size, ls[i].size) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return 1.25
	}
	sort.Float64s(all)
	median := all[(len(all)-1)/2]
	if len(all) < 4 {
		median = min(median, 1.5)
	}
	return median
}

func sameSize(a, b float64) bool { return math.Abs(a-b) <= 0.08*max(a, b) }

// follow decides how line i continues the paragraph or list item that began
// at line start.
func follow(ls []line, start, i int, pitch float64) join {
	a, b := &ls[i-1], &ls[i]
	distance := (a.y - b.y) / max(a.size, b.size)
	usual := max(pitch, 1)
	if distance > usual*1.22+0.05 && distance > 1.15 {
		if distance < usual*3 && a.cells > 1 && b.cells > 1 {
			return joinBreak
		}
		return joinNothing
	}
	if hyphenated(a.text, b.text) && sameSize(a.size, b.size) && b.cells <= 1 {
		return joinSpace
	}
	if a.cells > 1 && b.cells > 1 && sameSize(a.size, b.size) {
		return joinBreak
	}
	if !sameSize(a.size, b.size) || a.bold != b.bold {
		return joinNothing
	}
	if a.cells > 1 || b.cells > 1 || a.leader || b.leader {
		if a.cells > 1 == (b.cells > 1) || a.leader || b.leader {
			return joinBreak
		}
		return joinNothing
	}
	if b.marker {
		return joinBreak
	}
	if j, decided := indentation(ls, start, i); decided {
		return j
	}
	return brokenEarly(ls, i)
}

// indentation recognises paragraphs and list items by where lines start.
func indentation(ls []line, start, i int) (join, bool) {
	a, b := &ls[i-1], &ls[i]
	em := max(a.size, b.size)
	shift := b.x0 - a.x0
	if centredOn(a, b) && math.Abs(shift) > 0.3*em {
		return joinSpace, true
	}
	switch {
	case shift > 0.8*em && shift < 6*em:
		if i-1 == start && (a.marker || i+1 < len(ls) && math.Abs(ls[i+1].x0-b.x0) < 0.3*em && ls[i+1].x0 > a.x0) {
			return joinSpace, true // the second line of a hanging item
		}
		if endsSentence(a.text) || i-1 > start {
			return joinNothing, true
		}
	case shift < -0.8*em && i-1 > start && ls[i-2].x0 > ls[start].x0-0.3*em && a.x0 > ls[start].x0+0.5*em:
		return joinNothing, true // back from a hanging item
	case shift < -0.8*em && a.marker:
		return joinNothing, true
	}
	return joinSpace, false
}

// centredOn reports whether two lines of different width share their middle.
func centredOn(a, b *line) bool {
	middle := math.Abs((a.x0 + a.x1 - b.x0 - b.x1) / 2)
	width := math.Abs((a.x1 - a.x0) - (b.x1 - b.x0))
	return middle < 0.25*max(a.size, b.size) && width > max(a.size, b.size)
}

// brokenEarly compares where line i-1 ends with the lines around it: if the
// next word would have fitted, the break is deliberate.
func brokenEarly(ls []line, i int) join {
	a, b := &ls[i-1], &ls[i]
	right := a.x1
	for j := max(0, i-6); j < min(len(ls), i+6); j++ {
		if sameSize(ls[j].size, a.size) {
			right = max(right, ls[j].x1)
		}
	}
	if a.x1+b.first+0.8*a.size > right || hyphenated(a.text, b.text) {
		return joinSpace
	}
	if endsSentence(a.text) {
		return joinNothing
	}
	if a.x1-a.x0 > 0.8*(right-a.x0) {
		return joinSpace // ragged text
	}
	return joinBreak
}

func endsSentence(text string) bool {
	text = strings.TrimRight(text, "\"')]”’»")
	r, _ := utf8.DecodeLastRuneInString(text)
	return strings.ContainsRune(".!?:;。！？", r)
}

func newParagraph(ls []line, joins []join) paragraph {
	p := paragraph{lines: len(ls), plain: true, bold: true}
	var text strings.Builder
	for i := range ls {
		l := &ls[i]
		p.bold = p.bold && l.bold
		p.plain = p.plain && l.cells <= 1 && !l.leader
		chars := utf8.RuneCountInString(l.text)
		p.chars += chars
		p.size += l.mean * float64(chars)
		switch {
		case i == 0:
		case joins[i] == joinBreak:
			p.plain = p.plain && !l.marker
			text.WriteString(ls[i-1].text + "\n")
		default:
			kept, between := seam(ls[i-1].text, l.text)
			text.WriteString(kept + between)
		}
	}
	text.WriteString(ls[len(ls)-1].text)
	p.size /= float64(max(p.chars, 1))
	p.text = strings.ReplaceAll(text.String(), "\u00AD", "")
	return p
}

// seam returns what is kept of line a before line b, and what goes between:
// the halves of a hyphenated word are put together; other lines get a space,
// unless their script has none.
func seam(a, b string) (kept, between string) {
	if hyphenated(a, b) {
		_, size := utf8.DecodeLastRuneInString(a)
		return a[:len(a)-size], ""
	}
	last, _ := utf8.DecodeLastRuneInString(a)
	first, _ := utf8.DecodeRuneInString(b)
	if isIdeographic(last) && isIdeographic(first) {
		return a, ""
	}
	if (last == '-' || last == '‐' || last == '—' || last == '/') && !strings.HasSuffix(a, " "+string(last)) && unicode.IsLetter(first) {
		return a, "" // a compound keeps its hyphen
	}
	return a, " "
}

// continues reports whether paragraph b, at the top of a region, goes on with
// the sentence that a broke off at the end of the one before.
func continues(a, b *paragraph) bool {
	first, _ := utf8.DecodeRuneInString(b.text)
	return a.plain && b.plain && sameSize(a.size, b.size) && a.bold == b.bold && unicode.IsLower(first) &&
		!endsSentence(a.text) && a.chars > 40 && b.chars > 40
}

// hyphenated reports whether a line ends in a word cut in two.
func hyphenated(a, b string) bool {
	last, size := utf8.DecodeLastRuneInString(a)
	if last == '\u00AD' {
		return true
	}
	if last != '-' && last != '‐' && last != '\u2011' {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(a[:len(a)-size])
	first, _ := utf8.DecodeRuneInString(b)
	return unicode.IsLower(before) && unicode.IsLower(first)
}
