// Package pdf reads the text of PDF documents: pages in reading order, as
// paragraphs, with the headings it can tell by their type.
//
// A PDF file enters as bytes; one page at a time leaves as text. Objects and
// their streams come from github.com/ledongthuc/pdf; the cross-reference is
// checked or rebuilt, encryption undone and object streams expanded before
// that library sees the file, for it is strict, slow or wrong there; everything
// from content streams to reading order is done here. No input
// makes the package panic, and what one page may cost is bounded by [Limits].
// A caller who reads strangers' files still does so in a process it can
// kill: the library was not written against enemies.
package pdf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	lib "github.com/ledongthuc/pdf"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Limits bound what a document may cost. Zero fields take the defaults.
type Limits struct {
	Pages       int   // pages a document may have or claim; default 20,000
	Operators   int   // operators one page may run; default 3,000,000
	StreamBytes int64 // decoded content bytes of one page; default 64 MiB
	FormDepth   int   // form XObjects inside each other; default 12
	TextBytes   int   // text of one page; default 4 MiB
}

func (l Limits) withDefaults() Limits {
	if l.Pages <= 0 {
		l.Pages = 20_000
	}
	if l.Operators <= 0 {
		l.Operators = 3_000_000
	}
	if l.StreamBytes <= 0 {
		l.StreamBytes = 64 << 20
	}
	if l.FormDepth <= 0 {
		l.FormDepth = 12
	}
	if l.TextBytes <= 0 {
		l.TextBytes = 4 << 20
	}
	return l
}

// Document is an open PDF. It is not safe for concurrent use.
type Document struct {
	limits   Limits
	file     io.ReaderAt
	size     int64
	reader   *lib.Reader
	pages    []pageNode
	names    glyphNames
	fonts    map[string]*font
	fontSets map[string]map[string]*font
	body     *bodyStyle
	sampled  map[int]readPage // pages (from 0) read for their style only
}

// Page is the text of one page.
//
// Text is UTF-8 in NFKC. Paragraphs are separated by a blank line. Inside a
// paragraph the lines of the page are joined by spaces, and words hyphenated
// at a line's end are made whole; a single line break stands where the page
// itself breaks deliberately: list items, verses, addresses, table rows. The
// cells of a table row are separated by tabs; an empty cell before the row's
// last one keeps its tab where the rows around tell that it is there.
type Page struct {
	Text     string
	Headings []Heading // in the order of Text
	// Running are the paragraphs of Text that stand at the edge of other
	// pages too, in its order: heads, feet, page numbers. The first page has
	// none, so that what they say is said once.
	Running []Range
	// Unreadable counts characters that the page shows but whose text the
	// file does not tell; Text lacks them. They are common in scans made
	// "searchable" badly and in files whose fonts lost their encoding.
	Unreadable int
	// Image reports that the page shows an image.
	Image bool
	// Partial reports that some of the page's content is damaged or missing;
	// Text is what the rest says.
	Partial bool
}

// Range is a stretch of Page.Text, in runes.
type Range struct{ Start, End int }

// Heading is a paragraph of Text that is set like a heading.
type Heading struct {
	Start int    // offset of its first character in Page.Text, in runes
	Level int    // 1..6, the largest type first
	Text  string // without line breaks
}

// Pages returns the number of pages.
func (d *Document) Pages() int { return len(d.pages) }

// Title returns the title in the document's properties when it looks like
// one and not like the name of a file, else "".
func (d *Document) Title() string {
	var title string
	err := guard(func() error {
		title = cleanTitle(d.reader.Trailer().Key("Info").Key("Title").RawString())
		return nil
	})
	if err != nil {
		return ""
	}
	return title
}

