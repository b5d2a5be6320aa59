package pdf

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalise brings text to NFKC without control and private characters; soft
// hyphens inside a line go, one at its end stays for the joining of lines.
func normalise(s string) string {
	plain := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || s[i] < ' ' && s[i] != '\t' || s[i] == 0x7F {
			plain = false
			break
		}
	}
	if plain {
		return strings.Trim(s, " \t")
	}
	softEnd := strings.HasSuffix(s, "\u00AD")
	s = strings.Map(publicCharacter, s)
	s = norm.NFKC.String(s)
	s = strings.Trim(s, " \t")
	if softEnd {
		s += "\u00AD"
	}
	return s
}

// publicCharacter maps one rune of extracted text; -1 drops it.
func publicCharacter(r rune) rune {
	switch {
	case r == '\t':
		return r
	case r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' || r == '\v' || r == '\f':
		return ' '
	case r == '\u00AD' || r == '\uFEFF' || r == '\u200B' || r == utf8.RuneError:
		return -1
	case r == 0xF0B7 || r == 0xF0A7 || r == 0xF0D8 || r == 0xF076 || r == 0xF0FC:
		return '•' // what word processors use of Symbol and Wingdings
	case r >= 0xF020 && r <= 0xF07E:
		return r - 0xF000
	case unicode.Is(unicode.Co, r), unicode.Is(unicode.Cc, r):
		return -1
	case r == '´' || r == '¨' || r == '¯' || r == '¸' || r == '˘' || r == '˙' || r == '˚' || r == '˛' || r == '˜' || r == '˝':
		return spacingAccent(r)
	}
	return r
}

// spacingAccent keeps an accent that stands alone from being taken apart into
// a blank and a combining mark.
func spacingAccent(r rune) rune {
	switch r {
	case '´':
		return '\''
	case '¨':
		return '"'
	case '˜':
		return '~'
	}
	return -1
}

// textString decodes a string of a dictionary: UTF-16 or UTF-8 with a mark,
// else PDFDocEncoding, which differs from Latin-1 in what matters little.
func textString(b []byte) string {
	switch {
	case len(b) >= 2 && b[0] == 0xFE && b[1] == 0xFF:
		return utf16Text(append([]byte(nil), b[2:]...))
	case len(b) >= 2 && b[0] == 0xFF && b[1] == 0xFE:
		units := make([]uint16, 0, len(b)/2)
		for i := 2; i+1 < len(b); i += 2 {
			units = append(units, uint16(b[i+1])<<8|uint16(b[i]))
		}
		return string(utf16.Decode(units))
	case len(b) >= 3 && b[0] == 0xEF && b[1] == 0xBB && b[2] == 0xBF:
		return strings.ToValidUTF8(string(b[3:]), "")
	}
	var out strings.Builder
	for _, c := range b {
		switch {
		case c >= 0x80 && c <= 0x9E:
			out.WriteRune([]rune("•†‡…—–ƒ⁄‹›−‰„“”‘’‚™ﬁﬂŁŒŠŸŽıłœšž")[c-0x80])
		case c == 0xA0:
			out.WriteRune('€')
		default:
			out.WriteRune(rune(c))
		}
	}
	return out.String()
}

func isRTL(r rune) bool {
	return r >= 0x0590 && r <= 0x08FF || r >= 0xFB1D && r <= 0xFDFF || r >= 0xFE70 && r <= 0xFEFC
}

// composeRTL writes a line that holds letters read from right to left. Its
// glyphs are put in their visual order first, whatever order they were drawn
// in; then runs are turned round as the line's direction asks.
func (l *line) composeRTL(glyphs []glyph) {
	ink := make([]glyph, 0, len(glyphs))
	right, left := 0, 0
	l.bold, l.cells = true, 1
	for i := range glyphs {
		ink = append(ink, glyphs[i])
		if glyphs[i].isSpace() {
			continue
		}
		l.bold = l.bold && glyphs[i].bold
		r, _ := utf8.DecodeRuneInString(glyphs[i].text)
		switch {
		case isRTL(r):
			right++
		case unicode.IsLetter(r):
			left++
		}
	}
	sortVisual(ink)
	var words []visualWord
	open := false
	for i := range ink {
		g := &ink[i]
		if g.isSpace() {
			open = false
			continue
		}
		if open && g.x0-ink[i-1].x1 > wordGap*g.em {
			open = false
		}
		if !open {
			words = append(words, visualWord{})
			open = true
		}
		words[len(words)-1].add(g.text)
	}
	if right >= left {
		slices.Reverse(words)
		turnBack(words, false)
		embed(words)
	} else {
		turnBack(words, true)
	}
	parts := make([]string, len(words))
	for i := range words {
		parts[i] = words[i].logical()
	}
	l.first = l.x1 - l.x0
	if len(words) > 1 {
		l.first /= float64(len(words))
	}
	text := strings.Join(parts, " ")
	if right >= left {
		text = mirrorBrackets(text)
	}
	l.finish(text)
}
