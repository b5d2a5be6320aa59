package extract

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/textdoc"
)

// sampleSize is how much of the beginning decides what a document is.
const sampleSize = 64 << 10

// Kind is what a document turned out to be.
type Kind struct {
	// MediaType is one of the media types of this package.
	MediaType string
	encoding  textdoc.Encoding
	charset   string
	trust     trust
}

// Detect tells what the size bytes in r are, by content. The declared media
// type and file name decide only what content leaves open. The fault is
// Permanent: "empty_document", "unsupported_media_type" (naming what it is,
// where that can be told, and what is supported) or "encrypted_document". Any
// zip archive passes for DOCX here: its directory is hostile input, and what
// it really is comes out in the child process.
func Detect(r io.ReaderAt, size int64, mediaType, filename string) (Kind, error) {
	sample := make([]byte, min(size, sampleSize))
	n, err := r.ReadAt(sample, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Kind{}, fmt.Errorf("read document: %w", err)
	}
	sample = sample[:n]
	if n == 0 {
		return Kind{}, emptyDocument()
	}
	if isPDF(sample) {
		return Kind{MediaType: PDF}, nil
	}
	if bytes.HasPrefix(sample, []byte("PK\x03\x04")) || bytes.HasPrefix(sample, []byte("PK\x05\x06")) {
		return Kind{MediaType: DOCX}, nil
	}
	if bytes.HasPrefix(sample, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")) {
		return Kind{}, oleFault(r, size)
	}
	if name := knownBinary(sample); name != "" {
		return Kind{}, unsupported(name)
	}
	k, err := detectText(sample, int64(n) < size, declare(mediaType, filename))
	if err == nil {
		k.undeclared(sample, validUTF8(sample, int64(n) < size), mediaType)
	}
	return k, err
}

// isPDF reports a PDF's header at the beginning, or at the beginning of a line
// further down, as mailers and printers leave it, where objects follow.
func isPDF(b []byte) bool {
	i := bytes.Index(b[:min(len(b), 1024)], []byte("%PDF-"))
	if i <= 0 {
		return i == 0
	}
	return (b[i-1] == '\n' || b[i-1] == '\r' || binaryBytes(b[:i])) && bytes.Contains(b[i:], []byte(" obj"))
}

func emptyDocument() error {
	return fault.Permanentf("empty_document", "the document is empty")
}

func unsupported(what string) error {
	if what != "" {
		what = " (it is " + what + ")"
	}
	return fault.Permanentf("unsupported_media_type", "the document cannot be read%s; supported are PDF, DOCX, HTML, Markdown and plain text", what)
}

