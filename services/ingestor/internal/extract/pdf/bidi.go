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

// latin reports letters that are read from left to right.
func (w *visualWord) latin() bool {
	return slices.ContainsFunc(w.texts, func(text string) bool {
		r, _ := utf8.DecodeRuneInString(text)
		return unicode.IsLetter(r) && !isRTL(r)
	})
}

// wordRuns calls each for every run of words of the given direction.
func wordRuns(words []visualWord, rtl bool, each func([]visualWord)) {
	for i := 0; i < len(words); {
		j := i
		for j < len(words) && words[j].rtl == rtl {
			j++
		}
		if j > i {
			each(words[i:j])
		}
		i = max(j, i+1)
	}
}

// turnBack reverses each run of words of the given direction: those that run
// against the line. Numbers alone follow each other as the line does.
func turnBack(words []visualWord, rtl bool) {
	wordRuns(words, rtl, func(run []visualWord) {
		if rtl || slices.ContainsFunc(run, func(w visualWord) bool { return w.latin() }) {
			slices.Reverse(run)
		}
	})
}

// embed settles the marks at the edges of what is read from left to right
// inside a line that is not. They belong to the line: what stands left of a
// number follows it.
func embed(words []visualWord) {
	wordRuns(words, false, func(run []visualWord) {
		if slices.ContainsFunc(run, func(w visualWord) bool { return w.latin() }) {
			swapEdges(&run[0], &run[len(run)-1])
			return
		}
		for i := range run {
			swapEdges(&run[i], &run[i])
		}
	})
}

// swapEdges puts the marks before the first word of a run behind its last one,
// and the other way round.
func swapEdges(first, last *visualWord) {
	before := slices.IndexFunc(first.texts, belongsToNumber)
	if before < 0 {
		if first == last {
			slices.Reverse(first.texts)
		}
		return
	}
	after := len(last.texts)
	for after > 0 && !belongsToNumber(last.texts[after-1]) {
		after--
	}
	if after == 0 {
		return
	}
	head, tail := slices.Clone(first.texts[:before]), slices.Clone(last.texts[after:])
	slices.Reverse(head)
	slices.Reverse(tail)
	last.texts = append(last.texts[:after:after], head...)
	first.texts = append(tail, first.texts[before:]...)
}

// belongsToNumber reports what keeps its side of a number or a Latin word:
// letters, digits, and the signs of percent and money.
func belongsToNumber(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Sc, r) || strings.ContainsRune("%‰°#", r)
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
