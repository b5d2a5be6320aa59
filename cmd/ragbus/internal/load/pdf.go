package load

import (
	"bytes"
	"fmt"
	"strings"
)

// lineWidth is in characters of 10 points on a page 600 points wide.
const lineWidth = 90

// PDF returns a document of that many pages, each with a section of the
// library twice as long as a chunk, set in lines.
func (l *Library) PDF(pages int) []byte {
	var out bytes.Buffer
	var offsets []int
	object := func(format string, args ...any) {
		offsets = append(offsets, out.Len())
		fmt.Fprintf(&out, "%d 0 obj\n", len(offsets))
		fmt.Fprintf(&out, format, args...)
		out.WriteString("\nendobj\n")
	}
	out.WriteString("%PDF-1.4\n")
	object("<</Type/Catalog/Pages 2 0 R>>")
	var kids strings.Builder
	for i := range pages {
		fmt.Fprintf(&kids, "%d 0 R ", 3+2*i)
	}
	object("<</Type/Pages/Kids[%s]/Count %d/MediaBox[0 0 600 800]/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Times-Roman/Encoding/WinAnsiEncoding>>>>>>>>",
		kids.String(), pages)
	for i := range pages {
		object("<</Type/Page/Parent 2 0 R/Contents %d 0 R>>", 4+2*i)
		text := strings.Join(append(l.section(2*i%l.sections), l.section((2*i+1)%l.sections)...), " ")
		var content strings.Builder
		fmt.Fprintf(&content, "BT /F1 10 Tf 60 740 Td 12 TL (Page %d of a long report) Tj T*", i+1)
		for _, line := range wrap(text) {
			content.WriteString(" T* (" + line + ") Tj")
		}
		content.WriteString(" ET")
		object("<</Length %d>>\nstream\n%s\nendstream", content.Len(), content.String())
	}
	table := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, at := range offsets {
		fmt.Fprintf(&out, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&out, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, table)
	return out.Bytes()
}

// wrap breaks a text into lines.
func wrap(text string) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > lineWidth {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
