package pdf

import (
	"math"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// line is one line of a region.
type line struct {
	segs   []segment
	x0, x1 float64
	y      float64
	size   float64
	mean   float64 // mean size of its characters
	text   string
	first  float64 // width of its first word
	cells  int     // parts separated by wide gaps
	bold   bool    // all of it
	marker bool    // starts like a list item
	leader bool    // has dot leaders, as in a table of contents
	gaps   []gap   // between its words, where wide enough to be looked at
	splits []gap   // gaps that part cells because a row beside has cells there
}

// gap is an interval between two words of a line.
type gap struct {
	x0, x1 float64
	cell   bool
}

// lines gathers the segments of a region into lines, from top to bottom.
func lines(segs []segment) []line {
	ordered := append([]segment(nil), segs...)
	sort.SliceStable(ordered, func(i, j int) bool { return ordered[i].y > ordered[j].y })
	var out []line
	for _, s := range ordered {
		if i := nearestLine(out, &s); i >= 0 {
			out[i].join(s)
			continue
		}
		out = append(out, line{segs: []segment{s}, x0: s.x0, x1: s.x1, y: s.y, size: s.size})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].y > out[j].y })
	for i := range out {
		out[i].compose()
	}
	alignCells(out)
	fillCells(out)
	kept := out[:0]
	for _, l := range out {
		if l.text != "" {
			kept = append(kept, l)
		}
	}
	return kept
}

// nearestLine finds the line that a segment stands on: the same baseline, or
// one shifted like an exponent or an index.
func nearestLine(out []line, s *segment) int {
	best, distance := -1, math.Inf(1)
	for i := len(out) - 1; i >= max(0, len(out)-6); i-- {
		l := &out[i]
		dy := math.Abs(l.y - s.y)
		reach := 0.15 * max(l.size, s.size)
		if min(l.size, s.size) < 0.85*max(l.size, s.size) {
			reach = 0.5 * max(l.size, s.size)
		} else if l.touches(s) {
			reach = 0.4 * max(l.size, s.size) // a lowered letter inside a word
		}
		if dy > reach || dy >= distance || l.overlaps(s) {
			continue
		}
		best, distance = i, dy
	}
	return best
}

// overlaps reports whether a segment covers what stands on the line already;
// single letters may be tucked into each other, as in TeX's name.
func (l *line) overlaps(s *segment) bool {
	for i := range l.latest() {
		t := &l.latest()[i]
		most := 0.5
		if s.chars == 1 || t.chars == 1 {
			most = 0.8
		}
		if min(t.x1, s.x1)-max(t.x0, s.x0) > most*min(t.x1-t.x0, s.x1-s.x0) {
			return true
		}
	}
	return false
}

// latest are the segments a new one is compared with: all, on any real line.
func (l *line) latest() []segment { return l.segs[max(0, len(l.segs)-200):] }

// touches reports whether a short segment stands right beside one of the line.
func (l *line) touches(s *segment) bool {
	for i := range l.latest() {
		t := &l.latest()[i]
		if s.chars > 2 && t.chars > 2 {
			continue
		}
		near := 0.3 * max(s.size, t.size)
		if math.Abs(t.x1-s.x0) < near || math.Abs(s.x1-t.x0) < near {
			return true
		}
	}
	return false
}

func (l *line) join(s segment) {
	if s.size > l.size*1.05 || s.size > l.size*0.95 && s.x1-s.x0 > l.x1-l.x0 {
		l.y, l.size = s.y, max(s.size, l.size)
	}
	l.segs = append(l.segs, s)
	l.x0, l.x1 = min(l.x0, s.x0), max(l.x1, s.x1)
}

// cellGap is how wide a gap parts cells, in ems.
const cellGap = 1.7

