package chunk_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// pageOf makes a page of paragraphs, of which some run from page to page.
func pageOf(number int, running func(string) bool, paragraphs ...string) page.Page {
	p := page.Page{Number: number, Text: strings.Join(paragraphs, "\n\n")}
	at := 0
	for _, text := range paragraphs {
		end := at + utf8.RuneCountInString(text)
		if running(text) {
			p.Running = append(p.Running, page.Range{Start: at, End: end})
		}
		at = end + 2
	}
	return p
}

func TestWhatRunsFromPageToPageIsInNoChunk(t *testing.T) {
	t.Parallel()
	const head, foot = "Jährlicher Bericht 2025", "Page 2 of 4"
	running := func(text string) bool { return text == head || text == foot }
	one := pageOf(1, func(string) bool { return false }, head, "Risks", sentences(30, "risk"))
	one.Headings = []page.Heading{{Start: utf8.RuneCountInString(head) + 2, Level: 1, Text: "Risks"}}
	two := pageOf(2, running, head, "goes on here.", sentences(3, "outlook"), foot)
	three := pageOf(3, running, head, foot)
	chunks := cut(t, one, two, three)
	last := chunks[len(chunks)-1]
	if last.Page != 2 || last.Section != "Risks" || !strings.HasPrefix(last.Text, "goes on") || strings.Contains(last.Text, foot) {
		t.Errorf("the last chunk is %+v", last)
	}
	if !strings.HasPrefix(chunks[0].Text, head) {
		t.Errorf("the first page does not say %q: %q", head, chunks[0].Text)
	}
}
