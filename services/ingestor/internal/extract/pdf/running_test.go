package pdf_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pagesOf makes a document with one page for each content.
func pagesOf(contents ...string) []byte {
	b := newBuilder()
	b.object("<</Type/Catalog/Pages 2 0 R>>")
	var kids strings.Builder
	for i := range contents {
		fmt.Fprintf(&kids, "%d 0 R ", 3+2*i)
	}
	b.object(fmt.Sprintf("<</Type/Pages/Kids[%s]/Count %d/MediaBox[0 0 600 800]/Resources<</Font<<"+
		"/F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>", kids.String(), len(contents)))
	for i, content := range contents {
		b.object(fmt.Sprintf("<</Type/Page/Parent 2 0 R/Contents %d 0 R>>", 4+2*i))
		b.stream("", content)
	}
	return b.finish()
}

func TestRunningLinesAreMarked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		// line is at the head of every page, numbered from 1.
		line func(page int) string
		want bool
	}{
		{"a head", func(int) string { return "Northwind Annual Report 2025" }, true},
		{"a page number", func(page int) string { return fmt.Sprint(page) }, true},
		{"a page number that begins later", func(page int) string { return fmt.Sprint("- ", page+96, " -") }, true},
		{"a page of pages", func(page int) string { return fmt.Sprint("Page ", page, " of 6") }, true},
		{"a head with its page", func(page int) string { return fmt.Sprint("SAMPLE ", page) }, true},
		{"a title of neighbours", func(page int) string { return fmt.Sprint("Slide ", "abc"[(page-1)/2:(page+1)/2]) }, false},
		{"numbers of their own", func(page int) string { return fmt.Sprint("Invoice ", 20417+page*page) }, false},
		{"words of their own", func(page int) string { return strings.Repeat("x", page) + " begins" }, false},
		{"a notice of some length", func(int) string { return strings.Repeat("whom to write to ", 8) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var contents []string
			for page := 1; page <= 6; page++ {
				var body strings.Builder
				for i := range 3 {
					body.WriteString(at(50, 650-50*float64(i), fmt.Sprint("Paragraph ", "abcdef"[page-1:page], i*page*page, " of the text.")))
				}
				contents = append(contents, at(50, 760, tc.line(page))+body.String())
			}
			d := open(t, pagesOf(contents...))
			for n := 1; n <= 6; n++ {
				page, err := d.Page(t.Context(), n)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, r := range page.Running {
					got = append(got, string([]rune(page.Text)[r.Start:r.End]))
				}
				var want []string
				if tc.want && n > 1 {
					want = []string{tc.line(n)}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("page %d (-want +got):\n%s", n, diff)
				}
			}
		})
	}
}
