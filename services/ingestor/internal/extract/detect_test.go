package extract

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/textdoc"
)

func wide(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(u))
		b.WriteByte(byte(u >> 8))
	}
	return b.String()
}

func TestDetectGoesByContent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, content, mediaType, filename, want string }{
		{"PDF called text", "%PDF-1.7\n%\xe2\xe3\n", "text/plain", "a.txt", PDF},
		{"PDF after junk", "\r\n\x00\x01junk\n%PDF-1.4\n1 0 obj\n", "", "", PDF},
		{"text about PDF", "A file begins with %PDF-1.7 and goes on.", "application/pdf", "a.pdf", Text},
		{"HTML page called text", "  <!-- c -->\n<!DOCTYPE HTML>\n<p>x", "text/plain", "a.txt", HTML},
		{"XHTML", "<?xml version=\"1.0\"?>\n<html xmlns=\"x\">", "", "", HTML},
		{"HTML with a byte order mark", "\xef\xbb\xbf<html><p>x", "", "", HTML},
		{"HTML in UTF-16", wide("\ufeff<html><body>text</body>"), "", "", HTML},
		{"HTML fragment by name", "Hello <b>you</b> <i>there</i>", "", "x.HTM", HTML},
		{"text with a tag", "Hello <b>you</b> there", "", "", Text},
		{"other XML", "<?xml version=\"1.0\"?><feed><entry/></feed>", "application/xml", "a.xml", Text},
		{"Markdown that begins with an element", "<div align=\"center\">\n\n# Title\n", "", "README.md", Markdown},
		{"whole page called Markdown", "<!doctype html><html><p>x", "text/markdown", "a.md", HTML},
		{"Markdown by name", "just words", "", "NOTES.MD", Markdown},
		{"Markdown by type", "just words", "text/markdown; charset=utf-8", "", Markdown},
		{"Markdown by structure", "# A\n\nSee [this](https://x.org).\n\n## B\n", "application/octet-stream", "x", Markdown},
		{"shell script", "#!/bin/sh\n\n# Say\n\necho \"[x](y)\"\n\n## More\n", "", "a.sh", Text},
		{"comments in code", "# a comment\n\nx = 1\n\n## another\n", "", "a.py", Text},
		{"CSV", "a,b\n1,2\n", "text/csv", "a.csv", Text},
		{"Latin-1", "Caf\xe9 \xe0 la carte", "", "", Text},
		{"UTF-16 without a mark", wide("plain text without a mark"), "", "", Text},
		{"a stray control character", strings.Repeat("text ", 500) + "\x01", "", "", Text},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			k, err := Detect(strings.NewReader(tc.content), int64(len(tc.content)), tc.mediaType, tc.filename)
			if err != nil || k.MediaType != tc.want {
				t.Errorf("got %q, %v; want %q", k.MediaType, err, tc.want)
			}
		})
	}
}

