package event

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// Passages are nearly all of what a question sends, so they are written and
// read here by hand, each in one pass: [appendPassages] writes valid text as
// encoding/json does, byte for byte, and [readPassages] reads exactly that form. JSON of any other form is valid too; the general decoder has it.

// appendPassages appends the JSON of a list. A score that is no finite number is an error.
func appendPassages(b []byte, list []corpus.Passage) ([]byte, error) {
	b = append(b, '[')
	var err error
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendPassage(b, &list[i]); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// The names of a passage's members, in the order of [corpus.Passage].
const (
	nameID        = `{"id":`
	nameDocument  = `,"document_id":`
	nameVersion   = `,"version":`
	nameTitle     = `,"title":`
	nameSource    = `,"source":`
	nameSection   = `,"section":`
	namePageStart = `,"page_start":`
	namePageEnd   = `,"page_end":`
	nameCharStart = `,"char_start":`
	nameCharEnd   = `,"char_end":`
	nameText      = `,"text":`
	nameScore     = `,"score":`
	nameKeyword   = `,"scores":{"keyword":`
	nameDense     = `,"dense":`
	endPassage    = `}}`
	none          = "null"
)

func appendPassage(b []byte, p *corpus.Passage) ([]byte, error) {
	b = appendText(append(b, nameID...), p.ID)
	b = appendText(append(b, nameDocument...), p.DocumentID)
	b = appendText(append(b, nameVersion...), p.Version)
	b = appendText(append(b, nameTitle...), p.Title)
	b = append(b, nameSource...)
	if p.Source != nil {
		b = appendText(b, *p.Source)
	} else {
		b = append(b, none...)
	}
	b = appendText(append(b, nameSection...), p.Section)
	b = appendPage(append(b, namePageStart...), p.PageStart)
	b = appendPage(append(b, namePageEnd...), p.PageEnd)
	b = strconv.AppendInt(append(b, nameCharStart...), int64(p.CharStart), 10)
	b = strconv.AppendInt(append(b, nameCharEnd...), int64(p.CharEnd), 10)
	b = appendText(append(b, nameText...), p.Text)
	b, err := appendNumber(append(b, nameScore...), &p.Score)
	if err != nil {
		return nil, err
	}
	if b, err = appendNumber(append(b, nameKeyword...), p.Scores.Keyword); err != nil {
		return nil, err
	}
	if b, err = appendNumber(append(b, nameDense...), p.Scores.Dense); err != nil {
		return nil, err
	}
	return append(b, endPassage...), nil
}

func appendPage(b []byte, page *int) []byte {
	if page == nil {
		return append(b, none...)
	}
	return strconv.AppendInt(b, int64(*page), 10)
}

func appendNumber(b []byte, f *float64) ([]byte, error) {
	if f == nil {
		return append(b, none...), nil
	}
	if size := math.Abs(*f); size == 0 || size >= 1e-6 && size < 1e21 {
		return strconv.AppendFloat(b, *f, 'f', -1, 64), nil
	}
	text, err := json.Marshal(*f)  // with an exponent, or refused
	return append(b, text...), err //nolint:wrapcheck // NewPassages says of what
}

// appendText appends a string in quotes. Besides what JSON forbids, what HTML
// and JavaScript take for their own is escaped.
func appendText(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string([]rune(s)) // U+FFFD for each wrong byte
	}
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if plainBytes[c] {
			continue
		}
		if c == lineSeparator[0] {
			if i+2 < len(s) && s[i+1] == lineSeparator[1] && s[i+2]&^1 == lineSeparator[2] {
				b = append(append(b, s[from:i]...), `\u202`...)
				b = append(b, hex[s[i+2]&0xf])
				from = i + 3
			}
			continue
		}
		b = append(append(b, s[from:i]...), '\\')
		from = i + 1
		if short := strings.IndexByte(escapedBytes, c); short >= 0 {
			b = append(b, escapeLetters[short])
		} else {
			b = append(b, 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	return append(append(b, s[from:]...), '"')
}

const (
	// escapedBytes and escapeLetters are what has a short escape, and its letters.
	escapedBytes  = "\"\\\b\f\n\r\t"
	escapeLetters = `"\bfnrt`
	// lineSeparator and the paragraph separator after it end a line in JavaScript.
	lineSeparator = "\u2028"
)

// plainBytes are the bytes of valid UTF-8 that stand for themselves in a string.
var plainBytes = func() (plain [256]bool) { //nolint:gochecknoglobals // never changed
	for c := range plain {
		plain[c] = c >= ' ' && !strings.ContainsRune(`"\<>&`, rune(c)) && byte(c) != lineSeparator[0]
	}
	return plain
}()

// readPassages reads a list as [appendPassages] writes it and returns what is
// behind it. It is false for every other form, be it JSON or not. The list
// shares nothing with data.
func readPassages(data []byte) (list []corpus.Passage, rest []byte, ok bool) {
	if !utf8.Valid(data) || hasControl(data) {
		return nil, nil, false
	}
	const usual = 8 // passages in a list
	r := passageReader{data: data, ok: true}
	r.texts.Grow(len(data)) // no text is longer than its JSON
	list = make([]corpus.Passage, 0, usual)
	for separator := "["; r.ok && !r.skip("]"); separator = "," {
		r.expect(separator)
		list = append(list, r.passage())
	}
	return list, r.data, r.ok && len(list) > 0
}

// hasControl reports whether there is a control character, which JSON has
// only in escapes, or white space between its values other than a space.
func hasControl(data []byte) bool {
	// A byte below 0x20 borrows from its own highest bit when that is taken away.
	const each = 0x0101010101010101
	for ; len(data) >= 8; data = data[8:] {
		if x := binary.NativeEndian.Uint64(data); (x-0x20*each)&^x&(0x80*each) != 0 {
			return true
		}
	}
	for _, c := range data {
		if c < 0x20 {
			return true
		}
	}
	return false
}

// passageReader takes passages off the beginning of data. After something
// that does not fit, ok is false and what it returns means nothing.
type passageReader struct {
	data []byte
	ok   bool
	// texts has room for all texts: they are pieces of one string.
	texts strings.Builder
}

func (r *passageReader) passage() corpus.Passage {
	var p corpus.Passage
	r.expect(nameID)
	p.ID = r.text()
	r.expect(nameDocument)
	p.DocumentID = r.text()
	r.expect(nameVersion)
	p.Version = r.text()
	r.expect(nameTitle)
	p.Title = r.text()
	r.expect(nameSource)
	if !r.skip(none) {
		p.Source = new(r.text())
	}
	r.expect(nameSection)
	p.Section = r.text()
	r.expect(namePageStart)
	p.PageStart = r.page()
	r.expect(namePageEnd)
	p.PageEnd = r.page()
	r.expect(nameCharStart)
	p.CharStart = r.integer()
	r.expect(nameCharEnd)
	p.CharEnd = r.integer()
	r.expect(nameText)
	p.Text = r.text()
	r.expect(nameScore)
	p.Score = r.number()
	r.expect(nameKeyword)
	p.Scores.Keyword = r.score()
	r.expect(nameDense)
	p.Scores.Dense = r.score()
	r.expect(endPassage)
	return p
}

// skip takes what comes next if it is s.
func (r *passageReader) skip(s string) bool {
	if len(r.data) < len(s) || string(r.data[:len(s)]) != s {
		return false
	}
	r.data = r.data[len(s):]
	return true
}

func (r *passageReader) expect(s string) {
	if !r.skip(s) {
		r.fail()
	}
}

func (r *passageReader) fail() { r.data, r.ok = nil, false }

// text reads a string. What is between escapes is copied as it is: it has
// been seen to be UTF-8 without control characters.
func (r *passageReader) text() string {
	r.expect(`"`)
	begin, from, end := r.texts.Len(), 0, -1
	for {
		if end < from { // the quote that was found before was an escaped one
			n := bytes.IndexByte(r.data[from:], '"')
			if n < 0 {
				r.fail()
				return ""
			}
			end = from + n
		}
		n := bytes.IndexByte(r.data[from:end], '\\')
		if n < 0 {
			r.texts.Write(r.data[from:end])
			r.data = r.data[end+1:]
			return r.texts.String()[begin:]
		}
		r.texts.Write(r.data[from : from+n])
		from += n + 1
		if n = r.escape(r.data[from:]); n == 0 {
			r.fail()
			return ""
		}
		from += n
	}
}

// escape writes the character of an escape without its backslash and returns
// its length, 0 for one that is not read here.
func (r *passageReader) escape(s []byte) int {
	const hexDigits = 4
	if len(s) == 0 {
		return 0
	}
	if i := strings.IndexByte(escapeLetters, s[0]); i >= 0 {
		r.texts.WriteByte(escapedBytes[i])
		return 1
	}
	if s[0] != 'u' || len(s) <= hexDigits {
		return 0
	}
	c := rune(0)
	for _, digit := range s[1 : 1+hexDigits] {
		switch {
		case digit >= '0' && digit <= '9':
			c = c<<4 | rune(digit-'0')
		case digit >= 'a' && digit <= 'f':
			c = c<<4 | rune(digit-'a'+10)
		default:
			return 0
		}
	}
	if !utf8.ValidRune(c) { // half of a pair
		return 0
	}
	r.texts.WriteRune(c)
	return 1 + hexDigits
}

// digits takes what a number may be made of.
func (r *passageReader) digits(of string) []byte {
	n := 0
	for n < len(r.data) && strings.IndexByte(of, r.data[n]) >= 0 {
		n++
	}
	taken := r.data[:n]
	r.data = r.data[n:]
	return taken
}

func (r *passageReader) integer() int {
	text := r.digits("-0123456789")
	n, err := strconv.Atoi(string(text))
	if err != nil || !isNumber(text) {
		r.fail()
	}
	return n
}

func (r *passageReader) number() float64 {
	text := r.digits("-0123456789.e+")
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !isNumber(text) {
		r.fail()
	}
	return f
}

// isNumber reports whether what Go reads as a number is one of JSON: it does
// not begin with a plus, a point or a zero too many, and a point is followed by a digit.
func isNumber(text []byte) bool {
	isDigit := func(i int) bool { return i < len(text) && text[i] >= '0' && text[i] <= '9' }
	first := 0
	if len(text) > 0 && text[0] == '-' {
		first = 1
	}
	if !isDigit(first) || text[first] == '0' && isDigit(first+1) {
		return false
	}
	point := bytes.IndexByte(text, '.')
	return point < 0 || isDigit(point+1)
}

func (r *passageReader) page() *int {
	if r.skip(none) {
		return nil
	}
	return new(r.integer())
}

func (r *passageReader) score() *float64 {
	if r.skip(none) {
		return nil
	}
	return new(r.number())
}
