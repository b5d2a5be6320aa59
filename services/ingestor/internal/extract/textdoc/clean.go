package textdoc

import (
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// cleaner turns raw bytes into clean UTF-8, piece by piece: line ends become
// "\n", what [page.Invisible] names is dropped, and a byte that is not UTF-8
// is read as Windows-1252. Taking that decision byte by byte reads valid
// UTF-8, Latin-1 files and mixtures of both right without a first pass.
type cleaner struct {
	prev   rune
	cr     bool
	legacy int64
}

// plain is true for the bytes that pass as they are.
func plain(c byte) bool { return c >= 0x20 && c < 0x7f || c == '\n' || c == '\t' }

// append appends the clean form of src to dst. It returns dst and the tail
// of src that may be the beginning of a code point; with final there is none.
func (c *cleaner) append(dst, src []byte, final bool) (out, rest []byte) {
	for i := 0; i < len(src); {
		if c.cr {
			c.cr = false
			if src[i] == '\n' {
				i++
				continue
			}
		}
		start := i
		for i < len(src) && plain(src[i]) {
			i++
		}
		if i > start {
			dst = append(dst, src[start:i]...)
			c.prev = rune(src[i-1])
			continue
		}
		if src[i] < utf8.RuneSelf {
			dst = c.control(dst, src[i])
			i++
			continue
		}
		if !final && !utf8.FullRune(src[i:]) {
			return dst, src[i:]
		}
		var n int
		dst, n = c.wide(dst, src[i:])
		i += n
	}
	return dst, nil
}

// control handles a control character: a line end, or nothing.
func (c *cleaner) control(dst []byte, b byte) []byte {
	switch b {
	case '\r':
		c.cr = true
	case '\f', '\v':
	default:
		return dst
	}
	c.prev = '\n'
	return append(dst, '\n')
}

// wide handles one code point beyond ASCII, or one byte that is not UTF-8.
func (c *cleaner) wide(dst, src []byte) ([]byte, int) {
	r, size := utf8.DecodeRune(src)
	if r == utf8.RuneError && size == 1 {
		c.legacy++
		r = charmap.Windows1252.DecodeByte(src[0])
		if r == utf8.RuneError {
			return dst, 1
		}
	}
	switch {
	case r == 0x85 || r == 0x2028 || r == 0x2029:
		r = '\n'
	case page.Invisible(r, c.prev):
		return dst, size
	}
	c.prev = r
	return utf8.AppendRune(dst, r), size
}
