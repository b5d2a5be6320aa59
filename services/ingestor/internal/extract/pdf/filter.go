package pdf

import (
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"errors"
	"fmt"
	"io"
)

// filter is one step of a stream's decoding.
type filter struct {
	name                             string
	predictor, colors, bits, columns int
	lateChange                       bool // LZW: code width grows one code later than usual
}

var errTooLong = errors.New("stream is longer than its limit")

// decodeFilters applies the filters in turn. Each step yields at most limit
// bytes. A damaged stream yields what could be decoded before the damage, and
// an error only when that is nothing.
func decodeFilters(data []byte, filters []filter, limit int64) ([]byte, error) {
	for _, f := range filters {
		out, err := f.decode(data, limit)
		if errors.Is(err, errTooLong) || err != nil && len(out) == 0 {
			return nil, err
		}
		data = out
	}
	return data, nil
}

func (f filter) decode(data []byte, limit int64) ([]byte, error) {
	var out []byte
	var err error
	switch f.name {
	case "FlateDecode", "Fl":
		out, err = inflate(data, limit)
	case "LZWDecode", "LZW":
		out, err = f.lzw(data, limit)
	case "ASCII85Decode", "A85":
		out, err = base85(data, limit)
	case "ASCIIHexDecode", "AHx":
		l := &lexer{data: append([]byte{'<'}, data...)}
		out = l.hex().b
	case "RunLengthDecode", "RL":
		out, err = runLength(data, limit)
	case "Crypt":
		return data, nil
	default:
		return nil, fmt.Errorf("filter %q is not for text", f.name)
	}
	if f.predictor > 1 && !errors.Is(err, errTooLong) {
		out = f.unpredict(out)
	}
	return out, err
}

// readLimited reads all of r, or fails with errTooLong. With any other
// error it returns what came before.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, limit+1))
	if n > limit {
		return nil, errTooLong
	}
	return buf.Bytes(), err
}

func inflate(data []byte, limit int64) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(bytes.TrimLeft(data, "\r\n")))
	if err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	return readLimited(r, limit)
}

func base85(data []byte, limit int64) ([]byte, error) {
	if end := bytes.IndexByte(data, '~'); end >= 0 {
		data = data[:end]
	}
	return readLimited(ascii85.NewDecoder(bytes.NewReader(data)), limit)
}

func runLength(data []byte, limit int64) ([]byte, error) {
	var out []byte
	for i := 0; i < len(data) && data[i] != 128; {
		n := int(data[i])
		i++
		switch {
		case n < 128:
			end := min(i+n+1, len(data))
			out = append(out, data[i:end]...)
			i = end
		case i < len(data):
			out = append(out, bytes.Repeat(data[i:i+1], 257-n)...)
			i++
		}
		if int64(len(out)) > limit {
			return nil, errTooLong
		}
	}
	return out, nil
}

// lzw decodes the variable-width LZW of TIFF and PDF (ISO 32000-1, 7.4.4).
func (f filter) lzw(data []byte, limit int64) ([]byte, error) {
	const reset, end, maxCodes = 256, 257, 4096
	early := 1
	if f.lateChange {
		early = 0
	}
	var (
		out            []byte
		starts, ends   [maxCodes]int // of each code's bytes in out
		next, width    = 258, 9
		bits, have     uint32
		previous       = -1
		previousAt     int
		previousLength int
	)
	for _, b := range data {
		bits, have = bits<<8|uint32(b), have+8
		if int(have) < width {
			continue
		}
		have -= uint32(width)
		code := int(bits >> have & (1<<width - 1))
		if code == end {
			break
		}
		if code == reset {
			next, width, previous = 258, 9, -1
			continue
		}
		at := len(out)
		switch {
		case code < 256:
			out = append(out, byte(code))
		case code < next:
			out = append(out, out[starts[code]:ends[code]]...)
		case code == next && previous >= 0:
			out = append(out, out[previousAt:previousAt+previousLength]...)
			out = append(out, out[previousAt])
		default:
			return out, errors.New("lzw: code out of range")
		}
		if previous >= 0 && next < maxCodes {
			starts[next], ends[next] = previousAt, previousAt+previousLength+1
			next++
		}
		if int64(len(out)) > limit {
			return nil, errTooLong
		}
		previous, previousAt, previousLength = code, at, len(out)-at
		for width < 12 && next+early >= 1<<width {
			width++
		}
	}
	return out, nil
}

// unpredict undoes the PNG and TIFF predictors (ISO 32000-1, 7.4.4.4).
func (f filter) unpredict(data []byte) []byte {
	colors, bits, columns := max(f.colors, 1), f.bits, max(f.columns, 1)
	if bits <= 0 {
		bits = 8
	}
	if colors > 64 || bits > 32 || columns > 1<<24 {
		return data
	}
	pixel, row := (colors*bits+7)/8, (colors*bits*columns+7)/8
	if f.predictor == 2 {
		for at := 0; bits == 8 && at < len(data); at += row {
			for i := at + pixel; i < min(at+row, len(data)); i++ {
				data[i] += data[i-pixel]
			}
		}
		return data
	}
	out := make([]byte, 0, len(data))
	above := make([]byte, row)
	for len(data) > 1 {
		n := min(row+1, len(data))
		line := make([]byte, row)
		copy(line, data[1:n])
		unfilter(data[0], line, above, pixel)
		out = append(out, line[:n-1]...)
		data, above = data[n:], line
	}
	return out
}

func unfilter(kind byte, line, above []byte, pixel int) {
	for i := range line {
		var left, corner byte
		if i >= pixel {
			left, corner = line[i-pixel], above[i-pixel]
		}
		switch kind {
		case 1:
			line[i] += left
		case 2:
			line[i] += above[i]
		case 3:
			line[i] += byte((int(left) + int(above[i])) / 2)
		case 4:
			line[i] += paeth(left, above[i], corner)
		}
	}
}

func paeth(left, above, corner byte) byte {
	p := int(left) + int(above) - int(corner)
	a, b, c := p-int(left), p-int(above), p-int(corner)
	a, b, c = max(a, -a), max(b, -b), max(c, -c)
	switch {
	case a <= b && a <= c:
		return left
	case b <= c:
		return above
	}
	return corner
}
