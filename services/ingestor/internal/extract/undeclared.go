package extract

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/guess"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/textdoc"
)

// trust is how sure it is that a text is read in its own encoding.
type trust int

const (
	// trusted: it is UTF-8 or UTF-16, or says what it is.
	trusted trust = iota
	// western: it says nothing and is read as Windows-1252.
	western
	// guessed: it says nothing and is read as what it looks like.
	guessed
	// doubtful: it says nothing, is read as Windows-1252, and looks wrong.
	doubtful
)

// askForUTF8 ends a warning about an encoding that was not declared.
const askForUTF8 = "send it as UTF-8, or declare its encoding in its Content-Type (text/…; charset=…)"

// undeclared completes what is known of a text that does not say its
// encoding. What is not UTF-8 is guessed at, else read as Windows-1252; HTML
// that is UTF-8 is told so, since its reader looks at its beginning only.
func (k *Kind) undeclared(sample []byte, utf8Text bool, mediaType string) {
	if k.encoding != textdoc.UTF8 || isASCII(sample) || k.MediaType == HTML && htmlDeclares(sample, mediaType) {
		return
	}
	if _, err := htmlindex.Get(k.charset); err == nil {
		return
	}
	k.charset = ""
	name, wrong := guess.Charset(sample)
	switch {
	case utf8Text || name == "utf-8":
		if k.MediaType == HTML {
			k.charset = "utf-8"
		}
	case name != "":
		k.charset, k.trust = name, guessed
	case wrong:
		k.trust = doubtful
	default:
		k.trust = western
	}
}

// htmlDeclares reports whether a page says its encoding: in its Content-Type,
// by a byte order mark or in a meta element. What its reader assumes without
// depends on the letters it sees, what a page says does not.
func htmlDeclares(sample []byte, mediaType string) bool {
	head := bytes.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, sample[:min(len(sample), 1024)])
	if _, _, certain := charset.DetermineEncoding(sample, mediaType); certain {
		return true
	}
	_, bare, _ := charset.DetermineEncoding(head, "")
	_, foreign, _ := charset.DetermineEncoding(append([]byte("é"), head...), "")
	return bare == foreign
}

// warning says in words for the uploader how a text was read, "" when there is no doubt.
func (k *Kind) warning() string {
	switch k.trust {
	case guessed:
		return fmt.Sprintf("the file does not say its encoding and was read as %s, which it looks like; if that is wrong, %s", k.charset, askForUTF8)
	case doubtful:
		return "the file does not say its encoding, was read as Windows-1252, and looks wrong: " + askForUTF8
	case western:
		if k.MediaType == HTML {
			return "the file does not say its encoding, is not UTF-8, and was read as Windows-1252; if that is wrong, " + askForUTF8
		}
	case trusted:
	}
	return ""
}
