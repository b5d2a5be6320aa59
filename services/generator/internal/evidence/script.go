package evidence

import (
	"unicode"
	"unicode/utf8"
)

// sharesScript reports whether the letters of two texts are mostly of one script, as [scriptOf] numbers them.
func sharesScript(a, b int) bool { return a == b || a == 0 || b == 0 }

// scriptOf returns a number for the script that most of the first letters of a text have; 0: no letters.
func scriptOf(text string) int {
	tables := []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Arabic, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Devanagari, unicode.Hebrew}
	var counts [12]int
	seen := 0
	for _, r := range text {
		if seen > 200 {
			break
		}
		if r < utf8.RuneSelf {
			if r|0x20 >= 'a' && r|0x20 <= 'z' {
				counts[1]++
				seen++
			}
			continue
		}
		for i, t := range tables {
			if unicode.Is(t, r) {
				counts[i+1]++
				seen++
				break
			}
		}
	}
	// Kana and Han are one writing.
	counts[5] += counts[6] + counts[7]
	counts[6], counts[7] = 0, 0
	best := 0
	for i, n := range counts {
		if n > counts[best] {
			best = i
		}
	}
	if counts[best] == 0 {
		return 0
	}
	return best
}
