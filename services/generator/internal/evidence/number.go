package evidence

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Numbers returns the numbers of a text in a form that can be compared:
// digits of any script as ASCII, without separators of thousands, the decimal
// mark a dot, no trailing zeros: "1,234.50", "1.234,5" and "１２３４.５" are all
// "1234.5". With words set, small number words count too ("three" is "3"):
// that is for the evidence's side, since a claim may write a word as a digit.
// Digits inside a word ("B2B") are part of a name and not a number.
func Numbers(text string, words bool) []string {
	var out []string
	inWord := false
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf && (c < '0' || c > '9') { // most of a text
			inWord = c|0x20 >= 'a' && c|0x20 <= 'z'
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		if digit(r) < 0 {
			inWord = letter(r)
			i += size
			continue
		}
		end := numberEnd(text, i)
		if !inWord {
			out = append(out, canonical(text[i:end]))
		}
		i = end
	}
	if words {
		out = appendWords(out, text)
	}
	return out
}

// letter reports whether a digit behind the rune belongs to a word.
func letter(r rune) bool {
	if r < utf8.RuneSelf {
		return r|0x20 >= 'a' && r|0x20 <= 'z'
	}
	return unicode.IsLetter(r) && !unspaced(r)
}

// unspaced reports scripts in which a number stands beside letters without a space.
func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// digit returns a decimal digit's value, or -1.
func digit(r rune) int {
	if r >= '0' && r <= '9' {
		return int(r - '0')
	}
	if r < utf8.RuneSelf || !unicode.Is(unicode.Nd, r) {
		return -1
	}
	if r >= 0x1D7CE && r <= 0x1D7FF { // mathematical digits: five blocks without a gap
		return int(r-0x1D7CE) % 10
	}
	// Blocks of decimal digits are ten in a row, and all but a few begin at a multiple of 16, or 6 above one.
	zero := r
	for zero > 0 && unicode.Is(unicode.Nd, zero-1) && r-zero < 9 {
		zero--
	}
	return int(r-zero) % 10
}

// numberEnd returns where the number that begins at i ends: digits, with single separators between digits.
func numberEnd(text string, i int) int {
	end := i
	for i < len(text) {
		r, size := utf8.DecodeRuneInString(text[i:])
		if digit(r) >= 0 {
			i += size
			end = i
			continue
		}
		if !strings.ContainsRune(".,'’٫٬·\u202f\u00a0", r) {
			break
		}
		next, _ := utf8.DecodeRuneInString(text[i+size:])
		if digit(next) < 0 {
			break
		}
		i += size
	}
	return end
}

// canonical rewrites one number. A separator is taken for one of thousands
// when three digits follow it, unless the number begins with a zero; the last
// of two different ones is the decimal mark.
func canonical(number string) string {
	var digits []byte
	type mark struct {
		at int
		r  rune
	}
	var marks []mark
	for _, r := range number {
		if d := digit(r); d >= 0 {
			digits = append(digits, byte('0'+d))
			continue
		}
		marks = append(marks, mark{len(digits), r})
	}
	point := len(digits)
	if n := len(marks); n > 0 {
		last := marks[n-1]
		repeated := n > 1 && marks[n-2].r == last.r
		mixed := n > 1 && !repeated
		if !repeated && (mixed || len(digits)-last.at != 3 || digits[0] == '0') {
			point = last.at
		}
	}
	whole := strings.TrimLeft(string(digits[:point]), "0")
	if whole == "" {
		whole = "0"
	}
	if fraction := strings.TrimRight(string(digits[point:]), "0"); fraction != "" {
		return whole + "." + fraction
	}
	return whole
}

// appendWords adds the small number words of the text.
func appendWords(out []string, text string) []string {
	start := 0
	for i := 0; i <= len(text); {
		size, inWord := 1, false
		if i < len(text) {
			r := rune(text[i])
			if r < utf8.RuneSelf {
				inWord = r|0x20 >= 'a' && r|0x20 <= 'z'
			} else {
				r, size = utf8.DecodeRuneInString(text[i:])
				inWord = unicode.IsLetter(r)
			}
		}
		if !inWord {
			if n := i - start; n >= 2 && n <= longestNumber {
				if number := numberWord(text[start:i]); number != "" {
					out = append(out, number)
				}
			}
			start = i + size
		}
		i += size
	}
	return out
}

// longestNumber is how long, in bytes, a number word is at most.
const longestNumber = 12

// numberWord knows cardinals and ordinals to twelve in English, and cardinals to ten in German, Spanish and French.
func numberWord(w string) string {
	var buf [longestNumber]byte
	lower := buf[:0]
	for i := range len(w) {
		c := w[i]
		if c >= utf8.RuneSelf || len(lower) == longestNumber {
			lower = []byte(strings.ToLower(w))
			break
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower = append(lower, c)
	}
	switch string(lower) {
	case "zero", "null", "cero", "zéro":
		return "0"
	case "one", "first", "once", "ein", "eins", "eine", "einen", "uno", "una", "un", "une":
		return "1"
	case "two", "second", "twice", "zwei", "dos", "deux", "zweite", "both":
		return "2"
	case "three", "third", "drei", "tres", "trois", "thrice":
		return "3"
	case "four", "fourth", "vier", "cuatro", "quatre":
		return "4"
	case "five", "fifth", "fünf", "cinco", "cinq":
		return "5"
	case "six", "sixth", "sechs", "seis":
		return "6"
	case "seven", "seventh", "sieben", "siete", "sept":
		return "7"
	case "eight", "eighth", "acht", "ocho", "huit":
		return "8"
	case "nine", "ninth", "neun", "nueve", "neuf":
		return "9"
	case "ten", "tenth", "zehn", "diez", "dix":
		return "10"
	case "eleven", "eleventh", "elf":
		return "11"
	case "twelve", "twelfth", "dozen", "zwölf":
		return "12"
	}
	return ""
}