func cleanTitle(raw string) string {
	title := strings.Join(strings.Fields(normalise(textString([]byte(raw)))), " ")
	title = strings.TrimSpace(strings.TrimPrefix(title, "Microsoft Word - "))
	lower := strings.ToLower(title)
	for _, suffix := range []string{".doc", ".docx", ".dvi", ".tex", ".indd", ".qxd", ".pdf", ".rtf", ".odt", ".ps", ".pptx", ".ppt", ".xls", ".xlsx"} {
		if strings.HasSuffix(lower, suffix) {
			return ""
		}
	}
	switch {
	case len(title) < 2, len(title) > 500, lower == "untitled", strings.HasPrefix(lower, "untitled-"), lower == "title":
		return ""
	}
	return title
}

// Page reads page n, counted from 1. An error concerns that page alone; it is
// a Permanent fault unless ctx ended.
func (d *Document) Page(ctx context.Context, n int) (Page, error) {
	if n < 1 || n > len(d.pages) {
		return Page{}, fault.NotFoundf("page_not_found", "the document has no page %d", n)
	}
	if d.body == nil {
		body, err := d.sampleBody(ctx)
		if err != nil {
			return Page{}, err
		}
		d.body = &body
	}
	var page Page
	err := guard(func() error {
		read, ok := d.sampled[n-1]
		if !ok {
			shown, err := d.show(ctx, d.pages[n-1])
			if err != nil {
				return err
			}
			read = shown.read()
		}
		delete(d.sampled, n-1)
		page = compose(read, d.body, n-1)
		return nil
	})
	if err == nil {
		return page, nil
	}
	var f *fault.Error
	if ctx.Err() != nil || errors.As(err, &f) {
		return Page{}, fmt.Errorf("page %d: %w", n, err)
	}
	return Page{}, fault.Permanentf("page_damaged", "it is damaged, or its content is missing from the file").WithCause(err)
}

// guard turns a panic, which the library uses for damage, into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged: %v", p)
		}
	}()
	return f()
}

// shown is what a page's content shows.
type shown struct {
	glyphs     []glyph
	unreadable int
	image      bool
	partial    bool
}

// show runs a page's content.
func (d *Document) show(ctx context.Context, p pageNode) (shown, error) {
	if err := ctx.Err(); err != nil {
		return shown{}, fmt.Errorf("read page: %w", err)
	}
	if p.v.IsNull() {
		return shown{}, errors.New("the page's object is missing")
	}
	content, partial, err := d.content(p.v)
	if err != nil {
		return shown{}, err
	}
	in := &interpreter{doc: d, ctx: ctx, bytes: int64(len(content)), box: p.box}
	in.gs = graphics{ctm: identity(), scale: 1}
	in.text, in.line = identity(), identity()
	if err := in.run(content, &resources{v: p.resources}, 0); err != nil {
		return shown{}, err
	}
	return shown{glyphs: in.glyphs, unreadable: in.unread, image: in.image, partial: partial}, nil
}

// content joins a page's content streams. Damaged and missing ones are left
// out, which makes the content partial, unless all are. A page that names no
// content is blank; one whose content is not in the file is damaged.
func (d *Document) content(p lib.Value) (content []byte, partial bool, err error) {
	switch v := p.Key("Contents"); v.Kind() {
	case lib.Stream:
		content, err = d.contentStream(v, d.limits.StreamBytes)
		return content, false, err
	case lib.Array:
		var joined []byte
		var first error
		for i := range v.Len() {
			var part []byte
			err := guard(func() error {
				var err error
				part, err = d.contentStream(v.Index(i), d.limits.StreamBytes-int64(len(joined)))
				return err
			})
			if err != nil && (first == nil || errors.Is(err, errTooLong)) {
				first = err
			}
			joined = append(append(joined, part...), '\n')
		}
		if first != nil && (len(joined) <= v.Len() || fault.Is(first, fault.Permanent)) {
			return nil, false, first
		}
		return joined, first != nil, nil
	default:
		if slices.Contains(p.Keys(), "Contents") {
			return nil, false, errors.New("the page's content is missing")
		}
		return nil, false, nil
	}
}

func (d *Document) contentStream(v lib.Value, limit int64) ([]byte, error) {
	data, err := d.stream(v, limit)
	if errors.Is(err, errTooLong) {
		return nil, tooComplex("content")
	}
	return data, err
}
