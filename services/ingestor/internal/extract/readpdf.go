package extract

import (
	"context"
	"os"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/pdf"
)

func readPDF(ctx context.Context, req request, f *os.File, size int64, out *frameWriter) error {
	doc, err := pdf.Open(f, size, pdf.Limits{Pages: req.Limits.Pages})
	if err != nil {
		if fault.Is(err, fault.Permanent) || ctx.Err() != nil {
			return err //nolint:wrapcheck // classified where it arose
		}
		return fault.Permanentf("corrupt_document", "the PDF is damaged or cut off and cannot be read").WithCause(err)
	}
	return readPages(ctx, req, pdfPages{doc}, out)
}

// pdfPages makes a PDF a paged document.
type pdfPages struct{ *pdf.Document }

// Text returns page n, counted from 1, and what of it is not in its text.
func (d pdfPages) Text(ctx context.Context, n int) (page.Page, loss, error) {
	p, err := d.Page(ctx, n)
	if err != nil {
		return page.Page{}, lossNone, err //nolint:wrapcheck // classified where it arose
	}
	headings := make([]page.Heading, len(p.Headings))
	for i, h := range p.Headings {
		headings[i] = page.Heading(h)
	}
	running := make([]page.Range, len(p.Running))
	for i, r := range p.Running {
		running[i] = page.Range(r)
	}
	return page.Page{Number: n, Text: p.Text, Headings: headings, Running: running}, lostOf(p), nil
}

// lostOf tells what a page of a PDF lost. A page with some text may well have
// an image and a few characters that nothing tells beside it.
func lostOf(p pdf.Page) loss {
	switch {
	case p.Partial:
		return lossPart
	case p.Text != "":
		return lossNone
	case p.Unreadable > 0:
		return lossGlyphs
	case p.Image:
		return lossImage
	}
	return lossNone
}
