// Package docx reads Word documents (Office Open XML). A zip archive enters;
// the document's text leaves in reading order as headings, paragraphs, list
// items and table rows, with footnotes behind the paragraph that refers to
// them. Deleted revisions, field codes and hidden text stay behind. The XML is
// streamed and what it inflates to is bounded, whatever the archive claims.
package docx

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// mainPart is where nearly every document keeps its text.
const mainPart = "word/document.xml"

// Result says what was read.
type Result struct {
	// Title is that of the document's properties, else its title paragraph
	// or first heading of level 1, else "".
	Title string
	Bytes int64
}

// Read reads the document of size bytes in r and hands its parts to emit. It
// fails with a Permanent fault on damaged, encrypted and hostile files, and
// with "too_much_text" beyond maxBytes bytes of text.
func Read(ctx context.Context, r io.ReaderAt, size, maxBytes int64, emit func(page.Page) error) (Result, error) {
	a, err := openArchive(r, size)
	if err != nil {
		return Result{}, err
	}
	main, err := findMain(a)
	if err != nil {
		return Result{}, err
	}
	st, err := readStyles(a)
	if err != nil {
		return Result{}, err
	}
	ls, err := readLists(a)
	if err != nil {
		return Result{}, err
	}
	notes, err := readNotes(ctx, a, maxBytes)
	if err != nil {
		return Result{}, err
	}
	out := page.NewBuilder(maxBytes, emit)
	w := &writer{ctx: ctx, out: out, styles: st, lists: ls, notes: notes}
	if err := a.walk(main, w.document); err != nil {
		return Result{}, err
	}
	if err := out.Close(); err != nil {
		return Result{}, err
	}
	title, err := readTitle(a)
	if err != nil {
		return Result{}, err
	}
	for _, fallback := range []string{w.title, out.Title()} {
		if title == "" {
			title = fallback
		}
	}
	return Result{Title: title, Bytes: out.Bytes()}, nil
}

// findMain returns the part that holds the document's text.
func findMain(a *archive) (string, error) {
	if a.has(mainPart) {
		return mainPart, nil
	}
	target := ""
	err := a.walk("_rels/.rels", func(r *reader) error {
		return elements(r, func(e xml.StartElement) {
			if e.Name.Local == "Relationship" && strings.HasSuffix(attr(e, "Type"), "/officeDocument") {
				target = strings.TrimPrefix(path.Clean("/"+attr(e, "Target")), "/")
			}
		}, func(string) {})
	})
	if err != nil && !errors.Is(err, errMissing) {
		return "", err
	}
	if !strings.HasPrefix(target, "word/") || !a.has(target) {
		return "", fault.Permanentf("corrupt_document", "the archive holds no Word document")
	}
	return target, nil
}

// readTitle returns the title in the document's properties, or "".
func readTitle(a *archive) (string, error) {
	var title strings.Builder
	err := a.walk("docProps/core.xml", func(r *reader) error {
		inside := false
		for {
			tok, err := r.next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			switch t := tok.(type) {
			case xml.StartElement:
				inside = t.Name.Local == "title"
			case xml.EndElement:
				inside = false
			case xml.CharData:
				if inside && title.Len() < 4<<10 {
					title.Write(t)
				}
			}
		}
	})
	if errors.Is(err, errMissing) {
		return "", nil
	}
	if fault.Is(err, fault.Permanent) {
		if code, _ := fault.Public(err); code == "corrupt_document" {
			return "", nil // properties that cannot be read do not spoil a text that can
		}
	}
	return page.OneLine(title.String()), err
}
