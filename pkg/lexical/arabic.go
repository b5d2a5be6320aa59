package lexical

import (
	"strings"
	"unicode"
)

// stemArabic normalises the spelling (alef, ya, ta marbuta; no vowel signs,
// no tatweel) and removes prefixes and suffixes as the light10 stemmer does
// (Larkey, Ballesteros and Connell 2007).
func stemArabic(word string) string {
	w := make([]rune, 0, len(word)/2)
	for _, r := range word {
		switch {
		case r == 'ـ' || unicode.Is(unicode.Mn, r):
		case strings.ContainsRune("أإآٱ", r):
			w = append(w, 'ا')
		case r == 'ى' || r == 'ی':
			w = append(w, 'ي')
		case r == 'ة':
			w = append(w, 'ه')
		case r == 'ک':
			w = append(w, 'ك')
		default:
			w = append(w, r)
		}
	}
	return string(arabicSuffixes(arabicPrefixes(w)))
}

func arabicPrefixes(w []rune) []rune {
	if len(w) > 3 && w[0] == 'و' {
		w = w[1:]
	}
	for _, prefix := range [...]string{"بال", "كال", "فال", "وال", "ال", "لل"} {
		n := len([]rune(prefix))
		if len(w) >= n+2 && string(w[:n]) == prefix {
			return w[n:]
		}
	}
	return w
}

func arabicSuffixes(w []rune) []rune {
	for _, suffix := range [...]string{"ها", "ان", "ات", "ون", "ين", "يه", "يه", "ه", "ي"} {
		if short, ok := cut(w, suffix, 2); ok {
			w = short
		}
	}
	return w
}
