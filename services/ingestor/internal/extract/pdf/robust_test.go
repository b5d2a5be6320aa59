package pdf_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/pdf"
)

// readAll opens and reads a document that may be anything. Only faults and
// readable pages may come of it.
func readAll(t testing.TB, data []byte) (pages int) {
	t.Helper()
	limits := pdf.Limits{Pages: 100, Operators: 50_000, StreamBytes: 4 << 20, TextBytes: 1 << 20}
	d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), limits)
	if err != nil {
		if !fault.Is(err, fault.Permanent) {
			t.Errorf("open: %v is no permanent fault", err)
		}
		return 0
	}
	_ = d.Title()
	for n := 1; n <= d.Pages(); n++ {
		page, err := d.Page(t.Context(), n)
		switch {
		case err == nil:
			checkPage(t, page)
			pages++
		case !fault.Is(err, fault.Permanent):
			t.Errorf("page %d: %v is no permanent fault", n, err)
		}
	}
	return pages
}

func seeds(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, name := range []string{"groff.pdf", "qpdf-linear.pdf", "reportlab.pdf", "aes-256.pdf", "weasyprint-rtl.pdf", "qt.pdf"} {
		out[name] = readFile(t, name)
	}
	return out
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	for _, data := range seeds(t) {
		for cut := range 60 {
			readAll(t, data[:len(data)*cut/60])
		}
	}
}

func TestMutated(t *testing.T) {
	t.Parallel()
	read := 0
	for name, seed := range seeds(t) {
		for round := range uint64(80) {
			r := rand.New(rand.NewPCG(round, uint64(len(name))))
			data := bytes.Clone(seed)
			for range 1 + r.IntN(30) {
				i := r.IntN(len(data))
				switch r.IntN(4) {
				case 0:
					data[i] = byte(r.Uint32())
				case 1:
					data[i] = "0123456789<>[]()/ R"[r.IntN(19)]
				case 2:
					n := min(r.IntN(40), len(data)-i)
					data = append(data[:i], data[i+n:]...)
				default:
					n := min(r.IntN(200), len(data)-i)
					copy(data[r.IntN(len(data)-n+1):], data[i:i+n])
				}
			}
			read += readAll(t, data)
		}
	}
	if read < 100 {
		t.Errorf("only %d pages survived; mutations should leave many", read)
	}
}

func TestRandomBytes(t *testing.T) {
	t.Parallel()
	for round := range uint64(200) {
		r := rand.New(rand.NewPCG(round, 7))
		data := make([]byte, r.IntN(4000))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		readAll(t, append([]byte("%PDF-1.5\n"), data...))
	}
}

// Good pages are read though others are bad, and numbers stay.
func TestBadPageAlone(t *testing.T) {
	t.Parallel()
	b := newBuilder()
	b.object("<</Type/Catalog/Pages 2 0 R>>")
	b.object("<</Type/Pages/Kids[3 0 R 4 0 R 5 0 R 9 0 R]/Count 4/MediaBox[0 0 600 800]/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>")
	b.object("<</Type/Page/Contents 6 0 R>>")
	b.object("<</Type/Page/Contents 7 0 R>>")
	b.object("<</Type/Page/Contents 8 0 R>>")
	b.stream("", at(50, 700, "first"))
	b.stream("/Filter/FlateDecode", "this was never deflated")
	b.stream("", at(50, 700, "third"))
	b.object("<</Type/Page /Contents (no closing bracket")
	d := open(t, b.finish())
	for n, want := range map[int]string{1: "first", 3: "third"} {
		if page, err := d.Page(t.Context(), n); err != nil || page.Text != want {
			t.Errorf("page %d is %q, %v", n, page.Text, err)
		}
	}
	_, err := d.Page(t.Context(), 2)
	if code, _ := fault.Public(err); code != "page_damaged" {
		t.Errorf("page 2: %v, want page_damaged", err)
	}
	for _, n := range []int{0, -1, 5} {
		if _, err := d.Page(t.Context(), n); !fault.Is(err, fault.NotFound) {
			t.Errorf("page %d: %v, want not found", n, err)
		}
	}
}

func TestPageTreeCycles(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{
		"a node is its own kid":  {"<</Type/Pages/Kids[2 0 R 3 0 R]/Count 2>>", "<</Type/Page>>"},
		"kids point to the root": {"<</Type/Pages/Kids[4 0 R 3 0 R]/Count 2>>", "<</Type/Page>>", "<</Type/Pages/Kids[2 0 R 4 0 R]/Count 1>>"},
		"parent loops":           {"<</Type/Pages/Kids[3 0 R]/Count 1/Parent 3 0 R>>", "<</Type/Page/Parent 2 0 R>>"},
		"counts lie":             {"<</Type/Pages/Kids[3 0 R]/Count -5>>", "<</Type/Page>>"},
		"kids are not pages":     {"<</Type/Pages/Kids[(x) 7 null 3 0 R /Name]/Count 1>>", "<</Type/Page>>"},
	}
	for name, objects := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBuilder()
			b.object("<</Type/Catalog/Pages 2 0 R>>")
			for _, o := range objects {
				b.object(o)
			}
			if pages := open(t, b.finish()).Pages(); pages < 1 || pages > 3 {
				t.Errorf("%d pages", pages)
			}
		})
	}
}

