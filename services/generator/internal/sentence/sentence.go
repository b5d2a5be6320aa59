// Package sentence cuts a passage into sentences: text goes in, byte spans
// come out, in order, apart, exact, each trimmed and valid UTF-8 boundaries.
// It knows Markdown's blocks and what plain text taken from PDFs looks like.
package sentence

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind says what block a span belongs to.
type Kind uint8

// The kinds of blocks.
const (
	Prose Kind = iota
	// Heading is a heading, a short line that stands above a block and only names it, or the head of a table.
	Heading
	// Item is (a sentence of) a list item, without its bullet.
	Item
	// Row is a table row.
	Row
	// Code is a whole fenced block, never cut.
	Code
	// Line is a short line without an end mark that says something by itself,
	// as those of a fact sheet do: "Checkout: 11:00", "Built in 1987".
	Line
)

// Span is a sentence as the bytes [Start, End) of the text.
type Span struct {
	Start, End int
	Kind       Kind
	// Block counts the paragraphs, items, rows and headings of the text from 0.
	Block int
}

// Of returns the span's text.
func (s Span) Of(text string) string { return text[s.Start:s.End] }

// maxRunes is where text without any end of a sentence is cut at a space.
const maxRunes = 500

// Split returns the sentences of a text. Invalid UTF-8 is text like any other.
func Split(text string) []Span {
	var out []Span
	for _, b := range blocks(text) {
		if b.kind == Prose || b.kind == Item {
			out = b.sentences(out, text)
			continue
		}
		if s, ok := trim(text, Span{Start: b.start, End: b.end, Kind: b.kind, Block: b.number}); ok {
			out = append(out, s)
		}
	}
	return out
}

func trim(text string, s Span) (Span, bool) {
	body := s.Of(text)
	s.Start += len(body) - len(strings.TrimLeftFunc(body, unicode.IsSpace))
	s.End = s.Start + len(strings.TrimSpace(body))
	return s, s.End > s.Start
}

// sentences appends the sentences of a block of prose.
func (b *block) sentences(out []Span, text string) []Span {
	add := func(from, to int) {
		if s, ok := trim(text, Span{Start: from, End: to, Kind: b.kind, Block: b.number}); ok {
			out = append(out, s)
		}
	}
	start, runes, space := b.start, 0, -1
	for i := b.start; i < b.end; {
		r, size := utf8.DecodeRuneInString(text[i:b.end])
		i += size
		runes++
		if unicode.IsSpace(r) {
			space = i
			if thaiBreak(text, start, i, runes) {
				add(start, i)
				start, runes, space = i, 0, -1
			}
			continue
		}
		if end := endAt(text[:b.end], start, i-size, r); end > 0 {
			add(start, end)
			i, start, runes, space = end, end, 0, -1
			continue
		}
		if runes >= maxRunes {
			cut := i
			if space > start {
				cut = space
			}
			add(start, cut)
			start, runes, space = cut, utf8.RuneCountInString(text[cut:i]), -1
		}
	}
	add(start, b.end)
	return out
}

// thaiRunes is how long a piece of Thai (which ends sentences with a space,
// and puts spaces elsewhere too) is at least.
const thaiRunes = 60

func thaiBreak(text string, start, i, runes int) bool {
	if runes < thaiRunes || i < start+4 {
		return false
	}
	r, _ := utf8.DecodeLastRuneInString(strings.TrimRightFunc(text[start:i], unicode.IsSpace))
	return r >= 0xE00 && (unicode.Is(unicode.Thai, r) || unicode.Is(unicode.Lao, r) || unicode.Is(unicode.Khmer, r))
}

// maxMarks bounds, in bytes, how many end marks in a row are looked at.
const maxMarks = 64

// endAt returns where the sentence ends when the rune r at i ends it, else 0.
func endAt(text string, start, i int, r rune) int {
	if r < utf8.RuneSelf && r != '.' && r != '!' && r != '?' {
		return 0
	}
	return markEnd(text, start, i, r)
}

// markEnd is endAt for any rune, the ones that often end a sentence among them.
func markEnd(text string, start, i int, r rune) int {
	size := utf8.RuneLen(r)
	if size < 0 {
		size = 1
	}
	switch r {
	case '。', '！', '？', '｡', '।', '။', '។':
		return closers(text, i+size)
	case '.', '!', '?', '…', '؟', '۔':
	default:
		return 0
	}
	end := closers(text, marks(text, i+size))
	rest := strings.TrimLeftFunc(text[end:], unicode.IsSpace)
	if rest == "" {
		return end
	}
	if len(rest) == len(text)-end { // no space follows: 3.14, example.com, "e.g.x"
		return 0
	}
	if !begins(rest) || r == '.' && abbreviated(text[start:i], rest) {
		return 0
	}
	return end
}

