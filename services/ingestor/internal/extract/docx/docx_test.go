package docx_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/docx"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

const mib = 1 << 20

// archive packs parts, given as name and content in turn.
func archive(t testing.TB, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		w, err := z.Create(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, parts[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func body(inner string) string {
	return `<?xml version="1.0"?><w:document xmlns:w="w" xmlns:mc="mc" xmlns:m="m"><w:body>` + inner + `</w:body></w:document>`
}

func para(props, text string) string {
	return `<w:p><w:pPr>` + props + `</w:pPr><w:r><w:t>` + text + `</w:t></w:r></w:p>`
}

func read(t testing.TB, file []byte) (string, []page.Heading, docx.Result, error) {
	t.Helper()
	var text strings.Builder
	var headings []page.Heading
	res, err := docx.Read(t.Context(), bytes.NewReader(file), int64(len(file)), mib, func(p page.Page) error {
		text.WriteString(p.Text)
		headings = append(headings, p.Headings...)
		return nil
	})
	return text.String(), headings, res, err
}

func TestWhatADocumentSaysAndWhatItHides(t *testing.T) {
	t.Parallel()
	run := func(s string) string { return "<w:p>" + s + "</w:p>" }
	for _, tc := range []struct{ name, xml, want string }{
		{"spaces and breaks", run(`<w:r><w:t xml:space="preserve">a  b </w:t><w:tab/><w:t>c</w:t><w:br/><w:t>d</w:t><w:noBreakHyphen/><w:t>e</w:t></w:r>`), "a b c\nd-e"},
		{"entities", run(`<w:r><w:t>a &amp; b &#8364;</w:t></w:r>`), "a & b €"},
		{"deleted", run(`<w:del><w:r><w:delText>old</w:delText></w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins>`), "new"},
		{"moved", run(`<w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t>here</w:t></w:r></w:moveTo>`), "here"},
		{"hidden", run(`<w:r><w:t>a</w:t></w:r><w:r><w:rPr><w:vanish/></w:rPr><w:t>b</w:t></w:r><w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>c</w:t></w:r>`), "ac"},
		{"fields", run(`<w:r><w:fldChar/></w:r><w:r><w:instrText>PAGE</w:instrText></w:r><w:r><w:t>7</w:t></w:r>`), "7"},
		{"links", run(`<w:hyperlink><w:r><w:t>a link</w:t></w:r></w:hyperlink>`), "a link"},
		{"content controls", `<w:sdt><w:sdtPr><w:alias w:val="x"/></w:sdtPr><w:sdtContent>` + run(`<w:r><w:t>inside</w:t></w:r>`) + `</w:sdtContent></w:sdt>`, "inside"},
		{"formulas", run(`<m:oMath><m:r><m:t>x=1</m:t></m:r></m:oMath>`), "x=1"},
		{"text boxes, once", run(`<w:r><mc:AlternateContent><mc:Choice><w:txbxContent>` + run(`<w:r><w:t>boxed</w:t></w:r>`) + `</w:txbxContent></mc:Choice><mc:Fallback><w:t>boxed</w:t></mc:Fallback></mc:AlternateContent></w:r><w:r><w:t>outside</w:t></w:r>`), "outside\n\nboxed"},
		{"nested tables", `<w:tbl><w:tr><w:tc>` + run(`<w:r><w:t>a</w:t></w:r>`) + `<w:tbl><w:tr><w:tc>` + run(`<w:r><w:t>b</w:t></w:r>`) + `</w:tc></w:tr></w:tbl></w:tc><w:tc>` + run(`<w:r><w:t>c</w:t></w:r>`) + `</w:tc></w:tr></w:tbl>`, "| a b | c |"},
		{"a cell over two columns", `<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>` + run(`<w:r><w:t>a</w:t></w:r>`) + `</w:tc><w:tc>` + run(`<w:r><w:t>b</w:t></w:r>`) + `</w:tc></w:tr></w:tbl>`, "| a | | b |"},
		{"a cell over two rows", `<w:tbl><w:tr><w:tc><w:tcPr><w:vMerge w:val="restart"/></w:tcPr>` + run(`<w:r><w:t>a</w:t></w:r>`) + `</w:tc><w:tc>` + run(`<w:r><w:t>b</w:t></w:r>`) +
			`</w:tc></w:tr><w:tr><w:tc><w:tcPr><w:vMerge/><w:tcPrChange><w:tcPr><w:vMerge w:val="restart"/></w:tcPr></w:tcPrChange></w:tcPr>` + run("") + `</w:tc><w:tc>` + run(`<w:r><w:t>c</w:t></w:r>`) + `</w:tc></w:tr></w:tbl>`, "| a | b |\n| a | c |"},
		{"a row that begins later", `<w:tbl><w:tr><w:trPr><w:gridBefore w:val="2"/></w:trPr><w:tc>` + run(`<w:r><w:t>a</w:t></w:r>`) + `</w:tc></w:tr></w:tbl>`, "| | | a |"},
		{"two tables", strings.Repeat(`<w:tbl><w:tr><w:tc>`+run(`<w:r><w:t>a</w:t></w:r>`)+`</w:tc></w:tr></w:tbl>`, 2), "| a |\n\n| a |"},
		{"invisible characters", run("<w:r><w:t>a\u202eb\u200bc</w:t></w:r>"), "abc"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, _, _, err := read(t, archive(t, "word/document.xml", body(tc.xml)))
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestNotesFollowTheirParagraph(t *testing.T) {
	t.Parallel()
	ref := func(kind string) string { return `<w:r><w:` + kind + `Reference w:id="2"/></w:r>` }
	note := func(kind string) string {
		return `<w:` + kind + `s><w:` + kind + ` w:type="separator" w:id="0">` + para("", "sep") + `</w:` + kind + `><w:` + kind + ` w:id="2">` + para("", "a "+kind) + `</w:` + kind + `></w:` + kind + `s>`
	}
	got, _, _, err := read(t, archive(t,
		"word/document.xml", body(`<w:p><w:r><w:t>One</w:t></w:r>`+ref("footnote")+`<w:r><w:t> two.</w:t></w:r>`+ref("endnote")+`</w:p>`+para("", "Next.")),
		"word/footnotes.xml", note("footnote"), "word/endnotes.xml", note("endnote")))
	want := "One two.\n\na footnote\n\na endnote\n\nNext."
	if err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestHeadingsComeFromStyles(t *testing.T) {
	t.Parallel()
	styles := `<w:styles xmlns:w="w">
	<w:style w:styleId="U1"><w:name w:val="heading 1"/></w:style>
	<w:style w:styleId="Own"><w:name w:val="Chapter"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>
	<w:style w:styleId="Child"><w:name w:val="Sub"/><w:basedOn w:val="Own"/></w:style>
	<w:style w:styleId="Loop"><w:basedOn w:val="Loop"/></w:style></w:styles>`
	text := ""
	for _, style := range []string{"U1", "Own", "Child", "Heading3", "Loop", "Unknown"} {
		text += para(`<w:pStyle w:val="`+style+`"/>`, style)
	}
	text += para(`<w:outlineLvl w:val="3"/>`, "direct") + para(`<w:outlineLvl w:val="9"/>`, "body")
	_, headings, res, err := read(t, archive(t, "word/document.xml", body(text), "word/styles.xml", styles))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range headings {
		got = append(got, fmt.Sprint(h.Level, " ", h.Text))
	}
	if diff := cmp.Diff([]string{"1 U1", "2 Own", "2 Child", "3 Heading3", "4 direct"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if res.Title != "U1" {
		t.Errorf("title %q", res.Title)
	}
}

func TestMainPartIsFoundByItsRelation(t *testing.T) {
	t.Parallel()
	rels := `<Relationships><Relationship Type="http://x/officeDocument" Target="/word/document2.xml"/></Relationships>`
	got, _, _, err := read(t, archive(t, "_rels/.rels", rels, "word/document2.xml", body(para("", "found"))))
	if err != nil || got != "found" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	t.Parallel()
	many := make([]string, 0, 25_000)
	for i := range 12_000 {
		many = append(many, fmt.Sprint("word/", i), "")
	}
	good := archive(t, "word/document.xml", body(strings.Repeat(para("", "a paragraph of the text"), 2000)))
	encrypted := bytes.Clone(good)
	encrypted[6] |= 1
	if i := bytes.LastIndex(encrypted, []byte("PK\x01\x02")); i >= 0 {
		encrypted[i+8] |= 1
	}
	for _, tc := range []struct {
		name, code string
		file       []byte
	}{
		{"inflates without end", "archive_bomb", archive(t, "word/document.xml", body(strings.Repeat(" ", 12*mib)))},
		{"bomb beside the text", "archive_bomb", archive(t, "word/document.xml", body(""), "word/styles.xml", body(strings.Repeat("\n", 12*mib)))},
		{"too many entries", "archive_bomb", archive(t, many...)},
		{"nests without end", "too_complex", archive(t, "word/document.xml", body(strings.Repeat("<w:sdt>", 5000)))},
		{"too much text", "too_much_text", archive(t, "word/document.xml", body(strings.Repeat(para("", strings.Repeat("text that differs ", 3000)), 25)))},
		{"cut off", "corrupt_document", good[:len(good)/2]},
		{"bits flipped", "corrupt_document", flip(good)},
		{"XML cut off", "corrupt_document", archive(t, "word/document.xml", "<w:document><w:body><w:p>")},
		{"XML unbalanced", "corrupt_document", archive(t, "word/document.xml", "<a></a></a>")},
		{"no XML", "corrupt_document", archive(t, "word/document.xml", "<<<>>>")},
		{"entities of its own", "corrupt_document", archive(t, "word/document.xml", `<!DOCTYPE x [<!ENTITY a "aaaa">]><w:p><w:r><w:t>&a;</w:t></w:r></w:p>`)},
		{"encrypted", "encrypted_document", encrypted},
		{"no archive", "corrupt_document", []byte("PK\x03\x04nothing")},
		{"no text part", "corrupt_document", archive(t, "a", "b")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, _, _, err := read(t, tc.file)
			if code, message := fault.Public(err); !fault.Is(err, fault.Permanent) || code != tc.code || message == "" {
				t.Errorf("error is %v (%s), want %s", err, code, tc.code)
			}
		})
	}
}

// flip breaks the packed data of the first entry.
func flip(file []byte) []byte {
	out := bytes.Clone(file)
	for i := 100; i < 140; i++ {
		out[i] ^= 0x5a
	}
	return out
}

func TestReadStops(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	file := archive(t, "word/document.xml", body(strings.Repeat(para("", "text"), 1000)))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	_, err := docx.Read(ctx, bytes.NewReader(file), int64(len(file)), mib, func(page.Page) error { return nil })
	if !errors.Is(err, stop) {
		t.Errorf("cancelled: %v", err)
	}
	_, err = docx.Read(t.Context(), bytes.NewReader(file), int64(len(file)), mib, func(page.Page) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("emit's error: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	sample, err := os.ReadFile("../testdata/handbook.docx")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add(archive(f, "word/document.xml", body(para("", "x"))))
	f.Fuzz(func(t *testing.T, file []byte) { survive(t, file) })
}

func FuzzDocument(f *testing.F) {
	f.Add(body(para(`<w:pStyle w:val="Heading1"/>`, "x")), "<w:styles/>", "<w:numbering/>", "<w:footnotes/>")
	f.Add(body(`<w:tbl><w:tr><w:tc><w:p/></w:tc></w:tr></w:tbl></w:tbl>`), `<w:style w:styleId="a"><w:basedOn w:val="a"/></w:style>`,
		`<w:num w:numId="1"><w:abstractNumId w:val="1"/></w:num>`, `<w:footnote w:id="1"><w:p><w:r><w:p/></w:r></w:p></w:footnote>`)
	f.Fuzz(func(t *testing.T, document, styles, numbering, notes string) {
		survive(t, archive(t, "word/document.xml", document, "word/styles.xml", styles, "word/numbering.xml", numbering, "word/footnotes.xml", notes))
	})
}

// survive reads file and checks what holds for any bytes.
func survive(t *testing.T, file []byte) {
	t.Helper()
	text, _, res, err := read(t, file)
	if err != nil && !fault.Is(err, fault.Permanent) {
		t.Errorf("error is not the document's: %v", err)
	}
	if page.Clean(text) != text || err == nil && int64(len(text)) != res.Bytes {
		t.Errorf("text of %d bytes is not clean, or not all of %d", len(text), res.Bytes)
	}
}
