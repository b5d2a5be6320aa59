package pdf

import "math"

// kind is the type of one parsed object.
type kind uint8

const (
	kindEOF kind = iota
	kindNumber
	kindString
	kindName
	kindArray
	kindDict
	kindWord // an operator, true, false, null, or anything else that is a bare word
	kindRef  // n g R; only when the lexer allows references
)

// maxNesting bounds arrays and dictionaries inside each other.
const maxNesting = 64

// object is a parsed PDF object. Its bytes may alias the lexer's input or a
// buffer that the lexer reuses after reset; copy what must live longer.
type object struct {
	kind kind
	num  float64  // a number, or the object number of a reference
	gen  int      // the generation of a reference
	b    []byte   // a string, name or word
	arr  []object // the elements of an array, or a dictionary's keys and values in turn
}

// is reports whether o is the given bare word.
func (o object) is(word string) bool { return o.kind == kindWord && string(o.b) == word }

// integer returns a number cut to the range of a 32-bit integer.
func (o object) integer() int {
	switch {
	case o.kind != kindNumber && o.kind != kindRef, math.IsNaN(o.num):
		return 0
	case o.num > math.MaxInt32:
		return math.MaxInt32
	case o.num < math.MinInt32:
		return math.MinInt32
	}
	return int(o.num)
}

// get returns the value of a dictionary's key.
func (o object) get(key string) (object, bool) {
	if o.kind != kindDict {
		return object{}, false
	}
	for i := 0; i+1 < len(o.arr); i += 2 {
		if string(o.arr[i].b) == key {
			return o.arr[i+1], true
		}
	}
	return object{}, false
}

// lexer reads PDF objects from bytes in memory. It never fails: what cannot
// be read as anything else becomes a word, and the end is kindEOF. It always
// advances, so reading until kindEOF ends.
type lexer struct {
	data  []byte
	pos   int
	refs  bool     // read "n g R" as a reference
	text  []byte   // decoded strings and names since the last reset
	arena []object // array elements since the last reset
}

// reset lets the memory of all objects returned so far be used again.
func (l *lexer) reset() {
	l.text = l.text[:0]
	l.arena = l.arena[:0]
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0
}

func isDelimiter(c byte) bool {
	switch c {
	case '<', '>', '(', ')', '[', ']', '{', '}', '/', '%':
		return true
	}
	return false
}

// skipSpace moves to the next byte that is neither white space nor comment.
func (l *lexer) skipSpace() {
	for l.pos < len(l.data) {
		c := l.data[l.pos]
		switch {
		case isSpace(c):
			l.pos++
		case c == '%':
			for l.pos < len(l.data) && l.data[l.pos] != '\n' && l.data[l.pos] != '\r' {
				l.pos++
			}
		default:
			return
		}
	}
}

// next returns the next object, or kindEOF.
func (l *lexer) next() object { return l.object(0) }

func (l *lexer) object(depth int) object {
	l.skipSpace()
	if l.pos >= len(l.data) {
		return object{kind: kindEOF}
	}
	c := l.data[l.pos]
	switch {
	case c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.':
		return l.number()
	case c == '(':
		return l.literal()
	case c == '/':
		return l.name()
	case c == '[':
		l.pos++
		return l.array(depth+1, false)
	case c == '<':
		if l.peek(1) == '<' {
			l.pos += 2
			return l.array(depth+1, true)
		}
		return l.hex()
	case c == '>' && l.peek(1) == '>':
		l.pos += 2
		return object{kind: kindWord, b: l.data[l.pos-2 : l.pos]}
	case isDelimiter(c):
		l.pos++
		return object{kind: kindWord, b: l.data[l.pos-1 : l.pos]}
	}
	return l.word()
}

func (l *lexer) peek(n int) byte {
	if l.pos+n < len(l.data) {
		return l.data[l.pos+n]
	}
	return 0
}

