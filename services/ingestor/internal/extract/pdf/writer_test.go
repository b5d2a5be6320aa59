package pdf_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/pdf"
)

// builder writes small PDFs. Objects are numbered from 1 in the order added;
// object 1 must be the catalog.
type builder struct {
	buf     bytes.Buffer
	offsets []int
}

func newBuilder() *builder {
	b := &builder{}
	b.buf.WriteString("%PDF-1.4\n")
	return b
}

func (b *builder) object(body string) {
	b.offsets = append(b.offsets, b.buf.Len())
	fmt.Fprintf(&b.buf, "%d 0 obj\n%s\nendobj\n", len(b.offsets), body)
}

func (b *builder) stream(dict, data string) {
	b.object(fmt.Sprintf("<<%s /Length %d>>\nstream\n%s\nendstream", dict, len(data), data))
}

func (b *builder) finish() []byte {
	at := b.buf.Len()
	fmt.Fprintf(&b.buf, "xref\n0 %d\n0000000000 65535 f \n", len(b.offsets)+1)
	for _, o := range b.offsets {
		fmt.Fprintf(&b.buf, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b.buf, "trailer\n<</Size %d /Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(b.offsets)+1, at)
	return b.buf.Bytes()
}

// onePage makes a document of one page with content; font F1 is Helvetica and
// F2 its bold. More are further entries of the page's resources.
func onePage(content, more string, objects ...string) []byte {
	b := newBuilder()
	b.object("<</Type/Catalog/Pages 2 0 R>>")
	b.object("<</Type/Pages/Kids[3 0 R]/Count 1>>")
	b.object("<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<<" +
		"/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>" +
		"/F2<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding>>>>" + more + ">>>>")
	b.stream("", content)
	for _, o := range objects {
		b.object(o)
	}
	return b.finish()
}

func open(t testing.TB, data []byte) *pdf.Document {
	t.Helper()
	d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return d
}

func pageText(t testing.TB, data []byte) string {
	t.Helper()
	page, err := open(t, data).Page(t.Context(), 1)
	if err != nil {
		t.Fatalf("page: %v", err)
	}
	return page.Text
}

// at shows text at a position in 10-point F1.
func at(x, y float64, text string) string {
	escaped := strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`).Replace(text)
	return fmt.Sprintf("BT /F1 10 Tf %.2f %.2f Td (%s) Tj ET\n", x, y, escaped)
}
