package lexical

import "strings"

// stemGreek folds accents and the final sigma and removes the endings of
// declension and the commonest ones of conjugation, the longest first, while
// three letters remain.
func stemGreek(word string) string {
	w := []rune(strings.ReplaceAll(foldAccents(word), "ς", "σ"))
	for _, suffix := range [...]string{
		"ηματων", "ματων", "ιουσ", "ματοσ", "ματα", "ονται", "ουνται", "ωντασ", "οντασ", "ησεισ", "ησεων", "σεων", "σεισ",
		"ειται", "ηκαν", "ηκε", "ησαν", "ησε", "ουσ", "εισ", "εων", "ιων", "ουν", "εων",
		"οσ", "ου", "οι", "ων", "ησ", "εσ", "ασ", "ια", "ιο", "ει", "ισ", "αν", "εσ", "υσ", "ον", "εν", "η", "α", "ο", "ε", "ι", "υ", "ω",
	} {
		if short, ok := cut(w, suffix, 3); ok {
			return string(short)
		}
	}
	return string(w)
}