func (l *lexer) word() object {
	start := l.pos
	for l.pos < len(l.data) && !isSpace(l.data[l.pos]) && !isDelimiter(l.data[l.pos]) {
		l.pos++
	}
	return object{kind: kindWord, b: l.data[start:l.pos]}
}

// maxScale is the largest power of ten that a float64 holds exactly; no
// coordinate has more decimals.
const maxScale = 1e22

// number reads a number leniently, as viewers do: "--5" is -5, "1.2.3" is
// 1.2, and an exponent or stray letter makes the whole a word.
func (l *lexer) number() object {
	start := l.pos
	negative, digits, significant := false, 0, 0
	for l.pos < len(l.data) && (l.data[l.pos] == '-' || l.data[l.pos] == '+') {
		negative = negative || l.data[l.pos] == '-'
		l.pos++
	}
	value, scale, dots := 0.0, 1.0, 0 // digits as one whole number, and what it is to be divided by
	for ; l.pos < len(l.data); l.pos++ {
		c := l.data[l.pos]
		switch {
		case c >= '0' && c <= '9':
			digits++
			if value > 0 || c != '0' {
				significant++
			}
			if dots > 1 || dots == 1 && (significant > 15 || scale >= maxScale) {
				continue // more digits than a number keeps
			}
			value = min(value*10+float64(c-'0'), 1<<53)
			if dots == 1 {
				scale *= 10
			}
			continue
		case c == '.':
			dots++
			continue
		case c == '-' && digits > 0:
			dots = 2 // broken producers write "12-34"; viewers read 12
			continue
		}
		break
	}
	if l.pos < len(l.data) && !isSpace(l.data[l.pos]) && !isDelimiter(l.data[l.pos]) && digits == 0 {
		l.pos = start
		return l.word()
	}
	value /= scale
	if negative {
		value = -value
	}
	o := object{kind: kindNumber, num: value}
	if l.refs && dots == 0 && !negative {
		return l.reference(o)
	}
	return o
}

// reference turns a number followed by "g R" into a reference.
func (l *lexer) reference(o object) object {
	back := l.pos
	l.skipSpace()
	gen, digits := 0, 0
	for l.pos < len(l.data) && l.data[l.pos] >= '0' && l.data[l.pos] <= '9' && digits < 6 {
		gen = gen*10 + int(l.data[l.pos]-'0')
		digits++
		l.pos++
	}
	if digits > 0 && l.pos < len(l.data) && isSpace(l.data[l.pos]) {
		l.skipSpace()
		if l.peek(0) == 'R' && l.pos < len(l.data) && (l.pos+1 == len(l.data) || isSpace(l.data[l.pos+1]) || isDelimiter(l.data[l.pos+1])) {
			l.pos++
			return object{kind: kindRef, num: o.num, gen: gen}
		}
	}
	l.pos = back
	return o
}

// array reads up to the closing bracket of an array or dictionary. Elements
// of the outermost array share one arena; deeper ones are rare.
func (l *lexer) array(depth int, dict bool) object {
	o := object{kind: kindArray}
	end := "]"
	if dict {
		o.kind, end = kindDict, ">>"
	}
	from := len(l.arena)
	var own []object
	for {
		e := l.object(depth)
		if e.kind == kindEOF || e.is(end) {
			break
		}
		if e.is("]") || e.is(">>") || depth > maxNesting {
			if depth > maxNesting {
				l.pos = len(l.data)
			}
			continue
		}
		if depth == 1 {
			l.arena = append(l.arena, e)
		} else {
			own = append(own, e)
		}
	}
	if depth == 1 {
		own = l.arena[from:len(l.arena):len(l.arena)]
	}
	o.arr = own
	if dict {
		o.arr = pairs(o.arr)
	}
	return o
}

// pairs drops what stands where a dictionary's key should be.
func pairs(in []object) []object {
	out := in[:0]
	for i := 0; i+1 < len(in); {
		if in[i].kind != kindName {
			i++
			continue
		}
		out = append(out, in[i], in[i+1])
		i += 2
	}
	return out
}
