package page

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
)

// partTarget is the size from which a part ends at the next block. It bounds
// the memory of a document without pages; no chunk spans two parts.
const partTarget = 128 << 10

// blockKind says what a block is, for the separator before the next.
type blockKind int

const (
	kindNone blockKind = iota
	kindParagraph
	kindHeading
	kindItem
	kindRow
	kindCode
)

// Builder turns the blocks of a document without pages (HTML, DOCX) into
// parts. Blocks are separated by an empty line, the items of a list and the
// rows of a table by a line break. The first error stays and is returned by
// every later call. Not safe for concurrent use.
type Builder struct {
	emit     func(Page) error
	maxBytes int64

	buf      strings.Builder
	headings []Heading
	runes    int
	offset   int
	total    int64
	last     blockKind
	title    string
	err      error
}

// NewBuilder returns a Builder that hands its parts to emit and fails with
// the code "too_much_text" beyond maxBytes bytes of text.
func NewBuilder(maxBytes int64, emit func(Page) error) *Builder {
	return &Builder{emit: emit, maxBytes: maxBytes}
}

// Bytes returns how much text was written so far.
func (b *Builder) Bytes() int64 { return b.total }

// Title returns the first heading of the highest level met, or "".
func (b *Builder) Title() string { return b.title }

// Heading writes a heading of one line, under the same rules as Paragraph.
func (b *Builder) Heading(level int, text string) error {
	text = OneLine(text)
	if text == "" {
		return b.err
	}
	if b.title == "" && level == 1 {
		b.title = text
	}
	if err := b.begin(kindHeading); err != nil {
		return err
	}
	b.headings = append(b.headings, Heading{Start: b.runes, Level: level, Text: text})
	return b.write(text)
}

// Paragraph writes a paragraph; line breaks in it stay, spaces collapse. Empty text is ignored.
func (b *Builder) Paragraph(text string) error {
	return b.block(kindParagraph, Tidy(text))
}

// Item writes a list item. Depth 0 is the outermost list; marker is "-" or "1." and the like.
func (b *Builder) Item(depth int, marker, text string) error {
	text = Tidy(text)
	if text == "" {
		return b.err
	}
	indent := strings.Repeat("  ", min(max(depth, 0), 8))
	text = strings.ReplaceAll(text, "\n", "\n"+indent+strings.Repeat(" ", len(marker)+1))
	return b.block(kindItem, indent+marker+" "+text)
}

// Row writes a table row as "| a | b |". A row of empty cells is ignored.
func (b *Builder) Row(cells []string) error {
	var row strings.Builder
	filled := false
	for _, c := range cells {
		c = strings.ReplaceAll(OneLine(c), "|", `\|`)
		filled = filled || c != ""
		row.WriteString("| ")
		row.WriteString(c)
		if c != "" {
			row.WriteByte(' ')
		}
	}
	if !filled {
		return b.err
	}
	row.WriteByte('|')
	return b.block(kindRow, row.String())
}

// Code writes preformatted text between fences that its content cannot close.
func (b *Builder) Code(text string) error {
	text = strings.Trim(Clean(text), "\n")
	if strings.TrimSpace(text) == "" {
		return b.err
	}
	fence := "```"
	for strings.Contains(text, fence) && len(fence) < 64 {
		fence += "`"
	}
	return b.block(kindCode, fence+"\n"+text+"\n"+fence)
}

// Table marks that a new table begins, so that two tables in a row stay apart.
func (b *Builder) Table() {
	if b.last == kindRow {
		b.last = kindParagraph
	}
}

// Close hands over the last part.
func (b *Builder) Close() error {
	if b.err == nil && b.runes > 0 {
		b.flush()
	}
	return b.err
}

func (b *Builder) block(kind blockKind, text string) error {
	if text == "" {
		return b.err
	}
	if err := b.begin(kind); err != nil {
		return err
	}
	return b.write(text)
}

func (b *Builder) begin(kind blockKind) error {
	if b.err != nil {
		return b.err
	}
	sep := "\n\n"
	tight := kind == b.last && (kind == kindItem || kind == kindRow)
	if tight {
		sep = "\n"
	}
	if b.last != kindNone {
		if err := b.write(sep); err != nil {
			return err
		}
	}
	b.last = kind
	if size := b.buf.Len(); size >= partTarget && (!tight || size >= 4*partTarget) {
		b.flush()
	}
	return b.err
}

func (b *Builder) write(s string) error {
	b.total += int64(len(s))
	if b.total > b.maxBytes {
		b.err = TooMuchText(b.maxBytes)
		return b.err
	}
	b.buf.WriteString(s)
	b.runes += utf8.RuneCountInString(s)
	return b.err
}

func (b *Builder) flush() {
	for _, part := range Split(Page{Offset: b.offset, Text: b.buf.String(), Headings: b.headings}) {
		if b.err = b.emit(part); b.err != nil {
			return
		}
	}
	b.offset += b.runes
	b.runes = 0
	b.headings = nil
	b.buf = strings.Builder{}
}

// TooMuchText is the fault of a document that holds more than limit bytes of text.
func TooMuchText(limit int64) error {
	return fault.Permanentf("too_much_text", "the document holds more than %d MB of text, which is the limit; split it and upload the parts", max(limit>>20, 1))
}

// Tidy cleans s, collapses runs of spaces in its lines and empty lines, and trims it.
func Tidy(s string) string {
	s = Clean(s)
	var b strings.Builder
	b.Grow(len(s))
	space, line := false, false
	for _, r := range s {
		switch {
		case r == '\n':
			line = true
		case unicode.IsSpace(r):
			space = true
		default:
			if b.Len() > 0 {
				if line {
					b.WriteByte('\n')
				} else if space {
					b.WriteByte(' ')
				}
			}
			space, line = false, false
			b.WriteRune(r)
		}
	}
	return b.String()
}

// OneLine is [Tidy] with line breaks as spaces.
func OneLine(s string) string { return strings.ReplaceAll(Tidy(s), "\n", " ") }
