package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/textdoc"
)

// maxWarnings bounds the warnings of one document that name one page or thing;
// the last one counts the rest. What several pages share is summed up besides.
const maxWarnings = 20

// Extractor extracts documents. It is safe for concurrent use.
type Extractor struct {
	limits  Limits
	program string
	places  *places
}

// New returns an Extractor with at most children child processes at a time
// (at least one), and one more for a tenant who would have none. The program must hand over to [ChildMain], see [IsChild].
func New(limits Limits, children int) (*Extractor, error) {
	program := selfPath
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find the own program: %w", err)
		}
	}
	return &Extractor{limits: limits.WithDefaults(), program: program, places: newPlaces(children)}, nil
}

// Extract reads src and hands its pages to emit, in order and from one
// goroutine; while emit works, reading waits. Pages without text are left out.
// It returns emit's error as it is and ctx's cause when that ends first; both
// stop and reap the child. A document that cannot be read is a Permanent fault
// in words for its uploader: "empty_document", "no_text", "too_large",
// "too_much_text", "too_many_pages", "unsupported_media_type",
// "corrupt_document", "encrypted_document", "archive_bomb", "too_complex",
// "unreadable_document", "extraction_timeout", "extraction_memory",
// "extraction_crashed", or a code of package pdf. On a fault, pages may have been emitted already. The
// same bytes give the same pages.
func (e *Extractor) Extract(ctx context.Context, src Source, emit func(Page) error) (Summary, error) {
	info, err := src.File.Stat()
	if err != nil {
		return Summary{}, fmt.Errorf("stat document: %w", err)
	}
	size := info.Size()
	if size > e.limits.Bytes {
		return Summary{}, fault.Permanentf("too_large", "the document has %d MB; the limit is %d MB", size>>20, e.limits.Bytes>>20)
	}
	kind, err := Detect(src.File, size, src.MediaType, src.Filename)
	if err != nil {
		return Summary{}, err
	}
	s := &sink{emit: emit, maxBytes: e.limits.TextBytes, summary: Summary{MediaType: kind.MediaType}}
	if warning := kind.warning(); warning != "" {
		s.warn(warning)
	}
	if kind.MediaType == Markdown || kind.MediaType == Text {
		err = e.text(ctx, src, size, kind, s)
	} else {
		err = e.supervise(ctx, src, kind, s)
	}
	if err != nil {
		return s.finish(), unmark(err)
	}
	return s.finish(), s.verdict()
}

// text reads Markdown and plain text, in this process: there is nothing to parse that could go wrong.
func (e *Extractor) text(ctx context.Context, src Source, size int64, kind Kind, s *sink) error {
	opts := textdoc.Options{
		Markdown: kind.MediaType == Markdown,
		Encoding: kind.encoding,
		Charset:  kind.charset,
		MaxBytes: e.limits.TextBytes,
	}
	res, err := textdoc.Read(ctx, io.NewSectionReader(src.File, 0, size), opts, s.page)
	s.summary.Title = res.Title
	if res.Legacy > 0 && kind.trust != doubtful {
		s.warn(fmt.Sprintf("%d bytes of the text were not valid UTF-8 and were read as Windows-1252", res.Legacy))
	}
	if err != nil {
		return err //nolint:wrapcheck // classified where it arose; emit's error goes back as it is
	}
	return nil
}

// sink collects what is known about a document while its pages pass.
type sink struct {
	emit     func(Page) error
	maxBytes int64
	bytes    int64
	visible  bool
	skipped  int
	lost     losses
	unsaid   int
	summary  Summary
}

// consumerError marks an error as one of the consumer of the pages.
type consumerError struct{ error }

func (e consumerError) Unwrap() error { return e.error }

func (s *sink) page(p Page) error {
	if p.Text == "" {
		return nil
	}
	if s.bytes += int64(len(p.Text)); s.bytes > s.maxBytes {
		return fault.Permanentf("too_much_text", "the document holds more than %d MB of text, which is the limit; split it and upload the parts", max(s.maxBytes>>20, 1))
	}
	s.visible = s.visible || strings.TrimSpace(p.Text) != ""
	if err := s.emit(p); err != nil {
		return consumerError{err}
	}
	return nil
}

func (s *sink) warn(text string) {
	if len(s.summary.Warnings) >= maxWarnings {
		s.unsaid++
		return
	}
	s.summary.Warnings = append(s.summary.Warnings, text)
}

// skip notes a page that could not be read.
func (s *sink) skip(number int, why string) {
	s.skipped++
	s.warn(fmt.Sprintf("page %d could not be read: %s", number, why))
}

func (s *sink) finish() Summary {
	if s.unsaid > 0 {
		s.summary.Warnings = append(s.summary.Warnings, fmt.Sprintf("and %d more like these", s.unsaid))
	}
	s.summary.Warnings = append(s.summary.Warnings, s.lost.warnings()...)
	return s.summary
}

// verdict is the fault of a document that could be read but holds nothing.
func (s *sink) verdict() error {
	switch {
	case s.visible:
		return nil
	case s.skipped > 0:
		return fault.Permanentf("unreadable_document", "no page of the document could be read; %s", s.summary.Warnings[0])
	case len(s.lost.glyphs) > 0:
		return fault.Permanentf("no_text", "the PDF has text, but does not say which characters it is; export it again with its fonts embedded, or make it from a scan by OCR")
	case len(s.lost.image) > 0:
		return fault.Permanentf("no_text", "the PDF has no text, only images (a scan?); it would need OCR, which is not done here")
	case s.summary.MediaType == PDF:
		return fault.Permanentf("no_text", "the PDF has no text: its pages are blank, or hold nothing but drawings")
	case s.summary.MediaType == Markdown || s.summary.MediaType == Text:
		return emptyDocument()
	}
	return fault.Permanentf("no_text", "the document holds no text")
}

// unmark returns the consumer's own error out of err.
func unmark(err error) error {
	if e, ok := errors.AsType[consumerError](err); ok {
		return e.error
	}
	return err
}
