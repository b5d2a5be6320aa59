package lexical

import "strings"

// englishWord is a word being stemmed. English words are most of what is stemmed, so this works on bytes in place:
// the Snowball English stemmer
// (https://snowballstem.org/algorithms/english/stemmer.html) for words of
// ASCII letters and digits, letter for letter what
// github.com/kljensen/snowball/english, with which indexes were written, makes of them.
type englishWord struct {
	word   []byte
	r1, r2 int // where the regions begin
}

// change is a suffix and what takes its place.
type change struct{ suffix, by string }

//nolint:gochecknoglobals // immutable; the first that fits counts
var (
	englishSecond = [...]change{
		{"ational", "ate"},
		{"fulness", "ful"},
		{"iveness", "ive"},
		{"ization", "ize"},
		{"ousness", "ous"},
		{"biliti", "ble"},
		{"lessli", "less"},
		{"tional", "tion"},
		{"alism", "al"},
		{"aliti", "al"},
		{"ation", "ate"},
		{"entli", "ent"},
		{"fulli", "ful"},
		{"iviti", "ive"},
		{"ousli", "ous"},
		{"anci", "ance"},
		{"abli", "able"},
		{"alli", "al"},
		{"ator", "ate"},
		{"enci", "ence"},
		{"izer", "ize"},
		{"bli", "ble"},
		{"ogi", "og"},
		{"li", ""},
	}
	englishThird = [...]change{
		{"ational", "ate"}, {"tional", "tion"}, {"alize", "al"}, {"icate", "ic"}, {"ative", ""}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""},
	}
	englishFourth = [...]change{
		{"ement", ""},
		{"ance", ""},
		{"ence", ""},
		{"able", ""},
		{"ible", ""},
		{"ment", ""},
		{"ent", ""},
		{"ant", ""},
		{"ism", ""},
		{"ate", ""},
		{"iti", ""},
		{"ous", ""},
		{"ive", ""},
		{"ize", ""},
		{"ion", ""},
		{"al", ""},
		{"er", ""},
		{"ic", ""},
	}
	englishInflections = [...]change{{"eedly", "ee"}, {"ingly", ""}, {"edly", ""}, {"ing", ""}, {"eed", "ee"}, {"ed", ""}}
)

// stemEnglish stems a lower-case word in place and returns what is left. ok is
// false for words that it does not read: those beyond ASCII letters and digits.
func stemEnglish(word []byte) (stem []byte, ok bool) {
	for _, c := range word {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return nil, false
		}
	}
	if len(word) <= 2 {
		return word, true
	}
	if special := englishSpecial(string(word)); special != "" {
		return append(word[:0], special...), true
	}
	w := englishWord{word: word}
	w.prepare()
	w.plural()
	w.inflection()
	if n := len(w.word); n > 2 && w.word[n-1]|0x20 == 'y' && !englishVowel(w.word[n-2]) {
		w.word[n-1] = 'i'
	}
	w.second()
	w.third()
	w.fourth()
	w.last()
	for i, c := range w.word {
		if c == 'Y' {
			w.word[i] = 'y'
		}
	}
	return w.word, true
}

func englishVowel(c byte) bool {
	switch c {
	case 'a', 'e', 'i', 'o', 'u', 'y':
		return true
	}
	return false
}

// prepare marks each y that is a consonant as Y and finds the regions.
func (w *englishWord) prepare() {
	for i, c := range w.word {
		if c == 'y' && (i == 0 || englishVowel(w.word[i-1])) {
			w.word[i] = 'Y'
		}
	}
	w.r1 = w.region(0)
	for _, prefix := range [...]string{"gener", "commun", "arsen"} {
		if len(w.word) >= len(prefix) && string(w.word[:len(prefix)]) == prefix {
			w.r1 = len(prefix)
		}
	}
	w.r2 = w.region(w.r1)
}

// region returns the place after the first consonant that follows a vowel, from at on.
func (w *englishWord) region(at int) int {
	for i := at + 1; i < len(w.word); i++ {
		if englishVowel(w.word[i-1]) && !englishVowel(w.word[i]) {
			return i + 1
		}
	}
	return len(w.word)
}

func (w *englishWord) ends(suffix string) bool {
	n := len(w.word) - len(suffix)
	return n >= 0 && w.word[len(w.word)-1] == suffix[len(suffix)-1] && string(w.word[n:]) == suffix
}

// replace puts something else for the last n letters.
func (w *englishWord) replace(n int, by string) {
	w.word = append(w.word[:len(w.word)-n], by...)
	w.r1, w.r2 = min(w.r1, len(w.word)), min(w.r2, len(w.word))
}

func (w *englishWord) vowelBefore(end int) bool {
	for i := range max(end, 0) {
		if englishVowel(w.word[i]) {
			return true
		}
	}
	return false
}

