package pdf //nolint:testpackage // parsers that no exported name reaches alone

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
)

func FuzzCMap(f *testing.F) {
	f.Add([]byte(sampleCMap), []byte("\x01\x80\x10"))
	f.Add([]byte("begincodespacerange <00> <FFFFFFFF> beginbfrange <00> <FFFFFFFF> <FFFF> endbfrange"), []byte{0xFF})
	f.Fuzz(func(t *testing.T, data, s []byte) {
		m := parseCMap(data)
		for len(s) > 0 {
			code, n := m.split(s)
			if n < 1 || n > len(s) {
				t.Fatalf("split took %d of %d bytes", n, len(s))
			}
			if text := m.text(code); !utf8.ValidString(text) {
				t.Fatalf("text %q is not UTF-8", text)
			}
			m.cid(code)
			s = s[n:]
		}
	})
}

// Whatever is read can be written, and reads the same again.
func FuzzLexer(f *testing.F) {
	f.Add([]byte("[1 2 R (a\\)b) <4a> /N#20 << /A [ 1 0 R ] >> ] BI ID EI"))
	f.Add([]byte("<<<<[[((("))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := &lexer{data: data, refs: true}
		last := -1
		for {
			o := l.next()
			if o.kind == kindEOF {
				return
			}
			if l.pos <= last {
				t.Fatal("the lexer stands still")
			}
			last = l.pos
			once := o.appendTo(nil)
			again := &lexer{data: once, refs: true}
			if twice := again.next().appendTo(nil); o.kind != kindWord && !bytes.Equal(once, twice) {
				t.Fatalf("%q reads back as %q", once, twice)
			}
			l.reset()
		}
	})
}

func FuzzContent(f *testing.F) {
	f.Add([]byte("q 1 0 0 1 0 0 cm BT /F1 10 Tf 12 TL 50 700 Td [(A)-500(B)] TJ T* (c) ' 1 2 (d) \" ET Q"))
	f.Add([]byte("BI /W 1 ID \x00 EI /Span <</ActualText (x)>> BDC BT /F1 1e9 Tf (a) Tj ET EMC"))
	f.Fuzz(func(t *testing.T, content []byte) {
		d := &Document{limits: Limits{Operators: 20_000, TextBytes: 1 << 16}.withDefaults(), fonts: map[string]*font{}}
		helvetica := &font{emHeight: 1, simple: [256]glyphInfo{}}
		for i := range helvetica.simple {
			helvetica.simple[i] = glyphInfo{text: string(rune(i)), width: 0.5}
		}
		in := &interpreter{doc: d, ctx: t.Context(), gs: graphics{ctm: identity(), scale: 1}, text: identity(), line: identity()}
		err := in.run(content, &resources{fonts: map[string]*font{"F1": helvetica}}, 0)
		if err != nil && !fault.Is(err, fault.Permanent) {
			t.Fatalf("%v is no permanent fault", err)
		}
		page := compose(readPage{paragraphs: pageParagraphs(in.glyphs)}, &bodyStyle{size: 10}, 0)
		if !utf8.ValidString(page.Text) {
			t.Fatalf("text %q is not UTF-8", page.Text)
		}
		for _, h := range page.Headings {
			if h.Start >= utf8.RuneCountInString(page.Text) {
				t.Fatalf("heading %+v is outside the text", h)
			}
		}
	})
}

// FuzzDocument wants -fuzzminimizetime=10x: making such inputs smaller takes
// the time of the run otherwise.
func FuzzDocument(f *testing.F) {
	for _, name := range []string{"qpdf-linear.pdf", "reportlab.pdf", "aes-256.pdf", "weasyprint-rtl.pdf"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := Limits{Pages: 20, Operators: 20_000, StreamBytes: 1 << 20, TextBytes: 1 << 18}
		d, err := Open(bytes.NewReader(data), int64(len(data)), limits)
		if err != nil {
			if !fault.Is(err, fault.Permanent) {
				t.Fatalf("%v is no permanent fault", err)
			}
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for n := 1; n <= d.Pages(); n++ {
			page, err := d.Page(ctx, n)
			if err == nil && !utf8.ValidString(page.Text) {
				t.Fatalf("text %q is not UTF-8", page.Text)
			}
			if err != nil && !fault.Is(err, fault.Permanent) {
				t.Fatalf("%v is no permanent fault", err)
			}
		}
	})
}
