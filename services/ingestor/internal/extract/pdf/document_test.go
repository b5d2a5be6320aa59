package pdf_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/pdf"
)

var update = flag.Bool("update", false, "write golden files") //nolint:gochecknoglobals // a test flag

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// render writes all a document says, as golden files keep it.
func render(t *testing.T, d *pdf.Document) string {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "title: %s\npages: %d\n", d.Title(), d.Pages())
	for n := 1; n <= d.Pages(); n++ {
		page, err := d.Page(t.Context(), n)
		if err != nil {
			t.Fatalf("page %d: %v", n, err)
		}
		checkPage(t, page)
		fmt.Fprintf(&out, "\n=== page %d, unreadable %d\n", n, page.Unreadable)
		for _, h := range page.Headings {
			fmt.Fprintf(&out, "--- heading %d at %d: %s\n", h.Level, h.Start, h.Text)
		}
		out.WriteString(page.Text + "\n")
	}
	return out.String()
}

// checkPage checks what every page promises.
func checkPage(t testing.TB, page pdf.Page) {
	t.Helper()
	if !utf8.ValidString(page.Text) || !norm.NFKC.IsNormalString(page.Text) {
		t.Errorf("text is not UTF-8 in NFKC: %q", page.Text)
	}
	if strings.Contains(page.Text, "\n\n\n") || strings.TrimSpace(page.Text) != page.Text {
		t.Errorf("text has stray blank lines: %q", page.Text)
	}
	runes := []rune(page.Text)
	last := -1
	for _, r := range page.Running {
		if r.Start <= last || r.End <= r.Start || r.End > len(runes) {
			t.Fatalf("running stretch out of order or range: %+v", r)
		}
		last = r.End
	}
	last = -1
	for _, h := range page.Headings {
		if h.Start <= last || h.Start >= len(runes) || h.Level < 1 || h.Level > 6 {
			t.Fatalf("heading out of order or range: %+v", h)
		}
		last = h.Start
		there := strings.Join(strings.Fields(string(runes[h.Start:])), " ")
		if !strings.HasPrefix(there, h.Text) || h.Text == "" {
			t.Errorf("heading %q does not stand at its offset %d", h.Text, h.Start)
		}
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.pdf")
	if err != nil || len(files) < 10 {
		t.Fatalf("only %d documents: %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.Contains(name, "password") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := render(t, open(t, readFile(t, name)))
			golden := filepath.Join("testdata", "golden", strings.TrimSuffix(name, ".pdf")+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// What encryption and structure do to a file changes nothing of its text.
func TestSameTextHoweverStored(t *testing.T) {
	t.Parallel()
	want := render(t, open(t, readFile(t, "groff.pdf")))
	for _, name := range []string{"qpdf-linear.pdf", "rc4-40.pdf", "aes-128.pdf", "aes-256.pdf"} {
		if diff := cmp.Diff(want, render(t, open(t, readFile(t, name)))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestOpenFaults(t *testing.T) {
	t.Parallel()
	many := newBuilder()
	many.object("<</Type/Catalog/Pages 2 0 R>>")
	many.object("<</Type/Pages/Kids[3 0 R]/Count 100000>>")
	many.object("<</Type/Page/Parent 2 0 R>>")
	none := newBuilder()
	none.object("<</Type/Catalog/Pages 2 0 R>>")
	none.object("<</Type/Pages/Kids[]/Count 0>>")
	foreign := bytes.Replace(readFile(t, "aes-256.pdf"), []byte("/Standard"), []byte("/Foreigns"), 1)
	cases := map[string]struct {
		data []byte
		code string
		says string
	}{
		"no bytes":               {nil, "empty_document", "empty"},
		"no pages":               {none.finish(), "empty_document", "no pages"},
		"not a PDF":              {[]byte(strings.Repeat("plain text\n", 50)), "pdf_damaged", "not a PDF"},
		"header only":            {[]byte("%PDF-1.7\n"), "pdf_damaged", "damaged"},
		"cut in the middle":      {readFile(t, "groff.pdf")[:600], "pdf_damaged", "damaged"},
		"password, AES-128":      {readFile(t, "aes-128-password.pdf"), "pdf_encrypted", "user password"},
		"password, AES-256":      {readFile(t, "aes-256-password.pdf"), "pdf_encrypted", "user password"},
		"other handler":          {foreign, "pdf_encryption_unsupported", "Foreigns"},
		"claims 100,000 pages":   {many.finish(), "too_many_pages", "20000 pages"},
		"a cross-reference loop": {[]byte("%PDF-1.4\nxref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 1/Root 1 0 R/Prev 9>>\nstartxref\n9\n%%EOF"), "pdf_damaged", "damaged"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pdf.Open(bytes.NewReader(c.data), int64(len(c.data)), pdf.Limits{})
			if !fault.Is(err, fault.Permanent) {
				t.Fatalf("error %v is no permanent fault", err)
			}
			code, message := fault.Public(err)
			if code != c.code || !strings.Contains(message, c.says) {
				t.Errorf("fault %s %q, want %s saying %q", code, message, c.code, c.says)
			}
		})
	}
}

// Damage to the file's skeleton does not lose its text.
func TestRepair(t *testing.T) {
	t.Parallel()
	whole := readFile(t, "groff.pdf")
	want := render(t, open(t, whole))
	objects := readFile(t, "qpdf-linear.pdf")
	middle := bytes.Index(whole, []byte("endobj\n")) + len("endobj\n")
	cases := map[string][]byte{
		"bytes before the header": append([]byte("HTTP/1.1 200 OK\r\n\r\n"), whole...),
		"bytes after the end":     append(bytes.Clone(whole), bytes.Repeat([]byte{0}, 4000)...),
		"no startxref":            bytes.ReplaceAll(whole, []byte("startxref"), []byte("startxxxx")),
		"all offsets shifted":     append(append(bytes.Clone(whole[:middle]), "% shifted\n"...), whole[middle:]...),
		"end cut off":             whole[:bytes.LastIndex(whole, []byte("xref"))-4],
		"version 2.0":             bytes.Replace(whole, []byte("%PDF-1."), []byte("%PDF-2."), 1),
		"object streams, no xref": bytes.ReplaceAll(objects, []byte("startxref"), []byte("startxxxx")),
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := render(t, open(t, data))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTitle(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"(Annual Report)":                    "Annual Report",
		"<FEFF00C4007200670065>":             "Ärge",
		"(Microsoft Word - Rules of Hire)":   "Rules of Hire",
		"(Microsoft Word - rules.doc)":       "",
		"(paper.dvi)":                        "",
		"(untitled)":                         "",
		"(  Two \\n  lines )":                "Two lines",
		"/NotAString":                        "",
		"(" + strings.Repeat("x", 600) + ")": "",
		"<EFBBBF E697A5E69CACE8AA9E>":        "日本語",
	}
	for raw, want := range cases {
		data := bytes.Replace(onePage("", "", "<</Title "+raw+">>"), []byte("/Root 1 0 R"), []byte("/Root 1 0 R/Info 5 0 R"), 1)
		if got := open(t, data).Title(); got != want {
			t.Errorf("title %s is %q, want %q", raw, got, want)
		}
	}
}
