package chunk

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// sentenceEnd reports whether a sentence ends at the end of before, which is
// followed by after, beginning with white space. It errs on the side of no:
// a cut at a place that is no end spoils a chunk, a missed one costs little.
func sentenceEnd(before, after string) bool {
	body := strings.TrimRightFunc(tailOf(before), closing)
	if body == "" {
		return false
	}
	last, _ := utf8.DecodeLastRuneInString(body)
	switch last {
	case '!', '?', '…', '؟', '۔', '।', '॥', '።', '։', '។', '။', '༎':
	case '.':
		if abbreviated(body[:len(body)-1]) {
			return false
		}
	default:
		return wideStop(last)
	}
	next := strings.TrimLeftFunc(after[:min(len(after), 64)], func(r rune) bool { return unicode.IsSpace(r) || opening(r) })
	r, _ := utf8.DecodeRuneInString(next)
	return !unicode.IsLower(r)
}

// tailOf returns the end of s, enough to judge it.
func tailOf(s string) string {
	if len(s) <= 48 {
		return s
	}
	s = s[len(s)-48:]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}

// abbreviated reports whether a full stop after s belongs to an abbreviation, an initial or a list number.
func abbreviated(s string) bool {
	word := s[strings.LastIndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '(' || r == '[' })+1:]
	if utf8.RuneCountInString(word) <= 1 {
		return word != "" && !unicode.IsDigit(rune(word[0])) && word[0] < utf8.RuneSelf
	}
	if strings.Contains(word, ".") && len(word) <= 5 {
		return true // e.g, i.e, U.S, a.m
	}
	switch strings.ToLower(word) {
	case "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "vs", "cf", "fig", "figs", "eq", "eqs", "sec", "no", "nos", "vol", "pp", "ed", "eds",
		"al", "inc", "ltd", "corp", "dept", "approx", "ca", "art", "abs", "bzw", "usw", "nr", "bd", "hrsg", "vgl", "evtl", "inkl", "zzgl", "ggf", "tel", "av", "env":
		return true
	}
	return false
}

// wideStop reports a mark that ends a sentence without a space after it.
func wideStop(r rune) bool {
	switch r {
	case '。', '！', '？', '｡', '．', '‼', '⁇', '⁈', '⁉':
		return true
	}
	return false
}

// wideComma reports a mark between clauses that no space follows.
func wideComma(r rune) bool {
	switch r {
	case '，', '、', '；', '：', '､':
		return true
	}
	return false
}

func closing(r rune) bool {
	switch r {
	case '"', '\'', ')', ']', '}', '»', '”', '’', '」', '』', '）', '】', '》', '〉', '*', '_':
		return true
	}
	return false
}

func opening(r rune) bool {
	switch r {
	case '"', '\'', '(', '[', '«', '“', '‘', '„', '「', '『', '（', '【', '《', '*', '_':
		return true
	}
	return false
}

// closesNext reports whether rest goes on with the closing mark of what just ended.
func closesNext(rest string) bool {
	r, _ := utf8.DecodeRuneInString(rest)
	return closing(r) || wideStop(r)
}

// afterStop reports whether only closing marks lie between the end of s and a wide stop.
func afterStop(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(strings.TrimRightFunc(tailOf(s), closing))
	return wideStop(r)
}
