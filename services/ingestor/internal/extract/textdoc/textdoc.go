// Package textdoc reads Markdown and plain text. Bytes in any common encoding
// enter; the document's own text leaves, verbatim but for line ends, invisible
// characters, front matter and the marks of footnotes, in parts cut at structural boundaries, with its
// headings. Memory is bounded whatever the size; it promises the same parts
// for the same bytes.
package textdoc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// Sizes from which a part ends: at a heading, at an empty line, at any line.
// A line longer than page.MaxPart is cut inside.
const (
	cutAtHeading = 64 << 10
	cutAtBlank   = 128 << 10
	cutAtLine    = 512 << 10
	readSize     = 64 << 10
)

// Encoding is how the bytes of a text are to be read.
type Encoding int

// The encodings that are told apart by the first bytes.
const (
	// UTF8 reads UTF-8, and bytes that are not valid in it as Windows-1252.
	UTF8 Encoding = iota
	UTF16LE
	UTF16BE
)

// Options say how to read a text.
type Options struct {
	Markdown bool
	Encoding Encoding
	// Charset is the label that came with the document, used when it names
	// an encoding that is neither UTF-8 nor UTF-16 and the bytes are not UTF-8.
	Charset string
	// MaxBytes bounds the clean text; beyond it the fault is "too_much_text".
	MaxBytes int64
}

// Result says what was read.
type Result struct {
	// Title is the front matter's, else the first heading of level 1, else "".
	Title string
	Bytes int64
	// Visible reports whether there was anything but white space.
	Visible bool
	// Legacy counts the bytes that were not UTF-8 and were read as Windows-1252.
	Legacy int64
}

// Read reads r to its end and hands the parts to emit, in order. It returns
// emit's error as it is, and ctx's cause when that ends first.
func Read(ctx context.Context, r io.Reader, opts Options, emit func(page.Page) error) (Result, error) {
	c := &cutter{scan: scanner{markdown: opts.Markdown}, emit: emit}
	var clean cleaner
	raw := make([]byte, readSize)
	held := 0
	src := decode(r, opts)
	for {
		if ctx.Err() != nil {
			return c.result(clean), context.Cause(ctx)
		}
		n, err := src.Read(raw[held:])
		final := errors.Is(err, io.EOF)
		if err != nil && !final {
			return c.result(clean), fmt.Errorf("read text: %w", err)
		}
		before := len(c.buf)
		var rest []byte
		c.buf, rest = clean.append(c.buf, raw[:held+n], final)
		held = copy(raw, rest)
		c.total += int64(len(c.buf) - before)
		if c.total > opts.MaxBytes {
			return c.result(clean), page.TooMuchText(opts.MaxBytes)
		}
		if err := c.advance(final); err != nil {
			return c.result(clean), err
		}
		if final {
			return c.result(clean), nil
		}
	}
}

// decode wraps r so that it yields UTF-8, or bytes for the cleaner to judge.
func decode(r io.Reader, opts Options) io.Reader {
	var enc encoding.Encoding
	switch opts.Encoding {
	case UTF16LE:
		enc = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case UTF16BE:
		enc = unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case UTF8:
		if opts.Charset == "" {
			return r
		}
		named, err := htmlindex.Get(opts.Charset)
		if err != nil {
			return r
		}
		if name, err := htmlindex.Name(named); err != nil || name == "utf-8" || name == "utf-16le" || name == "utf-16be" {
			return r
		}
		enc = named
	}
	return enc.NewDecoder().Reader(r)
}

// cutter collects clean text and cuts it into parts.
type cutter struct {
	scan scanner
	emit func(page.Page) error

	buf []byte
	// scanned is where the first line not yet classified begins.
	scanned int
	// before is the line before it, as bounds in buf.
	before   [2]int
	headings []byteHeading
	// gone are the bounds in buf of what is left out, ascending.
	gone   [][2]int
	offset int
	total  int64
	// dropped is how much of total was left out.
	dropped int64
	visible bool
}

type byteHeading struct {
	at, level int
	text      string
}

func (c *cutter) result(clean cleaner) Result {
	return Result{Title: page.OneLine(c.scan.title), Bytes: c.total - c.dropped, Visible: c.visible, Legacy: clean.legacy}
}

