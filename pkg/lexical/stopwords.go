package lexical

import (
	"embed"
	"strings"
)

// stopFiles hold a list of words for each language, in lower case. They are
// function words only: a noun is never a stop word.
//
//go:embed stopwords/*.txt
var stopFiles embed.FS

// commonEnglish are the 24 words whose share tells whether a collection is English.
const commonEnglish = "the of and in to a is was for that on as with by it from at are be this an which or has"

// stop says of a word in which languages it is a stop word.
type stop struct {
	latin Set
	// other marks stop words of the scripts that need no detection.
	other bool
	// common marks the 24 words that tell English.
	common bool
	// number tells the table's entries apart, from 1 on.
	number uint16
}

// stopWords bounds the size of the table of stop words.
const stopWords = 4096

func stopTable() map[string]stop {
	table := make(map[string]stop, stopWords/2)
	add := func(words string, mark func(*stop)) {
		for w := range strings.FieldsSeq(words) {
			e := table[w]
			mark(&e)
			if e.number == 0 {
				e.number = uint16(len(table) + 1)
			}
			table[w] = e
		}
	}
	for l := range languageCount {
		add(stopList(l.String()), func(e *stop) { e.latin = e.latin.With(l) })
	}
	for _, code := range [...]string{"ru", "el", "ar"} {
		add(stopList(code), func(e *stop) { e.other = true })
	}
	add(commonEnglish, func(e *stop) { e.common = true })
	return table
}

// stopList returns the words of a language; the files are in the binary, so
// none can be missing when the tests have passed.
func stopList(code string) string {
	words, err := stopFiles.ReadFile("stopwords/" + code + ".txt")
	if err != nil {
		panic("lexical: " + err.Error())
	}
	return string(words)
}
