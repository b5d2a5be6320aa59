package gateway

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// describing is what a caller may say about a document.
type describing struct {
	Title    string
	Source   string
	Metadata map[string]any
	ACL      []string
}

// Bounds of what describes a document.
const (
	maxTitleRunes    = 500
	maxSourceBytes   = 2048
	maxFilenameBytes = 255
)

func (d describing) check() error {
	if n := len([]rune(d.Title)); n > maxTitleRunes {
		return fault.Invalidf("invalid_title", "title has %d characters; the limit is %d", n, maxTitleRunes).WithField("title")
	}
	if strings.ContainsFunc(d.Title, isControl) {
		return fault.Invalidf("invalid_title", "title holds control characters").WithField("title")
	}
	if err := checkSource(d.Source); err != nil {
		return err
	}
	if err := corpus.CheckACL(d.ACL); err != nil {
		return err
	}
	return corpus.CheckMetadata(d.Metadata)
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

// parseJSONField reads a form or query field that holds JSON.
func parseJSONField(name, text string, into any) error {
	if text == "" {
		return nil
	}
	if err := checkJSON([]byte(text)); err != nil {
		return fault.Invalidf("invalid_"+name, "%s is not valid JSON", name).WithField(name).WithCause(err)
	}
	return decodeField(field{name, into}, json.RawMessage(text))
}

// mediaTypeOf returns a declared media type, when it is one. Extraction
// decides by content; this is what a download is labelled with.
func mediaTypeOf(declared string) string {
	kind, params, err := mime.ParseMediaType(declared)
	if err != nil || kind == "application/x-www-form-urlencoded" || len(declared) > 255 {
		return fiber.MIMEOctetStream
	}
	return mime.FormatMediaType(kind, params)
}

// cleanFilename returns the last element of a path, of whatever system,
// without what is not shown. It is for people only and never becomes a path.
func cleanFilename(name string) string {
	name = strings.ToValidUTF8(name, "")
	name = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
			return -1
		}
		return c
	}, name)
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	if name == "." || name == ".." || name == "/" {
		return ""
	}
	for len(name) > maxFilenameBytes {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return strings.TrimSpace(name)
}

// checkSource accepts a URL that a person may follow from a citation.
func checkSource(source string) error {
	if source == "" {
		return nil
	}
	bad := func(why string) error {
		return fault.Invalidf("invalid_source", "source %s", why).WithField("source")
	}
	if len(source) > maxSourceBytes {
		return bad(fmt.Sprintf("has %d bytes; the limit is %d", len(source), maxSourceBytes))
	}
	for _, c := range source {
		if !unicode.IsPrint(c) || c == ' ' {
			return bad("holds blanks or characters that cannot be printed; encode them with %")
		}
	}
	u, err := url.Parse(source)
	if err != nil || u.Scheme == "" {
		return bad("is not a URL with a scheme, such as https://example.com/page")
	}
	switch strings.ToLower(u.Scheme) {
	case "javascript", "data", "vbscript", "blob":
		return bad("has a scheme that a page could run; use https, or another that names a place")
	}
	return nil
}