// advance classifies the complete lines in buf and emits the parts that end among them.
func (c *cutter) advance(final bool) error {
	for {
		end := bytes.IndexByte(c.buf[c.scanned:], '\n')
		next := c.scanned + end + 1
		switch {
		case end >= 0:
			end += c.scanned
		case final && c.scanned < len(c.buf):
			end, next = len(c.buf), len(c.buf)
		case final:
			return c.cut(len(c.buf))
		case len(c.buf) > page.MaxPart:
			return c.forced()
		default:
			return nil
		}
		shift, err := c.line(end)
		if err != nil {
			return err
		}
		c.scanned = next - shift
	}
}

// line classifies the line that ends at end, cutting before it where that is
// due. It returns by how much the cut moved the buffer.
func (c *cutter) line(end int) (int, error) {
	start := c.scanned
	wasOpen, wasBlank := c.scan.open(), c.scan.blank
	kind, level, text := c.scan.line(c.buf[start:end], c.buf[c.before[0]:c.before[1]])
	shift := 0
	due := start >= cutAtLine && kind != lineUnderline ||
		start >= cutAtBlank && wasBlank && !wasOpen ||
		start >= cutAtHeading && kind == lineHeading
	if due {
		if err := c.cut(start); err != nil {
			return 0, err
		}
		shift = start
		start, end = 0, end-shift
	}
	switch kind {
	case lineHeading:
		c.headings = append(c.headings, byteHeading{at: start, level: level, text: text})
	case lineUnderline:
		c.headings = append(c.headings, byteHeading{at: c.before[0], level: level, text: text})
	case lineFrontEnd:
		if c.offset == 0 {
			c.gone = append(c.gone, [2]int{0, min(end+1, len(c.buf))})
		}
	case lineText, lineBlank, lineOpaque:
	}
	if c.scan.markdown && (kind == lineText || kind == lineHeading) {
		for _, m := range noteMarks(c.buf[start:end]) {
			c.gone = append(c.gone, [2]int{start + m[0], start + m[1]})
		}
	}
	c.before = [2]int{start, end}
	return shift, nil
}

// forced cuts inside a line that is longer than a part may be.
func (c *cutter) forced() error {
	if c.scanned > 0 {
		start := c.scanned
		if err := c.cut(start); err != nil {
			return err
		}
		c.scanned, c.before = 0, [2]int{}
	}
	for len(c.buf) > page.MaxPart {
		cut := page.MaxPart
		if i := bytes.LastIndexByte(c.buf[:cut], ' '); i > cut/2 {
			cut = i + 1
		}
		for !utf8.RuneStart(c.buf[cut]) {
			cut--
		}
		if err := c.cut(cut); err != nil {
			return err
		}
	}
	return nil
}

// cut emits the first n bytes of the buffer as a part and drops them.
func (c *cutter) cut(n int) error {
	if n == 0 {
		return nil
	}
	text, ends := c.kept(n)
	c.visible = c.visible || strings.TrimSpace(text) != ""
	out := page.Page{Offset: c.offset, Text: text}
	at, runes, used := 0, 0, 0
	for _, h := range c.headings {
		if h.at >= ends {
			break
		}
		runes += utf8.RuneCountInString(text[at:h.at])
		at = h.at
		out.Headings = append(out.Headings, page.Heading{Start: runes, Level: h.level, Text: h.text})
		used++
	}
	c.offset += runes + utf8.RuneCountInString(text[at:])
	c.headings = c.headings[:copy(c.headings, c.headings[used:])]
	for i := range c.headings {
		c.headings[i].at -= ends
	}
	c.buf = c.buf[:copy(c.buf, c.buf[n:])]
	if text == "" {
		return nil
	}
	for _, part := range page.Split(out) {
		if err := c.emit(part); err != nil {
			return err
		}
	}
	return nil
}

// kept returns the first n bytes of the buffer without what is gone from them,
// and how long they are then. The headings move along: those that begin
// before n stand at their place in what is kept, the others after its end.
func (c *cutter) kept(n int) (text string, ends int) {
	var b strings.Builder
	at, used, next := 0, 0, 0
	move := func(to int) {
		for ; next < len(c.headings) && c.headings[next].at < to; next++ {
			c.headings[next].at -= at - b.Len()
		}
	}
	for ; used < len(c.gone) && c.gone[used][0] < n; used++ {
		from, to := c.gone[used][0], min(c.gone[used][1], n)
		move(from + 1)
		b.Write(c.buf[at:from])
		at = to
		c.dropped += int64(to - from)
	}
	move(len(c.buf) + 1)
	b.Write(c.buf[at:n])
	c.gone = c.gone[:copy(c.gone, c.gone[used:])]
	for i := range c.gone {
		c.gone[i][0] -= n
		c.gone[i][1] -= n
	}
	return b.String(), b.Len()
}