func TestDetectReadsCharset(t *testing.T) {
	t.Parallel()
	k, err := Detect(strings.NewReader("abc\x83e"), 5, "text/plain; charset=shift_jis", "")
	if err != nil || k.charset != "shift_jis" || k.encoding != textdoc.UTF8 {
		t.Errorf("got %+v, %v", k, err)
	}
	utf8Text := "größer"
	k, err = Detect(strings.NewReader(utf8Text), int64(len(utf8Text)), "text/plain; charset=iso-8859-1", "")
	if err != nil || k.charset != "" {
		t.Errorf("valid UTF-8 is not believed: %+v, %v", k, err)
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	zipOf := func(name string) string { return string(makeZip(t, map[string]string{name: "x"})) }
	ole := "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + strings.Repeat("\x00", 600)
	for _, tc := range []struct{ name, content, code, says string }{
		{"empty", "", "empty_document", "empty"},
		{"white space", " \n\t\n", "empty_document", "empty"},
		{"image", "\x89PNG\r\n\x1a\n\x00\x00", "unsupported_media_type", "OCR"},
		{"sound or video", "RIFF1234WAVEfmt ", "unsupported_media_type", "video"},
		{"RTF", `{\rtf1 hello}`, "unsupported_media_type", "RTF"},
		{"bytes", "\x00\x01\x02\x03\x04\x05\x06\x07" + strings.Repeat("\x00\xff\x10", 99), "unsupported_media_type", "supported are PDF, DOCX, HTML, Markdown and plain text"},
		{"old Word", ole, "unsupported_media_type", ".doc"},
		{"Office with a password", ole + wide("EncryptedPackage") + "\x00\x00", "encrypted_document", "password"},
		{"workbook", zipOf("xl/workbook.xml"), "unsupported_media_type", "Excel"},
		{"presentation", zipOf("ppt/presentation.xml"), "unsupported_media_type", "PowerPoint"},
		{"OpenDocument", zipOf("content.xml"), "unsupported_media_type", "OpenDocument"},
		{"archive", zipOf("a.txt"), "unsupported_media_type", "zip archive"},
		{"empty archive", "PK\x05\x06" + strings.Repeat("\x00", 18), "unsupported_media_type", "zip archive"},
		{"half an archive", "PK\x03\x04abc", "unsupported_media_type", "damaged"},
		{"half a Word document", zipOf("word/document.xml")[:40] + "word/document.xml", "corrupt_document", "damaged"},
		{"Word without text", zipOf("word/other.xml"), "corrupt_document", "no Word document"},
		{"Word bomb", string(makeZip(t, map[string]string{"word/document.xml": strings.Repeat(" ", 12<<20)})), "archive_bomb", "inflates"},
		{"Word cut off", string(mustRead(t, "testdata/handbook.docx")[:20_000]), "corrupt_document", "damaged"},
		{"PDF cut off to nothing", string(mustRead(t, "testdata/rules.pdf")[:200]), "pdf_damaged", ""},
		{"HTML without text", "<html><script>x</script><img src=x>", "no_text", "no text"},
		{"not really a PDF", "%PDF-1.7\nnothing here", "pdf_damaged", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := run(t, extractor(t, Limits{}), Source{File: file(t, tc.content)})
			wantFault(t, err, tc.code)
			if _, message := fault.Public(err); !strings.Contains(message, tc.says) {
				t.Errorf("message %q does not say %q", message, tc.says)
			}
		})
	}
}

func FuzzDetect(f *testing.F) {
	f.Add([]byte("%PDF-"), "", "")
	f.Add([]byte("<html>"), "text/html; charset=x", "a.md")
	f.Add([]byte("\xff\xfeh\x00i\x00"), "text/plain", "")
	f.Add([]byte("# a\n\n| b |\n|---|\n"), "", "")
	f.Add([]byte("PK\x03\x04"), "", "")
	f.Fuzz(func(t *testing.T, content []byte, mediaType, filename string) {
		k, err := Detect(bytes.NewReader(content), int64(len(content)), mediaType, filename)
		if err == nil && k.MediaType == "" || err != nil && !fault.Is(err, fault.Permanent) {
			t.Errorf("got %+v, %v", k, err)
		}
		if err := checkZip(bytes.NewReader(content), int64(len(content))); err != nil && !fault.Is(err, fault.Permanent) {
			t.Errorf("zip: %v", err)
		}
	})
}

func TestSourceKeepsItsPosition(t *testing.T) {
	t.Parallel()
	f := file(t, "<html><p>hello")
	if _, err := f.Seek(3, 0); err != nil {
		t.Fatal(err)
	}
	got, _, err := run(t, extractor(t, Limits{}), Source{File: f})
	if err != nil || len(got) != 1 || got[0] != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if at, err := f.Seek(0, 1); err != nil || at != 3 {
		t.Errorf("position is %d, %v", at, err)
	}
}

func TestClosedFileIsNotTheDocumentsFault(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(t, extractor(t, Limits{}), Source{File: f}); err == nil || !fault.Retryable(err) {
		t.Errorf("error is %v", err)
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
