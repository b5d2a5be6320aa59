package pdf_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/pdf"
)

// manyPages makes a document of text pages: a running head, two columns, and
// some 450 words each.
func manyPages(pages int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	b := newBuilder()
	b.object("<</Type/Catalog/Pages 2 0 R>>")
	var kids strings.Builder
	for i := range pages {
		fmt.Fprintf(&kids, "%d 0 R ", 3+2*i)
	}
	b.object(fmt.Sprintf("<</Type/Pages/Kids[%s]/Count %d/MediaBox[0 0 600 800]/Resources<</Font<<"+
		"/F1<</Type/Font/Subtype/Type1/BaseFont/Times-Roman/Encoding/WinAnsiEncoding>>>>>>>>", kids.String(), pages))
	for i := range pages {
		var content strings.Builder
		content.WriteString(at(60, 760, fmt.Sprintf("A book of nothing, page %d", i+1)))
		for column := range 2 {
			for j, line := range setLines(prose(r, 225), 42) {
				content.WriteString(at(60+250*float64(column), 730-12*float64(j), line))
			}
		}
		b.object(fmt.Sprintf("<</Type/Page/Parent 2 0 R/Contents %d 0 R>>", 4+2*i))
		b.stream("", content.String())
	}
	return b.finish()
}

func readPages(b *testing.B, data []byte) {
	b.Helper()
	pages := 0
	b.ReportAllocs()
	for b.Loop() {
		d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		for n := 1; n <= d.Pages(); n++ {
			page, err := d.Page(b.Context(), n)
			if err != nil || page.Text == "" {
				b.Fatalf("page %d: %q, %v", n, page.Text, err)
			}
			pages++
		}
	}
	b.ReportMetric(float64(pages)/b.Elapsed().Seconds(), "pages/s")
}

// BenchmarkPages reads two-column text pages, opening included.
func BenchmarkPages(b *testing.B) {
	for _, pages := range []int{10, 1500} {
		b.Run(fmt.Sprintf("generated-%d", pages), func(b *testing.B) { readPages(b, manyPages(pages)) })
	}
	for _, name := range []string{"latex-twocolumn.pdf", "libreoffice.pdf", "groff.pdf"} {
		b.Run(name, func(b *testing.B) { readPages(b, readFile(b, name)) })
	}
}