// find returns the first of the changes whose suffix the word has.
func (w *englishWord) find(changes []change) (change, bool) {
	if len(w.word) == 0 {
		return change{}, false
	}
	last := w.word[len(w.word)-1]
	for i := range changes {
		if s := changes[i].suffix; s[len(s)-1] == last && w.ends(s) {
			return changes[i], true
		}
	}
	return change{}, false
}

func (w *englishWord) plural() {
	switch {
	case w.ends("sses"):
		w.replace(2, "")
	case w.ends("ied"), w.ends("ies"):
		if len(w.word) > 4 {
			w.replace(2, "")
		} else {
			w.replace(1, "")
		}
	case w.ends("us"), w.ends("ss"):
	case w.ends("s"):
		if w.vowelBefore(len(w.word) - 2) {
			w.replace(1, "")
		}
	}
}

func (w *englishWord) inflection() {
	c, ok := w.find(englishInflections[:])
	n := len(c.suffix)
	switch {
	case !ok:
		return
	case c.by != "":
		if n <= len(w.word)-w.r1 {
			w.replace(n, c.by)
		}
		return
	case !w.vowelBefore(len(w.word) - n):
		return
	}
	r1, r2 := w.r1, w.r2
	w.replace(n, "")
	switch {
	case w.ends("at"), w.ends("bl"), w.ends("iz"):
		w.word = append(w.word, 'e')
	case w.doubled():
		w.word = w.word[:len(w.word)-1]
	case w.r1 >= len(w.word) && w.short(len(w.word)):
		w.word = append(w.word, 'e')
		w.r1, w.r2 = len(w.word), len(w.word)
		return
	}
	w.r1, w.r2 = min(r1, len(w.word)), min(r2, len(w.word))
}

func (w *englishWord) doubled() bool {
	n := len(w.word)
	return n >= 2 && w.word[n-1] == w.word[n-2] && strings.IndexByte("bdfgmnprt", w.word[n-1]) >= 0
}

// short reports whether the first n letters end in a short syllable.
func (w *englishWord) short(n int) bool {
	switch {
	case n == 2:
		return englishVowel(w.word[0]) && !englishVowel(w.word[1])
	case n >= 3:
		c := w.word[n-1]
		return !englishVowel(c) && c != 'w' && c != 'x' && c != 'Y' && englishVowel(w.word[n-2]) && !englishVowel(w.word[n-3])
	}
	return false
}

func (w *englishWord) second() {
	c, ok := w.find(englishSecond[:])
	n := len(c.suffix)
	if !ok || n > len(w.word)-w.r1 {
		return
	}
	before := byte(0)
	if n < len(w.word) {
		before = w.word[len(w.word)-n-1]
	}
	switch c.suffix {
	case "li":
		if strings.IndexByte("cdeghkmnrt", before) < 0 {
			return
		}
	case "ogi":
		if before != 'l' {
			return
		}
	}
	w.replace(n, c.by)
}

func (w *englishWord) third() {
	c, ok := w.find(englishThird[:])
	n := len(c.suffix)
	if !ok || n > len(w.word)-w.r1 || c.suffix == "ative" && n > len(w.word)-w.r2 {
		return
	}
	w.replace(n, c.by)
}

func (w *englishWord) fourth() {
	c, ok := w.find(englishFourth[:])
	n := len(c.suffix)
	if !ok || n > len(w.word)-w.r2 {
		return
	}
	if c.suffix == "ion" {
		if n >= len(w.word) {
			return
		}
		if before := w.word[len(w.word)-n-1]; before != 's' && before != 't' {
			return
		}
	}
	w.replace(n, "")
}

func (w *englishWord) last() {
	n := len(w.word) - 1
	if w.r1 > n {
		return
	}
	switch {
	case w.word[n] == 'e':
		if w.r2 <= n || !w.short(n) {
			w.replace(1, "")
		}
	case w.r2 <= n && n >= 1 && w.word[n] == 'l' && w.word[n-1] == 'l':
		w.replace(1, "")
	}
}

// englishSpecial returns the stem of a word that follows no rule, else "".
func englishSpecial(word string) string {
	switch word {
	case "skis":
		return "ski"
	case "skies", "sky":
		return "sky"
	case "dying":
		return "die"
	case "lying":
		return "lie"
	case "tying":
		return "tie"
	case "idly":
		return "idl"
	case "gently":
		return "gentl"
	case "ugly":
		return "ugli"
	case "early":
		return "earli"
	case "only":
		return "onli"
	case "singly":
		return "singl"
	case "news", "howe", "atlas", "cosmos", "bias", "andes":
		return word
	case "inning", "innings":
		return "inning"
	case "outing", "outings":
		return "outing"
	case "canning", "cannings":
		return "canning"
	case "herring", "herrings":
		return "herring"
	case "earring", "earrings":
		return "earring"
	case "proceed", "proceeds", "proceeded", "proceeding":
		return "proceed"
	case "exceed", "exceeds", "exceeded", "exceeding":
		return "exceed"
	case "succeed", "succeeds", "succeeded", "succeeding":
		return "succeed"
	}
	return ""
}
