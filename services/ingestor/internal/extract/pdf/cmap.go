package pdf

import (
	"sort"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxCMapEntries bounds what one CMap may define.
const maxCMapEntries = 1 << 17

// cmap is a character map: how a string falls into codes, and for each code
// its text (ToUnicode) or its glyph number (an encoding CMap).
type cmap struct {
	spaces   []codespace
	chars    map[uint32]string
	ranges   []textRange // sorted by lo
	cids     []cidRange  // sorted by lo
	vertical bool
}

// codespace is a range of codes of n bytes; each byte has its own bounds.
type codespace struct {
	n      int
	lo, hi uint32
}

// textRange maps lo..hi to texts whose last rune counts up from that of text.
type textRange struct {
	lo, hi uint32
	prefix string
	last   rune
}

type cidRange struct {
	lo, hi, cid uint32
}

// parseCMap reads a CMap program. It never fails: what it cannot use is left out.
func parseCMap(data []byte) *cmap {
	m := &cmap{chars: map[uint32]string{}}
	l := &lexer{data: data}
	var previous object
	for entries := 0; entries < maxCMapEntries; {
		o := l.next()
		if o.kind == kindEOF {
			break
		}
		if o.kind != kindWord {
			if previous.kind == kindName && string(previous.b) == "WMode" && o.kind == kindNumber {
				m.vertical = o.integer() == 1
			}
			previous = o
			continue
		}
		switch string(o.b) {
		case "begincodespacerange":
			entries += m.readCodespaces(l)
		case "beginbfchar":
			entries += m.readChars(l)
		case "beginbfrange":
			entries += m.readRanges(l)
		case "begincidchar":
			entries += m.readCIDs(l, 1)
		case "begincidrange":
			entries += m.readCIDs(l, 2)
		}
		previous = object{}
		l.reset()
	}
	sort.SliceStable(m.ranges, func(i, j int) bool { return m.ranges[i].lo < m.ranges[j].lo })
	sort.SliceStable(m.cids, func(i, j int) bool { return m.cids[i].lo < m.cids[j].lo })
	return m
}

// section calls use with each group of n operands up to the word that ends the section.
func section(l *lexer, n int, use func(operands []object)) int {
	count := 0
	group := make([]object, 0, n)
	for count < maxCMapEntries {
		o := l.next()
		if o.kind == kindEOF || o.kind == kindWord && strings.HasPrefix(string(o.b), "end") {
			break
		}
		group = append(group, o)
		if len(group) == n {
			use(group)
			count++
			group = group[:0]
			l.reset()
		}
	}
	return count
}

func (m *cmap) readCodespaces(l *lexer) int {
	return section(l, 2, func(g []object) {
		if n := len(g[0].b); n >= 1 && n <= 4 && n == len(g[1].b) && len(m.spaces) < 256 {
			m.spaces = append(m.spaces, codespace{n: n, lo: bigEndian(g[0].b), hi: bigEndian(g[1].b)})
		}
	})
}

func (m *cmap) readChars(l *lexer) int {
	return section(l, 2, func(g []object) {
		if g[0].kind != kindString || len(g[0].b) > 4 {
			return
		}
		switch g[1].kind {
		case kindString:
			m.chars[bigEndian(g[0].b)] = utf16Text(g[1].b)
		case kindName: // a few producers name the glyph; the encoding knows it too
		default:
		}
	})
}

func (m *cmap) readRanges(l *lexer) int {
	return section(l, 3, func(g []object) {
		lo, hi := bigEndian(g[0].b), bigEndian(g[1].b)
		if g[0].kind != kindString || g[1].kind != kindString || len(g[0].b) > 4 || hi < lo {
			return
		}
		switch g[2].kind {
		case kindArray:
			for i, o := range g[2].arr {
				if o.kind == kindString && uint32(i) <= hi-lo {
					m.chars[lo+uint32(i)] = utf16Text(o.b)
				}
			}
		case kindString:
			text := utf16Text(g[2].b)
			last, size := utf8.DecodeLastRuneInString(text)
			if size > 0 {
				m.ranges = append(m.ranges, textRange{lo: lo, hi: hi, prefix: text[:len(text)-size], last: last})
			}
		default:
		}
	})
}

func (m *cmap) readCIDs(l *lexer, codes int) int {
	return section(l, codes+1, func(g []object) {
		lo, hi, cid := bigEndian(g[0].b), bigEndian(g[codes-1].b), g[codes]
		if g[0].kind == kindString && hi >= lo && cid.kind == kindNumber && cid.num >= 0 && cid.num <= 0xFFFF {
			m.cids = append(m.cids, cidRange{lo: lo, hi: hi, cid: uint32(cid.num)})
		}
	})
}

// text returns the text of a code, or "" when the map has none.
func (m *cmap) text(code uint32) string {
	if s, ok := m.chars[code]; ok {
		return s
	}
	i := sort.Search(len(m.ranges), func(i int) bool { return m.ranges[i].lo > code })
	for back := 0; i > 0 && back < 8; back++ { // overlapping ranges are rare and few
		i--
		r := m.ranges[i]
		if code > r.hi {
			continue
		}
		last := r.last + rune(code-r.lo)
		if last < r.last || !utf8.ValidRune(last) {
			return ""
		}
		return r.prefix + string(last)
	}
	return ""
}

// cid returns the glyph number of a code.
func (m *cmap) cid(code uint32) (uint32, bool) {
	i := sort.Search(len(m.cids), func(i int) bool { return m.cids[i].lo > code })
	for back := 0; i > 0 && back < 8; back++ {
		i--
		if r := m.cids[i]; code <= r.hi {
			return r.cid + code - r.lo, true
		}
	}
	return 0, false
}

// split takes the first code off a string that is not empty.
func (m *cmap) split(s []byte) (code uint32, n int) {
	for n = 1; n <= 4 && n <= len(s); n++ {
		code = code<<8 | uint32(s[n-1])
		for _, space := range m.spaces {
			if space.n == n && space.contains(code) {
				return code, n
			}
		}
	}
	if len(m.spaces) == 0 && len(s) >= 2 {
		return bigEndian(s[:2]), 2
	}
	n = min(m.shortest(), len(s))
	return bigEndian(s[:n]), n
}

func (m *cmap) shortest() int {
	n := 2
	for i, space := range m.spaces {
		if i == 0 || space.n < n {
			n = space.n
		}
	}
	return n
}

func (c codespace) contains(code uint32) bool {
	for shift := 0; shift < 8*c.n; shift += 8 {
		b := code >> shift & 0xFF
		if b < c.lo>>shift&0xFF || b > c.hi>>shift&0xFF {
			return false
		}
	}
	return true
}

func bigEndian(b []byte) uint32 {
	var v uint32
	for _, c := range b {
		v = v<<8 | uint32(c)
	}
	return v
}

// utf16Text decodes big-endian UTF-16; one byte alone is that character.
func utf16Text(b []byte) string {
	if len(b) == 1 {
		return string(rune(b[0]))
	}
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		units = append(units, uint16(b[i])<<8|uint16(b[i+1]))
	}
	return string(utf16.Decode(units))
}
