package docx

import (
	"archive/zip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/net/html/charset"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Guards against archives made to exhaust a reader. The anchors are those of
// document extraction services in the field: 10,000 entries, 500 MB inflated,
// a ratio that ordinary documents stay far below, nesting of 100 and more.
const (
	maxEntries  = 10_000
	maxInflated = 512 << 20
	// maxRatio is inflated to packed size, asked once ratioFrom bytes are inflated.
	maxRatio  = 200
	ratioFrom = 8 << 20
	maxDepth  = 256
)

// archive reads parts of a document under the guards. The sizes that the
// archive claims are not believed; what is inflated is counted.
type archive struct {
	entries  map[string]*zip.File
	inflated int64
	packed   int64
}

func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, damaged(err)
	}
	if len(z.File) > maxEntries {
		return nil, fault.Permanentf("archive_bomb", "the DOCX archive has %d entries; the limit is %d", len(z.File), maxEntries)
	}
	a := &archive{entries: make(map[string]*zip.File, len(z.File)), packed: size}
	for _, f := range z.File {
		name := strings.ToLower(strings.TrimPrefix(path.Clean(strings.ReplaceAll(f.Name, `\`, "/")), "/"))
		if _, twice := a.entries[name]; !twice {
			a.entries[name] = f
		}
	}
	return a, nil
}

func (a *archive) has(name string) bool { return a.entries[strings.ToLower(name)] != nil }

// errMissing says that the archive has no such part.
var errMissing = errors.New("no such part in the archive")

// walk opens the part called name and hands fn a decoder over it.
func (a *archive) walk(name string, fn func(*reader) error) error {
	f := a.entries[strings.ToLower(name)]
	if f == nil {
		return fmt.Errorf("%s: %w", name, errMissing)
	}
	if f.Flags&1 != 0 {
		return fault.Permanentf("encrypted_document", "the DOCX archive is encrypted; save the document without a password and upload it again")
	}
	rc, err := f.Open()
	if err != nil {
		return damaged(err)
	}
	defer rc.Close() //nolint:errcheck // reading only: nothing is lost by a failing close
	dec := xml.NewDecoder(&guard{r: rc, archive: a})
	dec.CharsetReader = charset.NewReaderLabel
	return fn(&reader{dec: dec})
}

// guard counts what is inflated.
type guard struct {
	r       io.Reader
	archive *archive
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	a := g.archive
	a.inflated += int64(n)
	if a.inflated > maxInflated || a.inflated > ratioFrom && a.inflated/max(a.packed, 1) > maxRatio {
		return n, fault.Permanentf("archive_bomb", "the DOCX archive inflates to far more than a document of its size holds; it was not read")
	}
	return n, err //nolint:wrapcheck // a reader hands io.EOF through as it is
}

// reader yields the tokens of one XML part and follows their nesting.
type reader struct {
	dec   *xml.Decoder
	depth int
}

// next returns the next start, end or text token; io.EOF at the end of the part.
func (r *reader) next() (xml.Token, error) {
	for {
		tok, err := r.dec.RawToken()
		if errors.Is(err, io.EOF) {
			if r.depth > 0 {
				return nil, damaged(io.ErrUnexpectedEOF)
			}
			return nil, io.EOF
		}
		if err != nil {
			return nil, damaged(err)
		}
		switch tok.(type) {
		case xml.StartElement:
			r.depth++
			if r.depth > maxDepth {
				return nil, fault.Permanentf("too_complex", "the DOCX nests its elements more than %d deep", maxDepth)
			}
			return tok, nil
		case xml.EndElement:
			r.depth--
			if r.depth < 0 {
				return nil, damaged(errors.New("an element ends that was not opened"))
			}
			return tok, nil
		case xml.CharData:
			return tok, nil
		}
	}
}

// skip reads past the end of the element whose start was just returned.
func (r *reader) skip() error {
	for outer := r.depth - 1; r.depth > outer; {
		if _, err := r.next(); err != nil {
			return err
		}
	}
	return nil
}

// damaged makes err the fault of a broken file, unless it is a fault already.
func damaged(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return fault.Permanentf("corrupt_document", "the DOCX file is damaged or cut off; open it in a word processor, save it and upload it again").WithCause(err)
}

// attr returns the attribute with the local name, in any name space.
func attr(e xml.StartElement, local string) string {
	for _, a := range e.Attr {
		if a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

// on reports whether a toggle element such as <w:vanish/> switches on.
func on(e xml.StartElement) bool {
	switch attr(e, "val") {
	case "0", "false", "off":
		return false
	}
	return true
}
