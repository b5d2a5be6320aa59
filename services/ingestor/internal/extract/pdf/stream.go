package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	lib "github.com/ledongthuc/pdf"
)

// stream decodes a stream, at most limit bytes of it. The library is asked
// first; what it cannot decode (its filters are few, and it trusts the
// stream's length) is read from the file itself.
func (d *Document) stream(v lib.Value, limit int64) ([]byte, error) {
	data, err := libraryStream(v, limit)
	if err == nil && len(data) > 0 || errors.Is(err, errTooLong) {
		return data, err
	}
	own, ownErr := d.rawStream(v, limit)
	if ownErr == nil && len(own) > len(data) || errors.Is(ownErr, errTooLong) {
		return own, ownErr
	}
	if len(data) > 0 {
		return data, nil
	}
	return data, err
}

// libraryStream decodes with the library. Damage after some data is no error.
func libraryStream(v lib.Value, limit int64) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			data, err = nil, fmt.Errorf("decode stream: %v", p)
		}
	}()
	data, err = readLimited(v.Reader(), limit)
	if errors.Is(err, errTooLong) {
		return nil, err
	}
	if len(data) > 0 || err == nil {
		return data, nil
	}
	return nil, fmt.Errorf("decode stream: %w", err)
}

// rawStream decodes a stream from the file's own bytes. The library keeps a
// stream's offset to itself, except in the text form of the value.
func (d *Document) rawStream(v lib.Value, limit int64) ([]byte, error) {
	text := v.String()
	offset, err := strconv.ParseInt(text[strings.LastIndexByte(text, '@')+1:], 10, 64)
	if err != nil || offset <= 0 || offset >= d.size {
		return nil, errors.New("decode stream: it has no place in the file")
	}
	raw, err := readRaw(d.file, offset, v.Key("Length").Int64(), min(d.size-offset, limit))
	if err != nil {
		return nil, err
	}
	return decodeFilters(raw, valueFilters(v), limit)
}

// readRaw reads a stream's encoded bytes. A length that does not lead to the
// word endstream is replaced by the distance to that word.
func readRaw(file io.ReaderAt, offset, length, most int64) ([]byte, error) {
	endstream := []byte("endstream")
	if length > 0 && length <= most {
		buf := make([]byte, length+32)
		n, _ := file.ReadAt(buf, offset)
		if int64(n) >= length && (int64(n) < length+9 || bytes.HasPrefix(bytes.TrimLeft(buf[length:n], "\r\n\t "), endstream)) {
			return buf[:length], nil
		}
	}
	var buf []byte
	const step = 64 << 10
	for int64(len(buf)) < most {
		from := len(buf)
		buf = append(buf, make([]byte, min(step, most-int64(from)))...)
		n, err := file.ReadAt(buf[from:], offset+int64(from))
		buf = buf[:from+n]
		if at := bytes.Index(buf[max(from-len(endstream), 0):], endstream); at >= 0 {
			return bytes.TrimRight(buf[:max(from-len(endstream), 0)+at], "\r\n"), nil
		}
		if err != nil {
			break
		}
	}
	if len(buf) == 0 {
		return nil, errors.New("decode stream: it is outside the file")
	}
	return buf, nil
}

// valueFilters returns the filters that a stream's dictionary names.
func valueFilters(v lib.Value) []filter {
	names, params := v.Key("Filter"), v.Key("DecodeParms")
	one := func(name string, p lib.Value) filter {
		f := filter{
			name: name, predictor: int(p.Key("Predictor").Int64()), colors: int(p.Key("Colors").Int64()),
			bits: int(p.Key("BitsPerComponent").Int64()), columns: int(p.Key("Columns").Int64()),
		}
		early := p.Key("EarlyChange")
		f.lateChange = early.Kind() == lib.Integer && early.Int64() == 0
		return f
	}
	switch names.Kind() {
	case lib.Name:
		return []filter{one(names.Name(), params)}
	case lib.Array:
		var filters []filter
		for i := range min(names.Len(), 8) {
			filters = append(filters, one(names.Index(i).Name(), params.Index(i)))
		}
		return filters
	default:
		return nil
	}
}
