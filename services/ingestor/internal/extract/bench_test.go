package extract

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkFormats reports MB/s of input through a child process, its start included.
func BenchmarkFormats(b *testing.B) {
	html := "<html><body>" + strings.Repeat("<h2>Section</h2><p>The queue holds what is to be <b>done</b>, &amp; nothing is lost.<ul><li>a<li>b</ul><table><tr><td>x<td>y</table>", 80_000)
	para := `<w:p><w:pPr><w:pStyle w:val="Body"/></w:pPr><w:r><w:rPr><w:b/></w:rPr><w:t>The queue number %d holds what is to be done.</w:t></w:r><w:r><w:t> And more.</w:t></w:r></w:p>`
	var doc strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&doc, para, i*7919)
	}
	docx := makeZip(b, map[string]string{"word/document.xml": `<w:document xmlns:w="w"><w:body>` + doc.String() + `</w:body></w:document>`})
	for _, tc := range []struct {
		name, content string
		bytes         int
	}{
		{"nothing", "<html><p>x", 10},
		{"html", html, len(html)},
		{"docx", string(docx), doc.Len()},
	} {
		b.Run(tc.name, func(b *testing.B) {
			src := Source{File: file(b, tc.content)}
			e := extractor(b, Limits{})
			b.SetBytes(int64(tc.bytes))
			for b.Loop() {
				if _, err := e.Extract(b.Context(), src, func(Page) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
