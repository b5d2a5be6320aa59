package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// clone copies an object out of the lexer's memory.
func (o object) clone() object {
	o.b = bytes.Clone(o.b)
	arr := make([]object, len(o.arr))
	for i := range o.arr {
		arr[i] = o.arr[i].clone()
	}
	o.arr = arr
	return o
}

// appendTo writes an object in PDF syntax.
func (o object) appendTo(out []byte) []byte {
	switch o.kind {
	case kindNumber:
		out = strconv.AppendFloat(out, o.num, 'f', -1, 64)
	case kindString:
		out = fmt.Appendf(out, "<%x>", o.b)
	case kindName:
		out = append(out, '/')
		for _, c := range o.b {
			if isSpace(c) || isDelimiter(c) || c == '#' || c < '!' || c > '~' {
				out = fmt.Appendf(out, "#%02x", c)
				continue
			}
			out = append(out, c)
		}
	case kindArray, kindDict:
		open, end := "[", "]"
		if o.kind == kindDict {
			open, end = "<<", ">>"
		}
		out = append(out, open...)
		for _, e := range o.arr {
			out = append(e.appendTo(out), ' ')
		}
		out = append(out, end...)
	case kindWord:
		switch string(o.b) {
		case "true", "false":
			out = append(out, o.b...)
		default:
			out = append(out, "null"...)
		}
	case kindRef:
		out = fmt.Appendf(out, "%d %d R", o.integer(), o.gen)
	case kindEOF:
		out = append(out, "null"...)
	}
	return out
}

// dictFilters returns the filters that a stream's dictionary names.
func dictFilters(dict object) []filter {
	names, _ := dict.get("Filter")
	params, _ := dict.get("DecodeParms")
	one := func(name, p object) filter {
		f := filter{name: string(name.b)}
		for key, to := range map[string]*int{
			"Predictor": &f.predictor, "Colors": &f.colors, "BitsPerComponent": &f.bits, "Columns": &f.columns,
		} {
			v, _ := p.get(key)
			*to = v.integer()
		}
		early, ok := p.get("EarlyChange")
		f.lateChange = ok && early.kind == kindNumber && early.num == 0
		return f
	}
	switch names.kind {
	case kindName:
		return []filter{one(names, params)}
	case kindArray:
		var filters []filter
		for i, name := range names.arr[:min(len(names.arr), 8)] {
			var p object
			if i < len(params.arr) && params.kind == kindArray {
				p = params.arr[i]
			}
			filters = append(filters, one(name, p))
		}
		return filters
	default:
		return nil
	}
}

// source is a file made to suit the library, which is strict about both ends
// of a file: its header is replaced, and a cross-reference that was checked
// or rebuilt here is appended.
type source struct {
	file io.ReaderAt
	size int64 // of file
	head []byte
	tail []byte
}

const libraryHeader = "%PDF-1.7\n"

func newSource(file io.ReaderAt, size int64, t *table, expanded []byte) *source {
	section := t.section(size + int64(len(expanded)))
	return &source{file: file, size: size, head: []byte(libraryHeader), tail: append(expanded, section...)}
}

// section writes the table, its object streams expanded, as one cross-reference stream that is to stand at
// an offset, with all that the library wants at the end of a file.
func (t *table) section(at int64) []byte {
	own := len(t.entries) // the stream's own number
	var rows []byte
	row := func(kind byte, a int64, b int) {
		rows = append(rows, kind, byte(a>>32), byte(a>>24), byte(a>>16), byte(a>>8), byte(a),
			byte(b>>16), byte(b>>8), byte(b))
	}
	for i := range t.entries {
		switch e := t.entries[i]; {
		case !t.known(i):
			row(0, 0, 0xFFFF)
		default:
			row(1, e.offset, e.gen)
		}
	}
	out := fmt.Appendf([]byte("\n"), "%d 0 obj\n<</Type/XRef/Size %d/W[1 5 3]/Length %d", own, own, len(rows))
	for _, key := range []string{"Root", "Info"} {
		if v, ok := t.trailer.get(key); ok {
			out = v.appendTo(fmt.Appendf(out, "/%s ", key))
		}
	}
	out = append(append(append(out, ">>\nstream\n"...), rows...), "\nendstream\nendobj\n"...)
	// The library looks for startxref in the last hundred bytes.
	return fmt.Appendf(out, "startxref\n%d\n%%%%EOF\n", at+1)
}

// length is the size of the whole.
func (s *source) length() int64 { return s.size + int64(len(s.tail)) }

// ReadAt reads the header, the file and the appended end as one.
func (s *source) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 {
		return 0, errors.New("read before the start of the file")
	}
	n := 0
	if at < s.size {
		part := p[:min(int64(len(p)), s.size-at)]
		got, err := s.file.ReadAt(part, at)
		if at < int64(len(s.head)) {
			copy(part[:got], s.head[at:])
		}
		n = got
		if got < len(part) {
			return n, err //nolint:wrapcheck // a ReaderAt hands its errors on
		}
	}
	if n < len(p) {
		from := at + int64(n) - s.size
		if from >= int64(len(s.tail)) {
			return n, io.EOF
		}
		n += copy(p[n:], s.tail[from:])
		if n < len(p) {
			return n, io.EOF
		}
	}
	return n, nil
}
