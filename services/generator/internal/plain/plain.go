// Package plain makes text from documents fit to be shown or put into a
// prompt: text goes in, text without what only hides or decorates comes out.
package plain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible returns the text without characters that a reader does not see but
// a model reads, or that reorder what is read: zero-width and bidirectional
// controls, tag characters, variation selectors beyond emoji, and other
// control characters than tab and line feed. Joiners stay between letters of
// scripts that need them. Most texts have none and come back as they are.
func Visible(text string) string {
	if harmless(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	last := rune(0)
	for _, r := range text {
		joiner := r == '\u200d' || r == '\u200c'
		if !joiner && suspicious(r) || joiner && !joins(last) {
			continue
		}
		if r != utf8.RuneError {
			b.WriteRune(r)
		}
		last = r
	}
	return b.String()
}

// harmless reports whether there is nothing to take out. Every question
// passes here with all its sources, so ASCII goes fast.
func harmless(text string) bool {
	for i := 0; i < len(text); {
		if i+8 <= len(text) && printable(eight(text, i)) {
			i += 8
			continue
		}
		c := text[i]
		if c >= 0x20 && c < 0x7f || c == '\n' || c == '\t' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if suspicious(r) || r == utf8.RuneError && size == 1 {
			return false
		}
		i += size
	}
	return true
}

// ASCII reports whether a text has nothing beyond ASCII.
func ASCII(text string) bool {
	i := 0
	for ; i+8 <= len(text); i += 8 {
		if eight(text, i)&(0x80*each) != 0 {
			return false
		}
	}
	for ; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// each times a byte is that byte eight times.
const each = 0x0101010101010101

// eight returns the eight bytes of a text from i on. The compiler makes one load of it.
func eight(text string, i int) uint64 {
	s := text[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// printable reports whether all of eight bytes are between 0x20 and 0x7e.
func printable(x uint64) bool {
	del := x ^ 0x7f*each
	return (x|(x-0x20*each)|(del-each)&^del)&(0x80*each) == 0
}

// joins reports whether joiners have a meaning behind the letter: Arabic, Indic scripts, emoji.
func joins(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Devanagari, unicode.Bengali, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Gujarati, unicode.So, unicode.Sk)
}

func suspicious(r rune) bool {
	switch {
	case r < 0x20:
		return r != '\n' && r != '\t'
	case r < 0x7f:
		return false
	case r < 0xa0, r == 0xad, r == 0x34f, r == 0x61c, r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r == 0x3164, r == 0xfeff, r == 0xffa0:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r >= 0x180b && r <= 0x180e:
		return true
	case r >= 0xfff0 && r <= 0xfffb:
		return true
	}
	return r >= 0xe0000 && r <= 0xe0fff || r >= 0x1d173 && r <= 0x1d17a
}

// Line returns a piece of a document as one line to be read: Markdown's
// links, emphasis, code marks and images are taken off, table cells are
// parted by dashes, a dash stands for an empty one between tabs, reference numbers like "[12]", which would read as
// citations, are dropped, and white space is one space.
func Line(text string) string {
	text = Visible(text)
	if strings.ContainsAny(text, "[]") {
		text = brackets(text)
	}
	if strings.ContainsAny(text, "*_`|~") {
		text = marks(text)
	}
	for strings.Contains(text, "\t\t") {
		text = strings.ReplaceAll(text, "\t\t", "\t–\t")
	}
	if !tidy(text) {
		text = strings.Join(strings.Fields(text), " ")
	}
	return text
}

// tidy reports whether the text's white space is single spaces inside already.
func tidy(text string) bool {
	space := true
	for _, r := range text {
		if r == ' ' && space || r != ' ' && unicode.IsSpace(r) {
			return false
		}
		space = r == ' '
	}
	return !space || text == ""
}

// brackets resolves [text](target), ![alt](target), [12] and [note].
func brackets(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] != '[' {
			b.WriteByte(text[i])
			i++
			continue
		}
		end := strings.IndexByte(text[i:], ']')
		if end < 0 || end > 500 {
			b.WriteByte('(')
			i++
			continue
		}
		inner, next := text[i+1:i+end], i+end+1
		image := i > 0 && text[i-1] == '!'
		link := false
		if next < len(text) && text[next] == '(' {
			if closing := strings.IndexByte(text[next:], ')'); closing > 0 && closing < 2000 && !strings.ContainsAny(text[next:next+closing], "\n") {
				link = true
				next += closing + 1
			}
		}
		switch {
		case image && link:
			kept := strings.TrimSuffix(b.String(), "!")
			b.Reset()
			b.WriteString(kept)
		case link:
			b.WriteString(strings.NewReplacer("[", "", "]", "").Replace(inner))
		case !reference(inner):
			b.WriteString("(" + strings.ReplaceAll(inner, "[", "(") + ")")
		}
		i = next
	}
	return b.String()
}

// reference reports whether what stands in brackets is a reference number: "12", "1, 3", "a", "citation needed".
func reference(inner string) bool {
	if inner == "citation needed" || len(inner) == 1 {
		return true
	}
	for _, r := range inner {
		if !unicode.IsDigit(r) && !strings.ContainsRune(" ,;-–^", r) {
			return false
		}
	}
	return true
}

// marks takes off emphasis and code marks that stand at the edge of words, and table bars.
func marks(text string) string {
	var b strings.Builder
	text = strings.Trim(text, " \t|")
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '`':
			continue
		case '|':
			b.WriteString("–")
			continue
		case '*', '_', '~':
			end := i + 1
			for end < len(text) && text[end] == c {
				end++
			}
			before := i == 0 || edge(text[i-1])
			after := end == len(text) || edge(text[end])
			if before == after && (c != '*' || end == i+1) {
				b.WriteString(text[i:end])
			}
			i = end - 1
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// edge reports whether a byte stands at the edge of a word.
func edge(c byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || strings.IndexByte(".,;:!?()[]\"'*_~|-", c) >= 0
}
