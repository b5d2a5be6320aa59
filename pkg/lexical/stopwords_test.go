package lexical

import (
	"strings"
	"testing"
)

func TestStopWordsCanMatch(t *testing.T) {
	t.Parallel()
	table := stopTable()
	if len(table) < 1000 || len(table) >= stopWords {
		t.Errorf("%d stop words", len(table))
	}
	for word, e := range table {
		folded, tokens := segment(nil, nil, word)
		if len(word) > longestStop || string(folded) != word || len(tokens) != 1 {
			t.Errorf("%q can never be a word of a text", word)
		}
		if e.number == 0 || e.latin == 0 && !e.other || e.latin != 0 && e.other {
			t.Errorf("%q: %+v", word, e)
		}
	}
	for l := range languageCount {
		if n := len(strings.Fields(stopList(l.String()))); n < 50 {
			t.Errorf("%s has %d stop words", l, n)
		}
	}
}
