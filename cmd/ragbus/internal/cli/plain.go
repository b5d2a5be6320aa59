package cli

import (
	"strings"
	"unicode"
)

// titleWidth is how much of a title a table shows, in characters.
const titleWidth = 60

// plain makes a text of others fit for a terminal: what could move its cursor,
// colour it or turn the direction of what follows becomes U+FFFD. Line breaks
// and tabs stay; a carriage return, which would write over the line, goes.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r == '\r':
			return -1
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// line is [plain] on one line, for names and cells: a line break in a name
// would be taken for the next one, a tab for the next column.
func line(s string) string { return plain(strings.Join(strings.Fields(s), " ")) }

// shorten is [line] with at most n characters.
func shorten(s string, n int) string {
	runes := []rune(line(s))
	if len(runes) <= n {
		return string(runes)
	}
	return strings.TrimSpace(string(runes[:n])) + "…"
}