// alignCells gives a row of a table the cells of the row beside it: a gap too
// narrow to say so by itself parts cells where a neighbour's cells are parted.
func alignCells(ls []line) {
	for pass := range 2 {
		for k := 1; k < len(ls); k++ {
			i, beside := k, k-1
			if pass == 1 {
				i, beside = len(ls)-1-k, len(ls)-k
			}
			l, other := &ls[i], &ls[beside]
			if other.cells < 2 || math.Abs(l.y-other.y) > 3*l.size || len(l.text) > 100 {
				continue
			}
			if found := l.cellsOf(other); len(found) > 0 {
				l.splits = append(l.splits, found...)
				l.compose()
			}
		}
	}
}

// cellsOf returns the gaps at which a line parts into cells like another. A
// line that is one cell yet must part like the other everywhere, and do so
// exactly or by gaps that stand out, lest it be a line of text.
func (l *line) cellsOf(other *line) []gap {
	var found []gap
	least, exact := math.Inf(1), 0
	for _, g := range l.gaps {
		least = min(least, g.x1-g.x0)
		overlaps, begins := other.parts(g, l.size)
		if !g.cell && (overlaps || begins) {
			found = append(found, g)
		}
		if begins {
			exact++
		}
	}
	if l.cells > 1 || len(found) == len(l.gaps) || other.cells > 2 && exact == other.cells-1 {
		return found
	}
	for _, g := range found {
		if g.x1-g.x0 < 1.3*least {
			return nil
		}
	}
	if len(found) < other.cells-1 {
		return nil
	}
	return found
}

// parts reports whether the line's cells are parted over a gap, and whether
// one of them begins where the gap ends.
func (l *line) parts(g gap, size float64) (overlaps, begins bool) {
	for _, own := range l.gaps {
		if own.cell {
			overlaps = overlaps || min(own.x1, g.x1)-max(own.x0, g.x0) >= 0.35*size
			begins = begins || math.Abs(own.x1-g.x1) < 0.05*size
		}
	}
	return overlaps, begins
}

func (l *line) splitAt(x float64) bool {
	for _, g := range l.splits {
		if x == g.x0 {
			return true
		}
	}
	return false
}

// compose writes the line's text.
func (l *line) compose() {
	sort.SliceStable(l.segs, func(i, j int) bool { return l.segs[i].x0 < l.segs[j].x0 })
	rtl := false
	chars := 0
	l.mean, l.gaps = 0, nil
	for i := range l.segs {
		s := &l.segs[i]
		rtl = rtl || s.rtl
		chars += s.chars
		l.mean += s.size * float64(s.chars)
	}
	l.mean /= float64(max(chars, 1))
	glyphs := l.segs[0].glyphs
	if len(l.segs) > 1 || rtl {
		glyphs = nil
		for i := range l.segs {
			glyphs = append(glyphs, l.segs[i].glyphs...)
		}
	}
	if rtl {
		l.composeRTL(glyphs)
		return
	}
	var text strings.Builder
	l.cells, l.bold = 1, true
	var last *glyph
	space, word := false, true
	least := leastWordGap(glyphs)
	for i := range glyphs {
		g := &glyphs[i]
		if g.isSpace() {
			space = true
			continue
		}
		if last != nil {
			width := g.x0 - last.x1
			em := max(min(last.em, g.em), 0.7*max(last.em, g.em))
			cell := (width > cellGap*em || l.splitAt(last.x1)) && !isMarker(text.String())
			if cell || space || width > least*em {
				l.gaps = append(l.gaps, gap{last.x1, g.x0, cell})
			}
			switch {
			case cell:
				text.WriteByte('\t')
				l.cells++
				space = true
			case space || width > least*em && !noSpaceBetween(last, g):
				text.WriteByte(' ')
				space = true
			}
			if space && word {
				l.first, word = last.x1-l.x0, false
			}
		}
		text.WriteString(g.text)
		l.bold = l.bold && g.bold
		last, space = g, false
	}
	if word && last != nil {
		l.first = last.x1 - l.x0
	}
	l.finish(text.String())
}

