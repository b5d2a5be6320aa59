package lexical

// Language is one whose Latin words are analysed in their own way.
type Language uint8

// The languages told apart. Any other is analysed as one of them, in
// passages and questions alike, which costs quality but finds its words.
const (
	English Language = iota
	German
	Spanish
	French
	Portuguese
	Italian
	Dutch
	Swedish
	Norwegian // and Danish
	Hungarian
	Vietnamese
	languageCount
)

// String returns the language's ISO 639-1 code.
func (l Language) String() string {
	if l < languageCount {
		return [...]string{"en", "de", "es", "fr", "pt", "it", "nl", "sv", "no", "hu", "vi"}[l]
	}
	return "und"
}

// Set is a set of languages.
type Set uint16

// AllLanguages has every one.
const AllLanguages Set = 1<<languageCount - 1

// With returns the set with l.
func (s Set) With(l Language) Set { return s | 1<<l }

// Has reports whether l is in the set.
func (s Set) Has(l Language) bool { return s&(1<<l) != 0 }

// evidence counts, for each language, the words of a text that tell it.
type evidence [languageCount]int

// weigh looks every word of the text up and counts what tells a language:
// stop words, each at most twice (so that "Los Angeles", however often,
// is not Spanish) and no single letters (which are initials), and words with
// letters that only Vietnamese has. It adds the words to out's totals.
func (a *Analyzer) weigh(s *scratch, out *Analysis) evidence {
	var found evidence
	clear(s.seen[:])
	for i := range s.tokens {
		t := &s.tokens[i]
		if t.script.paired() {
			out.Words += max(1, int(t.end-t.start)/3-1)
			continue
		}
		out.Words++
		word := s.folded[t.start:t.end]
		if len(word) <= longestStop {
			t.stop = a.stops[string(word)]
		}
		if t.script != latin {
			continue
		}
		if t.stop.common {
			out.EnglishWords++
		}
		if seen := &s.seen[t.stop.number]; t.stop.latin != 0 && len(word) > 1 && *seen < 2 {
			*seen++
			for rest := t.stop.latin; rest != 0; rest &= rest - 1 {
				found[lowest(rest)]++
			}
		} else if t.stop.latin == 0 && vietnamese(word) {
			found[Vietnamese]++
		}
	}
	return found
}

// vietnamese reports whether the word has a letter of U+1EA0 to U+1EFF, the
// Vietnamese vowels with two marks.
func vietnamese(word []byte) bool {
	for i := 0; i+2 < len(word); i++ {
		if word[i] == 0xE1 && word[i+1] >= 0xBA && (word[i+1] == 0xBB || word[i+2] >= 0xA0) {
			return word[i+1] <= 0xBB
		}
	}
	return false
}

// passage returns the language that a passage is most likely in. A wrong
// guess hides the passage's words among the rare terms of another language,
// so anything but English needs three hits, and twice those of English.
func (e evidence) passage() Language {
	best := e.most()
	if e[best] < 3 || e[best] < 2*e[English] {
		return English
	}
	return best
}

// question returns the language in which a question is most likely put.
// Anything but English needs two hits, for a few keywords often have one by
// chance ("foxes den").
func (e evidence) question() Language {
	best := e.most()
	if e[best] < 2 {
		return English
	}
	return best
}

// most returns the language with the most hits, English before others.
func (e evidence) most() Language {
	best := English
	for l := English + 1; l < languageCount; l++ {
		if e[l] > e[best] {
			best = l
		}
	}
	return best
}

// longestStop bounds the look-up of stop words, in bytes.
const longestStop = 24
