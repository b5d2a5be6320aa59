package pdf

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visualWord is a word's glyphs from left to right.
type visualWord struct {
	texts []string
	rtl   bool
}

func (w *visualWord) add(text string) {
	r, _ := utf8.DecodeRuneInString(text)
	w.rtl = w.rtl || isRTL(r)
	w.texts = append(w.texts, text)
}

func sortVisual(glyphs []glyph) {
	slices.SortStableFunc(glyphs, func(a, b glyph) int {
		switch ca, cb := a.x0+a.x1, b.x0+b.x1; {
		case ca < cb:
			return -1
		case ca > cb:
			return 1
		}
		return 0
	})
}

// reverseWords reverses the order of a line's words.
func reverseWords(words []visualWord) { slices.Reverse(words) }

// turnBack reverses each run of words of the given direction: those that run
// against the line.
func turnBack(words []visualWord, rtl bool) {
	for i := 0; i < len(words); {
		if words[i].rtl != rtl {
			i++
			continue
		}
		j := i
		for j < len(words) && words[j].rtl == rtl {
			j++
		}
		slices.Reverse(words[i:j])
		i = j
	}
}

// logical returns the word as it is typed. In a word read from right to left,
// digits and Latin letters inside keep their order.
func (w *visualWord) logical() string {
	if !w.rtl {
		return strings.Join(w.texts, "")
	}
	texts := slices.Clone(w.texts)
	slices.Reverse(texts)
	for i := 0; i < len(texts); {
		j := i
		for j < len(texts) && (runsLeftToRight(texts[j]) || j > i && j+1 < len(texts) && runsLeftToRight(texts[j+1]) && !isRTLText(texts[j])) {
			j++
		}
		if j > i {
			slices.Reverse(texts[i:j])
			i = j
			continue
		}
		i++
	}
	return strings.Join(texts, "")
}

func runsLeftToRight(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return unicode.IsDigit(r) || unicode.IsLetter(r) && !isRTL(r)
}

func isRTLText(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return isRTL(r)
}

// mirrorBrackets turns the brackets of a line round if its first one closes:
// some producers name a bracket by its meaning and others by its shape, which
// right to left is the opposite.
func mirrorBrackets(text string) string {
	first := strings.IndexAny(text, "()[]{}«»")
	if first < 0 {
		return text
	}
	switch r, _ := utf8.DecodeRuneInString(text[first:]); r {
	case ')', ']', '}', '»':
		return strings.NewReplacer("(", ")", ")", "(", "[", "]", "]", "[", "{", "}", "}", "{", "«", "»", "»", "«").Replace(text)
	}
	return text
}
