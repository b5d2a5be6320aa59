// Package chunk cuts the pages of a document into chunks, the unit of search.
// Pages enter as they are extracted; chunks leave at once, in order, each the
// verbatim slice of its page's text. It promises the same chunks for the same
// pages, no chunk across pages, none longer than [Max] code points, and that
// every letter and digit of the text is in exactly one chunk, but for what
// other pages repeat at their edges: that is in none where it stands there.
//
// Chunks do not overlap. Each one carries its path of headings, and one that
// begins inside a table the names of the columns as the last of them; that is
// embedded with it, so that a passage is understood without the end of the
// one before. An overlap would store and embed every tenth sentence twice and
// show readers the same citation as two sources.
package chunk

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// Sizes in code points. The embedder reads 256 tokens, about 1,000 characters
// of English; what is longer than Max would be cut off there, what is much
// shorter than Target says too little to be found by its meaning.
const (
	// Max is the longest chunk.
	Max = 1200
	// Target is the size that long text is cut to.
	Target = 1000
	// small is the size below which a section takes its neighbours in.
	small = 400
	// tiny is the size below which a section joins the one before it.
	tiny = 200
)

// Bounds of a section path: code points of a heading in it, and headings.
const (
	maxHeading = 80
	maxPath    = 8
)

// Separator joins the headings of a section path.
const Separator = " › "

// Chunker cuts one version of one document. Not safe for concurrent use.
type Chunker struct {
	ref corpus.ChunkRef
	// path are the headings open at this point of the document.
	path []open
	// fence is the code fence open at the end of the last part of a document without pages.
	fence string
	// table is the first row of the table open there.
	table *string
}

// open is a heading whose section has not ended.
type open struct {
	level int
	text  string
}

// New returns a Chunker for the version of a document that ref names; the
// chunks count from ref.Ordinal.
func New(ref corpus.ChunkRef) *Chunker { return &Chunker{ref: ref} }

// Add cuts p and hands its chunks to emit. Parts of one page must come in
// order. It returns emit's error as it is.
func (c *Chunker) Add(p page.Page, emit func(corpus.Chunk) error) error {
	if p.Number > 0 || p.Offset == 0 {
		c.fence, c.table = "", nil
	}
	d := newDraft(p, c.fence, c.table)
	c.fence, c.table = d.fence, d.table
	for _, group := range c.sections(d, p) {
		for _, piece := range d.pack(group.first, group.last) {
			chunk, ok := c.chunk(p, d, group, piece)
			if !ok {
				continue
			}
			if err := emit(chunk); err != nil {
				return err
			}
			c.ref.Ordinal++
		}
	}
	return nil
}

// chunk makes the chunk of a piece, or false when there is no word in it.
func (c *Chunker) chunk(p page.Page, d *draft, g group, s span) (corpus.Chunk, bool) {
	text := p.Text[s.start:s.end]
	trimmed := strings.TrimLeftFunc(text, unicode.IsSpace)
	start := s.runeStart + utf8.RuneCountInString(text[:len(text)-len(trimmed)])
	trimmed = strings.TrimRightFunc(trimmed, unicode.IsSpace)
	if strings.IndexFunc(trimmed, word) < 0 {
		return corpus.Chunk{}, false
	}
	start += p.Offset
	return corpus.Chunk{
		ChunkRef:  c.ref,
		Text:      trimmed,
		Section:   d.sectionOf(g, s),
		Page:      p.Number,
		CharStart: start,
		CharEnd:   start + utf8.RuneCountInString(trimmed),
	}, true
}

// word reports whether r can be part of something to search for.
func word(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsSymbol(r) && r > 0x2000
}