// A tree whose every node names its sons twice has exponentially many pages.
func TestPageTreeBomb(t *testing.T) {
	t.Parallel()
	b := newBuilder()
	b.object("<</Type/Catalog/Pages 2 0 R>>")
	for i := range 40 {
		b.object(fmt.Sprintf("<</Type/Pages/Kids[%d 0 R %d 0 R]/Count 2>>", i+3, i+3))
	}
	b.object("<</Type/Page>>")
	data := b.finish()
	_, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{Pages: 500})
	if code, _ := fault.Public(err); code != "too_many_pages" {
		t.Errorf("error %v, want too_many_pages", err)
	}
}

func TestPageLimits(t *testing.T) {
	t.Parallel()
	bomb := "/XObject<</Fm 5 0 R>>"
	form := "<</Type/XObject/Subtype/Form/Length 15/Resources<</XObject<</Fm 5 0 R>>>>>>\nstream\n/Fm Do /Fm Do\n\nendstream"
	cases := map[string]struct {
		data   []byte
		limits pdf.Limits
		code   string
	}{
		"operators":      {onePage(strings.Repeat("q Q ", 5000), ""), pdf.Limits{Operators: 1000}, "page_too_complex"},
		"content bytes":  {onePage(strings.Repeat("q Q ", 5000), ""), pdf.Limits{StreamBytes: 1000}, "page_too_complex"},
		"text bytes":     {onePage(at(50, 700, strings.Repeat("text ", 500)), ""), pdf.Limits{TextBytes: 1000}, "page_too_complex"},
		"forms in forms": {onePage("/Fm Do", bomb, form), pdf.Limits{FormDepth: 100, Operators: 10_000}, "page_too_complex"},
		"form depth":     {onePage("/Fm Do", bomb, form), pdf.Limits{FormDepth: 3}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := pdf.Open(bytes.NewReader(c.data), int64(len(c.data)), c.limits)
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Page(t.Context(), 1)
			if code := publicCode(err); code != c.code {
				t.Errorf("error %v has code %q, want %q", err, code, c.code)
			}
		})
	}
}

func publicCode(err error) string {
	if err == nil {
		return ""
	}
	code, _ := fault.Public(err)
	return code
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err := open(t, readFile(t, "groff.pdf")).Page(ctx, 1)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

// Pages made to be slow to lay out stay linear: a quadratic step would make
// this test run for minutes.
func TestCrowdedPages(t *testing.T) {
	t.Parallel()
	shapes := map[string]func(i int) (x, y float64){
		"one line":   func(i int) (float64, float64) { return float64(i%590) + float64(i)/1e6, 400 },
		"one column": func(i int) (float64, float64) { return 50, 799 - float64(i)/100 },
		"a cloud":    func(i int) (float64, float64) { return float64(i * 7919 % 590), float64(i * 104_729 % 790) },
	}
	for name, place := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var content strings.Builder
			content.WriteString("BT /F1 10 Tf ")
			for i := range 60_000 {
				x, y := place(i)
				fmt.Fprintf(&content, "1 0 0 1 %.4f %.4f Tm (%c) Tj ", x, y, 'a'+rune(i%26))
			}
			content.WriteString("ET")
			if text := pageText(t, onePage(content.String(), "")); len(text) < 1000 {
				t.Errorf("only %d bytes of text", len(text))
			}
		})
	}
}

// A page whose content is not in the file is damaged; one that has none is blank.
func TestMissingContentIsDamage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		contents, code, text string
		partial              bool
	}{
		"no content":           {"", "", "", false},
		"an empty list":        {"/Contents []", "", "", false},
		"the object is gone":   {"/Contents 99 0 R", "page_damaged", "", false},
		"all parts are gone":   {"/Contents [98 0 R 99 0 R]", "page_damaged", "", false},
		"one part is gone":     {"/Contents [4 0 R 99 0 R]", "", "what is there", true},
		"no part is gone":      {"/Contents [4 0 R]", "", "what is there", false},
		"it is something else": {"/Contents 3 0 R", "page_damaged", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBuilder()
			b.object("<</Type/Catalog/Pages 2 0 R>>")
			b.object("<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 600 800]/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>")
			b.object("<</Type/Page " + c.contents + ">>")
			b.stream("", at(50, 700, "what is there"))
			page, err := open(t, b.finish()).Page(t.Context(), 1)
			if publicCode(err) != c.code || page.Text != c.text || page.Partial != c.partial {
				t.Errorf("page %+v, error %v", page, err)
			}
		})
	}
}

func TestImagesAreNoticed(t *testing.T) {
	t.Parallel()
	const image = "<</Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace/DeviceGray/Length 1>>\nstream\nx\nendstream"
	const form = "<</Type/XObject/Subtype/Form/Length 6/Resources<</XObject<</Im 5 0 R>>>>>>\nstream\n/Im Do\nendstream"
	for name, c := range map[string]struct {
		content string
		want    bool
	}{
		"nothing drawn":      {"", false},
		"a box":              {"0 0 100 100 re f", false},
		"an image":           {"q 500 0 0 700 0 0 cm /Im Do Q", true},
		"an image in a form": {"/Fm Do", true},
		"an inline image":    {"BI /W 1 /H 1 /BPC 8 /CS /G ID x EI", true},
		"an unknown object":  {"/None Do", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page, err := open(t, onePage(c.content, "/XObject<</Im 5 0 R/Fm 6 0 R>>", image, form)).Page(t.Context(), 1)
			if err != nil || page.Image != c.want {
				t.Errorf("page %+v, error %v", page, err)
			}
		})
	}
}
