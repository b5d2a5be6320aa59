package lexical

import "strings"

// stemGerman is the Snowball German stemmer
// (https://snowballstem.org/algorithms/german/stemmer.html), in which the
// umlauts are folded at the end.
func stemGerman(word string) string {
	w := []rune(strings.ReplaceAll(word, "ß", "ss"))
	r1 := germanRegion(w, 0)
	r2 := germanRegion(w, r1)
	r1 = max(r1, 3)
	w = germanInflection(w, r1)
	w = germanComparison(w, r1)
	w = germanDerivation(w, r1, r2)
	return fold(string(w))
}

func germanVowel(r rune) bool { return strings.ContainsRune("aeiouyäöü", r) }

// germanRegion returns the place after the first consonant that follows a vowel, from at on.
func germanRegion(w []rune, at int) int {
	for i := at + 1; i < len(w); i++ {
		if !germanVowel(w[i]) && germanVowel(w[i-1]) {
			return i + 1
		}
	}
	return len(w)
}

// cut removes suffix from w when it lies in the region from at on.
func cut(w []rune, suffix string, at int) ([]rune, bool) {
	s := []rune(suffix)
	n := len(w) - len(s)
	if n < 0 || n < at || string(w[n:]) != suffix {
		return w, false
	}
	return w[:n], true
}

func endsWith(w []rune, suffix string) bool { return strings.HasSuffix(string(w), suffix) }

func germanInflection(w []rune, r1 int) []rune {
	for _, suffix := range [...]string{"ern", "em", "er"} {
		if endsWith(w, suffix) {
			w, _ = cut(w, suffix, r1)
			return w
		}
	}
	for _, suffix := range [...]string{"en", "es", "e"} {
		if !endsWith(w, suffix) {
			continue
		}
		short, ok := cut(w, suffix, r1)
		if ok && endsWith(short, "niss") {
			short = short[:len(short)-1]
		}
		return short
	}
	if n := len(w); n >= 2 && strings.ContainsRune("bdfghklmnrt", w[n-2]) {
		w, _ = cut(w, "s", r1)
	}
	return w
}

func germanComparison(w []rune, r1 int) []rune {
	for _, suffix := range [...]string{"est", "en", "er"} {
		if endsWith(w, suffix) {
			w, _ = cut(w, suffix, r1)
			return w
		}
	}
	if n := len(w); n >= 6 && strings.ContainsRune("bdfghklmnt", w[n-3]) {
		w, _ = cut(w, "st", r1)
	}
	return w
}

func germanDerivation(w []rune, r1, r2 int) []rune {
	for _, suffix := range [...]string{"end", "ung"} {
		if short, ok := cut(w, suffix, r2); ok {
			if inner, ok := cut(short, "ig", r2); ok && !endsWith(inner, "e") {
				return inner
			}
			return short
		}
	}
	for _, suffix := range [...]string{"isch", "ig", "ik"} {
		if short, ok := cut(w, suffix, r2); ok && !endsWith(short, "e") {
			return short
		}
	}
	for _, suffix := range [...]string{"lich", "heit"} {
		if short, ok := cut(w, suffix, r2); ok {
			for _, inner := range [...]string{"er", "en"} {
				if s, ok := cut(short, inner, r1); ok {
					return s
				}
			}
			return short
		}
	}
	if short, ok := cut(w, "keit", r2); ok {
		for _, inner := range [...]string{"lich", "ig"} {
			if s, ok := cut(short, inner, r2); ok {
				return s
			}
		}
		return short
	}
	return w
}
