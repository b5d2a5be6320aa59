package pdf

import (
	"math"
	"unicode/utf8"
)

// glyph is one shown character, turned so that its line runs to the right and
// the next line is below.
type glyph struct {
	text   string
	x0, x1 float64 // where it starts and where the next would
	y      float64 // its baseline, growing upwards
	size   float64 // its height
	em     float64 // the unit of gaps: smaller than size in narrowed type
	angle  int16   // the direction its line really runs in, in degrees
	bold   bool
}

func (g *glyph) isSpace() bool {
	for _, r := range g.text {
		if r != ' ' && r != '\u00A0' && r != '\t' && r != '\n' && r != '\r' && (r < 0x2000 || r > 0x200B) && r != 0x3000 && r != 0x202F {
			return false
		}
	}
	return true
}

// angle turns points back by the direction that text runs in.
type angle struct {
	degrees  int16
	sin, cos float64
}

// set takes the direction of a vector; nearly upright counts as upright.
func (a *angle) set(x, y float64) {
	if y == 0 && x > 0 {
		a.degrees, a.sin, a.cos = 0, 0, 1
		return
	}
	degrees := math.Round(math.Atan2(y, x) * 180 / math.Pi)
	if nearest := math.Round(degrees/90) * 90; math.Abs(degrees-nearest) <= 2 {
		degrees = nearest
	}
	if degrees == -180 {
		degrees = 180
	}
	if int16(degrees) == a.degrees && (a.sin != 0 || a.cos != 0) {
		return
	}
	a.degrees = int16(degrees)
	a.sin, a.cos = math.Sincos(degrees * math.Pi / 180)
}

func (a *angle) turn(x, y float64) (along, across float64) {
	if a.degrees == 0 {
		return x, y
	}
	return x*a.cos + y*a.sin, y*a.cos - x*a.sin
}

// segment is a row of glyphs without a wide gap: a line, a table's cell, or a
// part of one.
type segment struct {
	glyphs []glyph // spaces only between others
	x0, x1 float64
	y      float64
	size   float64
	chars  int
	hash   uint64
	rtl    bool
}

// Gaps, in ems, that part glyphs from each other.
const (
	wordGap    = 0.13
	segmentGap = 0.85
	backward   = 0.5
)

// segments cuts the glyphs of one direction, in the order they were drawn.
func segments(glyphs []glyph) []segment {
	var out []segment
	start, lastInk := -1, -1
	flush := func(end int) {
		if start >= 0 && lastInk >= start {
			out = append(out, newSegment(glyphs[start:min(lastInk+1, end)]))
		}
		start, lastInk = -1, -1
	}
	kept := 0
	for i := range glyphs {
		g := glyphs[i]
		if start >= 0 {
			last := &glyphs[kept-1]
			if lastInk >= 0 {
				last = &glyphs[lastInk]
			}
			if combine(last, &g) {
				continue
			}
			if g.text == last.text && math.Abs(g.x0-last.x0) < 0.12*g.em && math.Abs(g.y-last.y) < 0.12*g.em && !g.isSpace() {
				continue // drawn twice, to look bold
			}
			if parted(last, &g) {
				flush(kept)
			}
		}
		glyphs[kept] = g
		if start < 0 {
			start = kept
		}
		if !g.isSpace() {
			if lastInk < 0 {
				start = kept // leading spaces say nothing
			}
			lastInk = kept
		}
		kept++
	}
	flush(kept)
	return dropRepeated(out)
}

// parted reports whether b does not continue the segment that a ends.
func parted(a, b *glyph) bool {
	em := max(a.em, b.em)
	if math.Abs(a.y-b.y) > 0.1*max(a.size, b.size) {
		return true
	}
	if b.isSpace() {
		return b.x0-a.x1 > 4*em || a.x0-b.x0 > backward*em
	}
	gap := b.x0 - a.x1
	return gap > segmentGap*em || b.x0 < a.x0-0.1*em && gap < -backward*em
}

func newSegment(glyphs []glyph) segment {
	s := segment{glyphs: glyphs, x0: glyphs[0].x0, x1: glyphs[0].x1, y: glyphs[0].y}
	hash := uint64(14695981039346656037)
	var widest float64
	for i := range glyphs {
		g := &glyphs[i]
		s.x0, s.x1 = min(s.x0, g.x0), max(s.x1, g.x1)
		if w := g.x1 - g.x0 + 1e-9; g.size > s.size*1.01 || w > widest && g.size > s.size*0.99 {
			s.size, widest = g.size, w
		}
		for j := range len(g.text) {
			hash = (hash ^ uint64(g.text[j])) * 1099511628211
		}
		if !g.isSpace() {
			s.chars++
		}
		r, _ := utf8.DecodeRuneInString(g.text)
		s.rtl = s.rtl || isRTL(r)
	}
	s.hash = hash
	return s
}

// dropRepeated drops segments drawn again at nearly the same place.
func dropRepeated(in []segment) []segment {
	seen := make(map[uint64][]int, len(in))
	out := in[:0]
	for _, s := range in {
		repeated := false
		for _, i := range seen[s.hash] {
			t := &out[i]
			if len(t.glyphs) == len(s.glyphs) && math.Abs(t.x0-s.x0) < 0.2*s.size && math.Abs(t.y-s.y) < 0.2*s.size {
				repeated = true
				break
			}
		}
		if repeated {
			continue
		}
		if near := seen[s.hash]; len(near) < 8 {
			seen[s.hash] = append(near, len(out))
		}
		out = append(out, s)
	}
	return out
}

// combine sets an accent drawn over a letter, or a letter drawn under an
// accent, as TeX does, into one glyph: a. It reports whether it did.
func combine(a, b *glyph) bool {
	mark, base := combining(b.text), a
	if mark == 0 {
		mark, base = combining(a.text), b
	}
	if mark == 0 || combining(a.text) != 0 && combining(b.text) != 0 {
		return false
	}
	letter, n := utf8.DecodeRuneInString(base.text)
	if n != len(base.text) || !accentable(letter) {
		return false
	}
	if math.Abs(a.y-b.y) > 0.45*max(a.size, b.size) {
		return false
	}
	overlap := min(a.x1, b.x1) - max(a.x0, b.x0)
	if overlap < 0.5*min(a.x1-a.x0, b.x1-b.x0) || overlap <= 0 {
		return false
	}
	if letter == 'ı' {
		letter = 'i'
	}
	if letter == 'ȷ' {
		letter = 'j'
	}
	whole := *base
	whole.text = string([]rune{letter, mark})
	*a = whole
	return true
}

// combining returns the combining form of an accent that takes a place of its own.
func combining(text string) rune {
	switch text {
	case "`", "ˋ":
		return 0x300
	case "´", "ˊ":
		return 0x301
	case "^", "ˆ":
		return 0x302
	case "~", "˜":
		return 0x303
	case "¯", "ˉ":
		return 0x304
	case "˘":
		return 0x306
	case "˙":
		return 0x307
	case "¨":
		return 0x308
	case "˚":
		return 0x30A
	case "˝":
		return 0x30B
	case "ˇ":
		return 0x30C
	case "¸":
		return 0x327
	case "˛":
		return 0x328
	}
	return 0
}

func accentable(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == 'ı' || r == 'ȷ' || r == 'æ' || r == 'ø'
}