// checkZip returns nil for a Word document, and the fault of the other things
// that a zip archive can be.
func checkZip(r io.ReaderAt, size int64) error {
	z, err := zip.NewReader(r, size)
	if err != nil {
		sample := make([]byte, min(size, sampleSize))
		n, readErr := r.ReadAt(sample, 0)
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return fmt.Errorf("read document: %w", readErr)
		}
		if bytes.Contains(sample[:n], []byte("word/")) || bytes.Contains(sample[:n], []byte("[Content_Types].xml")) {
			return fault.Permanentf("corrupt_document", "the Office file is damaged or cut off; save it again and upload it").WithCause(err)
		}
		return unsupported("a damaged zip archive")
	}
	what := "a zip archive"
	for _, f := range z.File {
		name := strings.ToLower(strings.TrimPrefix(strings.ReplaceAll(f.Name, `\`, "/"), "/"))
		switch {
		case strings.HasPrefix(name, "word/") && strings.HasSuffix(name, ".xml"):
			return nil
		case strings.HasPrefix(name, "xl/"):
			what = "an Excel workbook; save it as CSV or PDF"
		case strings.HasPrefix(name, "ppt/"):
			what = "a PowerPoint presentation; save it as PDF"
		case name == "content.xml":
			what = "an OpenDocument file; save it as DOCX or PDF"
		case name == "meta-inf/container.xml":
			what = "an EPUB book"
		case name == "androidmanifest.xml" || name == "meta-inf/manifest.mf":
			what = "a program archive"
		}
	}
	return unsupported(what)
}

// oleFault tells a password-protected Office file from an old binary one.
func oleFault(r io.ReaderAt, size int64) error {
	// Names in the compound file's directory are UTF-16; the directory may be anywhere in the first sectors or at the end.
	marker := []byte("E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e\x00")
	window := int64(1 << 20)
	for _, at := range []int64{0, max(size-window, 0)} {
		part := make([]byte, min(window, size))
		n, err := r.ReadAt(part, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read document: %w", err)
		}
		if bytes.Contains(part[:n], marker) {
			return fault.Permanentf("encrypted_document", "the Office document is protected with a password to open it; save it without one and upload it again")
		}
	}
	return unsupported("a binary Office file such as .doc, .xls or .ppt; save it as DOCX or PDF")
}

// knownBinary names a format by its first bytes, or returns "".
func knownBinary(b []byte) string {
	for _, m := range []struct{ magic, name string }{
		{"\x89PNG\r\n", "a PNG image; text in images would need OCR"},
		{"\xff\xd8\xff", "a JPEG image; text in images would need OCR"},
		{"GIF8", "a GIF image"},
		{"II*\x00", "a TIFF image; text in images would need OCR"},
		{"MM\x00*", "a TIFF image; text in images would need OCR"},
		{"BM\x00", "a bitmap image"},
		{"\x1f\x8b", "a gzip archive"},
		{"7z\xbc\xaf\x27\x1c", "a 7z archive"},
		{"Rar!\x1a", "a RAR archive"},
		{"\xfd7zXZ", "an xz archive"},
		{"\x28\xb5\x2f\xfd", "a zstd archive"},
		{"BZh", "a bzip2 archive"},
		{"\x7fELF", "a program"},
		{"MZ\x90", "a program"},
		{"{\\rtf", "an RTF document; save it as DOCX or PDF"},
		{"%!PS", "a PostScript document; convert it to PDF"},
		{"ID3", "a sound file"},
		{"OggS", "a sound file"},
		{"fLaC", "a sound file"},
		{"SQLite format 3\x00", "a database"},
	} {
		if bytes.HasPrefix(b, []byte(m.magic)) {
			return m.name
		}
	}
	if len(b) >= 12 {
		switch {
		case string(b[:4]) == "RIFF":
			return "an image, sound or video file"
		case string(b[4:8]) == "ftyp":
			return "a video or image file"
		case len(b) > 262 && string(b[257:262]) == "ustar":
			return "a tar archive"
		}
	}
	return ""
}

// declared is what the uploader says the document is.
type declared struct {
	mediaType, charset, extension string
}

func declare(mediaType, filename string) declared {
	d := declared{extension: strings.ToLower(filepath.Ext(filename))}
	parsed, params, err := mime.ParseMediaType(mediaType)
	if err == nil {
		d.mediaType, d.charset = parsed, params["charset"]
	}
	return d
}

func (d declared) markdown() bool {
	switch d.extension {
	case ".md", ".markdown", ".mdown", ".mkd", ".mdx":
		return true
	}
	return d.mediaType == Markdown || d.mediaType == "text/x-markdown"
}

func (d declared) html() bool {
	switch d.extension {
	case ".html", ".htm", ".xhtml":
		return true
	}
	return d.mediaType == HTML || d.mediaType == "application/xhtml+xml"
}

// detectText tells the kinds of text apart, and text from other bytes.
func detectText(sample []byte, more bool, d declared) (Kind, error) {
	k := Kind{MediaType: Text, charset: d.charset}
	ascii := sample
	switch {
	case bytes.HasPrefix(sample, []byte("\xff\xfe")):
		k.encoding = textdoc.UTF16LE
	case bytes.HasPrefix(sample, []byte("\xfe\xff")):
		k.encoding = textdoc.UTF16BE
	default:
		k.encoding = wideEncoding(sample)
	}
	if k.encoding == textdoc.UTF8 {
		if binaryBytes(sample) {
			return Kind{}, unsupported("not text")
		}
		if validUTF8(sample, more) && !isASCII(sample) {
			k.charset = ""
		}
	} else if ascii = narrow(sample, k.encoding); binaryBytes(ascii) {
		return Kind{}, unsupported("not text")
	}
	ascii = bytes.TrimPrefix(ascii, []byte("\xef\xbb\xbf"))
	switch {
	case looksHTML(ascii, d):
		k.MediaType = HTML
	case d.markdown() || looksMarkdown(ascii):
		k.MediaType = Markdown
	}
	return k, nil
}

// wideEncoding finds UTF-16 without a byte order mark by where its zero bytes are.
func wideEncoding(b []byte) textdoc.Encoding {
	if len(b) < 4 {
		return textdoc.UTF8
	}
	var zeros [2]int
	for i, c := range b {
		if c == 0 {
			zeros[i&1]++
		}
	}
	half := len(b) / 2
	switch {
	case zeros[1]*10 > half*4 && zeros[0]*20 < half:
		return textdoc.UTF16LE
	case zeros[0]*10 > half*4 && zeros[1]*20 < half:
		return textdoc.UTF16BE
	}
	return textdoc.UTF8
}

// narrow returns the ASCII of UTF-16 text, other characters as "?".
func narrow(b []byte, enc textdoc.Encoding) []byte {
	out := make([]byte, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		lo, hi := b[i], b[i+1]
		if enc == textdoc.UTF16BE {
			lo, hi = hi, lo
		}
		switch {
		case hi == 0xfe && lo == 0xff:
		case hi == 0 && lo < utf8.RuneSelf:
			out = append(out, lo)
		default:
			out = append(out, '?')
		}
	}
	return out
}

// binaryBytes reports whether b holds more control characters than text does:
// a stray one per thousand is tolerated, and dropped later.
func binaryBytes(b []byte) bool {
	control := 0
	for _, c := range b {
		if c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != '\v' && c != 0x1b && c != 0x1a && c != '\b' {
			control++
		}
	}
	return control*1000 > len(b)
}

// validUTF8 reports whether b is UTF-8; with more, a code point may be cut off at its end.
func validUTF8(b []byte, more bool) bool {
	if more {
		for i := 1; i <= utf8.UTFMax && i <= len(b); i++ {
			if utf8.RuneStart(b[len(b)-i]) {
				if !utf8.FullRune(b[len(b)-i:]) {
					b = b[:len(b)-i]
				}
				break
			}
		}
	}
	return utf8.Valid(b)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