// leastWordGap is the gap that parts words on a line, in ems. Where nearly
// all letters stand apart, the line is letterspaced and words are farther apart.
func leastWordGap(glyphs []glyph) float64 {
	var gaps []float64
	var last *glyph
	for i := range glyphs {
		g := &glyphs[i]
		if g.isSpace() {
			last = nil
			continue
		}
		if last != nil {
			r, _ := utf8.DecodeRuneInString(g.text)
			if !unicode.IsLetter(r) {
				return wordGap
			}
			if gap := (g.x0 - last.x1) / max(g.em, last.em); gap < segmentGap {
				if gap < 0.06 && len(gaps) < 3 {
					return wordGap // the common case
				}
				gaps = append(gaps, gap)
			}
		}
		last = g
	}
	if len(gaps) < 3 {
		return wordGap
	}
	sort.Float64s(gaps)
	if gaps[len(gaps)/5] < 0.08 || gaps[len(gaps)/2] > 0.6 {
		return wordGap
	}
	return max(wordGap, 1.7*gaps[len(gaps)/2])
}

// noSpaceBetween reports that two glyphs of a script without spaces need none.
func noSpaceBetween(a, b *glyph) bool {
	r, _ := utf8.DecodeLastRuneInString(a.text)
	s, _ := utf8.DecodeRuneInString(b.text)
	return (isIdeographic(r) || isIdeographic(s)) && b.x0-a.x1 < segmentGap*max(a.em, b.em)
}

func isIdeographic(r rune) bool {
	return r >= 0x2E80 && (unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) ||
		r >= 0x3000 && r <= 0x303F || r >= 0xFF00 && r <= 0xFFEF)
}

// finish normalises a line's text and notes what kind of line it is.
func (l *line) finish(raw string) {
	l.text = normalise(raw)
	l.text, l.leader = cutLeaders(l.text)
	first, _, _ := strings.Cut(l.text, " ")
	l.marker = len(first) < len(l.text) && isMarker(first) && !isSectionNumber(first)
}

// cutLeaders replaces dot leaders by a tab.
func cutLeaders(text string) (string, bool) {
	if !strings.Contains(text, "....") && !strings.Contains(text, ". . . .") {
		return text, false
	}
	var out strings.Builder
	found := false
	for i := 0; i < len(text); {
		j, dots := i, 0
		for j < len(text) && (text[j] == '.' || text[j] == ' ' || text[j] == '\t') {
			if text[j] == '.' {
				dots++
			}
			j++
		}
		switch {
		case dots >= 4:
			found = true
			if j < len(text) && out.Len() > 0 {
				out.WriteByte('\t')
			}
		case j > i:
			out.WriteString(text[i:j])
		default:
			j = i + 1
			out.WriteByte(text[i])
		}
		i = j
	}
	return out.String(), found
}

// isMarker reports whether a word is what starts a list item: a bullet, a
// dash, or a short number or letter with a stop or bracket.
func isMarker(word string) bool {
	if word == "" || len(word) > 8 {
		return false
	}
	switch word {
	case "•", "◦", "▪", "■", "●", "○", "‣", "⁃", "∙", "·", "–", "—", "-", "*", "►", "➢", "✓", "❖", "□":
		return true
	}
	body := strings.TrimLeft(word, "([")
	bare := strings.TrimRight(body, ".)]:")
	if bare == "" || bare == body {
		return isSectionNumber(word)
	}
	digits, letters := 0, 0
	for _, r := range bare {
		switch {
		case r >= '0' && r <= '9' || r == '.':
			digits++
		case unicode.IsLetter(r):
			letters++
		default:
			return false
		}
	}
	return letters == 0 && digits <= 6 || letters == 1 && digits <= 2 || digits == 0 && strings.Trim(bare, "ivxIVX") == ""
}

// isSectionNumber recognises "3", "3.1" and the like.
func isSectionNumber(word string) bool {
	for _, r := range word {
		if r != '.' && (r < '0' || r > '9') {
			return false
		}
	}
	return word[0] != '.' && len(word) <= 6
}