// marks skips the end marks that follow the first one.
func marks(text string, i int) int {
	for last := i + maxMarks; i < len(text) && i < last; {
		r, size := utf8.DecodeRuneInString(text[i:])
		if !strings.ContainsRune(".!?…؟", r) {
			break
		}
		i += size
	}
	return i
}

// closers skips quotes and brackets that close behind an end mark.
func closers(text string, i int) int {
	for i < len(text) {
		r, size := utf8.DecodeRuneInString(text[i:])
		if !strings.ContainsRune(`"'”’»)]」』）】`, r) {
			return i
		}
		// An opening "[1]" behind the end mark is no closer; a closing bracket has its opening before.
		i += size
	}
	return i
}

// begins reports whether a sentence can begin so: no lower-case letter, no comma.
func begins(rest string) bool {
	r, size := utf8.DecodeRuneInString(rest)
	if strings.ContainsRune("\"'“‘«([「『（【¿¡*_`-–—", r) {
		if size >= len(rest) {
			return true
		}
		r, _ = utf8.DecodeRuneInString(strings.TrimLeft(rest[size:], "\"'“‘«([「『（【¿¡*_`-–— "))
	}
	return !unicode.IsLower(r) && r != ',' && r != ';' && r != ':' && r != ')'
}

// abbreviated reports whether the dot behind head belongs to an abbreviation
// or an initial, judged by the word before it and what follows.
func abbreviated(head, rest string) bool {
	i := strings.LastIndexFunc(head, func(r rune) bool {
		return unicode.IsSpace(r) || r == '(' || r == '[' || r == '"' || r == '„' || r == '“'
	})
	word := head
	if i >= 0 {
		_, size := utf8.DecodeRuneInString(head[i:])
		word = head[i+size:]
	}
	if word == "" {
		return false
	}
	if r, size := utf8.DecodeRuneInString(word); size == len(word) && unicode.IsUpper(r) {
		return true // an initial: J. K. Rowling
	}
	lower := strings.ToLower(word)
	switch {
	case len(lower) <= 6 && strings.Contains(lower, "."):
		return dotted(lower, rest)
	case len(word) <= 2 && allDigits(word):
		return true // German and others write ordinals so: "am 3. Oktober", "im 19. Jahrhundert"
	}
	return isAbbreviation(lower)
}

// dotted judges abbreviations with dots inside: "z.B." and "i.e." go on;
// behind "U.S." and "p.m." a capital is likely a new sentence, a digit not.
func dotted(lower, rest string) bool {
	next, _ := utf8.DecodeRuneInString(rest)
	return lower != "a.m" && lower != "p.m" && lower != "u.s" || unicode.IsDigit(next)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// isAbbreviation knows the ones that often stand before a capital or a digit.
func isAbbreviation(lower string) bool {
	switch lower {
	case "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "cf", "ca", "approx", "no", "nos", "vol", "fig", "figs", "eq", "sec", "ch", "pp", "ed", "eds",
		"rev", "hon", "gen", "col", "lt", "sgt", "capt", "inc", "ltd", "co", "corp", "dept", "univ", "est", "al", "e.g", "i.e", "etc", "mt", "ft",
		"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
		"hr", "fr", "nr", "bzw", "vgl", "usw", "evtl", "ggf", "inkl", "sog", "geb", "gest", "jh", "jhd", "bd", "art", "abs", "str", "mio", "mrd", "tel", "u.a", "z.b", "d.h",
		"sra", "srta", "ud", "uds", "núm", "pág", "av", "dra", "ee", "uu",
		"m", "mm", "mme", "mlle", "av.-j.-c", "apr.-j.-c", "chap",
		"г", "гг", "в", "вв", "им", "ул", "т", "др", "пр", "см", "рис", "табл", "стр", "тыс", "млн", "млрд", "руб", "проф", "акад", "св", "п", "ст",
		"sig", "dott", "dhr", "mevr", "bijv", "blz", "resp", "tzn", "np", "ok":
		return true
	}
	return false
}
