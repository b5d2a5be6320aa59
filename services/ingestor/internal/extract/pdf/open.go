package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	lib "github.com/ledongthuc/pdf"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Open reads the structure of a PDF of size bytes; r must stay readable while
// the document is in use. A file whose cross-reference is damaged is searched
// for its objects. Errors are Permanent faults with these codes:
//
//	empty_document              there are no bytes, or no pages
//	pdf_encrypted               a user password is needed to open it
//	pdf_encryption_unsupported  it is encrypted in a way this package cannot undo
//	pdf_damaged                 it is not a PDF, or too damaged to read
//	too_many_pages              it has or claims more pages than Limits.Pages
func Open(r io.ReaderAt, size int64, limits Limits) (*Document, error) {
	limits = limits.withDefaults()
	if size <= 0 {
		return nil, fault.Permanentf("empty_document", "the file is empty")
	}
	file, size, err := skipJunk(r, size)
	if err != nil {
		return nil, err
	}
	t, err := readXref(file, size)
	if err == nil {
		var d *Document
		d, err = open(file, size, t, limits)
		if err == nil && len(d.pages) > 0 {
			return d, nil
		}
		if code, _ := fault.Public(err); err != nil && code != "pdf_damaged" {
			return nil, err
		}
	}
	t, scanErr := rebuild(file, size)
	if scanErr != nil {
		return nil, damaged(errors.Join(err, scanErr))
	}
	d, err := open(file, size, t, limits)
	if err != nil {
		return nil, err
	}
	if len(d.pages) == 0 {
		return nil, fault.Permanentf("empty_document", "the PDF has no pages")
	}
	return d, nil
}

func damaged(cause error) error {
	return fault.Permanentf("pdf_damaged", "the PDF is damaged and cannot be read").WithCause(cause)
}

// skipJunk finds the header, which some senders put other bytes before.
func skipJunk(r io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	head, err := readAt(r, 0, min(size, 1024))
	if err != nil {
		return nil, 0, fmt.Errorf("open pdf: %w", err)
	}
	at := int64(bytes.Index(head, []byte("%PDF-")))
	switch {
	case at < 0:
		return nil, 0, fault.Permanentf("pdf_damaged", "the file is not a PDF: it has no PDF header")
	case at == 0:
		return r, size, nil
	}
	return io.NewSectionReader(r, at, size-at), size - at, nil
}

// open hands a file with a sound table to the library and reads its pages.
func open(file io.ReaderAt, size int64, t *table, limits Limits) (*Document, error) {
	if _, encrypted := t.trailer.get("Encrypt"); encrypted {
		var err error
		file, size, t, err = clearCopy(file, size, t)
		if err != nil {
			return nil, err
		}
	}
	s := newSource(file, size, t, t.expand(file, size))
	reader, err := lib.NewReader(s, s.length())
	if err != nil {
		return nil, damaged(err)
	}
	d := &Document{
		limits: limits, file: s, size: s.length(), reader: reader,
		fonts: map[string]*font{}, fontSets: map[string]map[string]*font{}, sampled: map[int]readPage{},
	}
	err = guard(func() error {
		var err error
		d.pages, err = readPages(reader.Trailer(), limits.Pages)
		return err
	})
	var f *fault.Error
	if err != nil && !errors.As(err, &f) {
		return nil, damaged(err)
	}
	return d, err
}
