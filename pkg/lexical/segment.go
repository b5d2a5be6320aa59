package lexical

import (
	"unicode"
	"unicode/utf8"
)

// script is what decides how a token is analysed.
type script uint8

const (
	separator script = iota
	joiner           // continues any word, begins none: combining marks
	dropped          // invisible inside a word: soft hyphen
	digit
	latin
	greek
	cyrillic
	arabic
	alphabet // any other alphabet: words as they are
	ideograph
	syllabary // Thai, Lao, Khmer, Burmese: no spaces
	hangul
)

// paired reports whether runs of the script are cut into overlapping pairs.
func (s script) paired() bool { return s >= ideograph }

// token is a word, or a run of a paired script, in the folded text.
type token struct {
	start, end int32
	script     script
	stop       stop
}

// segment appends text in lower case to folded, and its tokens to tokens.
func segment(folded []byte, tokens []token, text string) ([]byte, []token) {
	open := token{script: separator}
	closeToken := func() {
		if open.script != separator {
			open.end = int32(len(folded))
			tokens = append(tokens, open)
			open.script = separator
		}
	}
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			i++
			kind := asciiScript(c)
			if kind == separator {
				closeToken()
				continue
			}
			if !open.extend(kind) {
				closeToken()
				open = token{start: int32(len(folded)), script: kind}
			}
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			folded = append(folded, c)
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		switch kind := scriptOf(r); {
		case kind == dropped:
		case kind == separator, kind == joiner && open.script == separator:
			closeToken()
		default:
			if !open.extend(kind) {
				closeToken()
				open = token{start: int32(len(folded)), script: kind}
			}
			folded = utf8.AppendRune(folded, unicode.ToLower(r))
		}
	}
	closeToken()
	return folded, tokens
}

// extend reports whether a rune of the kind continues the open token, and
// notes that a word that began with digits has turned out to be of a script.
func (t *token) extend(kind script) bool {
	switch {
	case t.script == separator:
		return false
	case kind == joiner, kind == t.script:
		return true
	case kind == digit:
		return !t.script.paired()
	case t.script == digit && !kind.paired():
		t.script = kind
		return true
	}
	return false
}

func asciiScript(c byte) script {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return latin
	case c >= '0' && c <= '9':
		return digit
	}
	return separator
}

// scriptOf classifies a rune beyond ASCII.
func scriptOf(r rune) script {
	switch {
	case r == 0xAD:
		return dropped
	case unicode.IsMark(r):
		return joiner
	case unicode.IsNumber(r):
		return digit
	case !unicode.IsLetter(r):
		return separator
	case r < 0x370 || r >= 0x1E00 && r < 0x1F00 || r >= 0x2C60 && r < 0x2C80 || r >= 0xA720 && r < 0xA800:
		return latin
	case r < 0x400 || r >= 0x1F00 && r < 0x2000:
		return greek
	case r < 0x530:
		return cyrillic
	case r >= 0x600 && r < 0x700 || r >= 0x750 && r < 0x780 || r >= 0x8A0 && r < 0x900:
		return arabic
	}
	return unspaced(r)
}

func unspaced(r rune) script {
	switch {
	case r >= 0xE00 && r < 0xF00, r >= 0x1000 && r < 0x10A0, r >= 0x1780 && r < 0x1800:
		return syllabary
	case r >= 0x1100 && r < 0x1200, r >= 0x3130 && r < 0x3190, r >= 0xA960 && r < 0xA980, r >= 0xAC00 && r < 0xD800:
		return hangul
	case r >= 0x2E80 && r < 0xA000, r >= 0xF900 && r < 0xFB00, r >= 0x1B000 && r < 0x1B170, r >= 0x20000 && r < 0x40000:
		return ideograph
	}
	return alphabet
}
