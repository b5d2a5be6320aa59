package e2e

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
)

// story returns a plain text of paragraphs whose every sentence has the word,
// and no paragraph of which is like another. The same arguments give the same text.
func story(word string, paragraphs int) string {
	h := fnv.New64a()
	h.Write([]byte(word))
	r := rand.New(rand.NewPCG(h.Sum64(), uint64(paragraphs)))
	who := strings.Fields("baker sailor printer gardener judge painter miller tailor surgeon pilot teacher mason weaver porter captain clerk")
	did := strings.Fields("carried repaired measured painted forgot admired sold weighed borrowed counted polished described buried opened")
	what := strings.Fields("barrel lantern anchor ledger violin kettle ladder mirror hammer saddle compass basket curtain statue bottle wagon")
	where := strings.Fields("harbour market chapel orchard bridge cellar tower meadow quarry station library valley island garden")
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	var b strings.Builder
	for p := range paragraphs {
		if p > 0 {
			b.WriteString("\n\n")
		}
		for s := range 8 {
			if s > 0 {
				b.WriteByte(' ')
			}
			fmt.Fprintf(&b, "In %d the %s %s %s the %s %s behind the %s of number %d.", 1500+r.IntN(500), word, pick(who), pick(did), pick(what),
				pick(who), pick(where), r.IntN(9000))
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// whole checks that chunks are exactly a plain text: in order, without gaps
// in the numbering, verbatim at their offsets, and every letter and digit in one of them.
func whole(t testing.TB, doc document, text string, chunks []chunk) {
	t.Helper()
	runes := []rune(text)
	if len(chunks) != doc.Progress.Chunks {
		t.Errorf("document %s says it has %d chunks and lists %d", doc.ID, doc.Progress.Chunks, len(chunks))
	}
	at := 0
	for i, c := range chunks {
		if c.Ordinal != i || c.DocumentID != doc.ID || c.Version != doc.Version || c.ID == "" {
			t.Fatalf("chunk %d of document %s is %+v", i, doc.ID, c)
		}
		if c.CharStart < at || c.CharEnd <= c.CharStart || c.CharEnd > len(runes) {
			t.Fatalf("chunk %d of document %s lies at [%d, %d), after %d of %d", i, doc.ID, c.CharStart, c.CharEnd, at, len(runes))
		}
		if got := string(runes[c.CharStart:c.CharEnd]); got != c.Text {
			t.Errorf("chunk %d of document %s is not the text at its offsets:\n%q\n%q", i, doc.ID, c.Text, got)
		}
		if lost := strings.ContainsFunc(string(runes[at:c.CharStart]), isWord); lost {
			t.Errorf("text of document %s before chunk %d is in no chunk", doc.ID, i)
		}
		at = c.CharEnd
	}
	if strings.ContainsFunc(string(runes[at:]), isWord) {
		t.Errorf("the end of document %s is in no chunk", doc.ID)
	}
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
