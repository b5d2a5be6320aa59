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
// read here by hand, each in one pass: [appendPassages] writes them as
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
// and JavaScript take for their own is escaped: the latter has U+2028 and
// U+2029 end a line. A byte that is not UTF-8 becomes U+FFFD.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from, next := 0, 0 // where what is not written begins, and the next character
	for i := range len(s) {
		c := s[i]
		if plainBytes[c] || i < next {
			continue
		}
		if c < utf8.RuneSelf {
			b = append(append(b, s[from:i]...), '\\')
			if short := strings.IndexByte(escapedBytes, c); short >= 0 {
				b = append(b, escapeLetters[short])
			} else {
				b = append(b, 'u', '0', '0', hex[c>>4], hex[c&0xf])
			}
			from = i + 1
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		next = i + size
		if r == '\u2028' || r == '\u2029' || r == utf8.RuneError && size == 1 {
			b = append(append(b, s[from:i]...), '\\', 'u', hex[r>>12], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
			from = next
		}
	}
	return append(append(b, s[from:]...), '"')
}

// escapedBytes and escapeLetters are what has a short escape, and its letters.
const (
	escapedBytes  = "\"\\\b\f\n\r\t"
	escapeLetters = `"\bfnrt`
)

// plainBytes are the characters of ASCII that stand for themselves in a string.
var plainBytes = func() (plain [256]bool) { //nolint:gochecknoglobals // never changed
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = !strings.ContainsRune(`"\<>&`, c)
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

// word takes everything up to the next comma or bracket.
func (r *passageReader) word() []byte {
	n := 0
	for n < len(r.data) && r.data[n] != ',' && r.data[n] != '}' && r.data[n] != ']' {
		n++
	}
	taken := r.data[:n]
	r.data = r.data[n:]
	return taken
}

func (r *passageReader) integer() int {
	text := r.word()
	n, err := strconv.Atoi(string(text))
	if err != nil || !isNumber(text) {
		r.fail()
	}
	return n
}

func (r *passageReader) number() float64 {
	text := r.word()
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !isNumber(text) {
		r.fail()
	}
	return f
}

// isNumber reports whether what [strconv] reads as a number is one of JSON
// too: it is decimal, does not begin with a plus, a point or a zero too many,
// and has a digit behind the point.
func isNumber(text []byte) bool {
	isDigit := func(i int) bool { return i < len(text) && text[i] >= '0' && text[i] <= '9' }
	first := 0
	if len(text) > 0 && text[0] == '-' {
		first = 1
	}
	if !isDigit(first) || text[first] == '0' && isDigit(first+1) {
		return false
	}
	for i, c := range text[first:] {
		if !isDigit(first+i) && c != '-' && c != '+' && c != 'e' && c != 'E' && (c != '.' || !isDigit(first+i+1)) {
			return false
		}
	}
	return true
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
