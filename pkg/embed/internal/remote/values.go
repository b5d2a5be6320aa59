package remote

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Values are a vector as numbers or as the base64 of little-endian float32.
type Values []float32

// UnmarshalJSON implements json.Unmarshaler.
func (v *Values) UnmarshalJSON(data []byte) error {
	if len(data) < 2 || data[0] != '"' {
		return v.numbers(data)
	}
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(data)-2))
	n, err := base64.StdEncoding.Decode(raw, data[1:len(data)-1])
	if err != nil || n%4 != 0 {
		return fmt.Errorf("%d characters are no base64 of a vector", len(data)-2)
	}
	out := make([]float32, n/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	*v = out
	return nil
}

// numbers reads an array. It is what most of an answer consists of, so it is
// read in one pass; encoding/json has seen to its syntax before. Some servers
// write null for what is not a number, which encoding/json would read as zero.
func (v *Values) numbers(data []byte) error {
	data = bytes.TrimSpace(data)
	if len(data) < 2 || data[0] != '[' || data[len(data)-1] != ']' {
		return errors.New("the vector is no array")
	}
	data = bytes.TrimSpace(data[1 : len(data)-1])
	out := make([]float32, 0, bytes.Count(data, []byte{','})+1)
	for len(data) > 0 {
		number, rest, more := bytes.Cut(data, []byte{','})
		number = bytes.TrimSpace(number)
		if bytes.ContainsFunc(number, func(r rune) bool {
			return (r < '0' || r > '9') && r != '-' && r != '+' && r != '.' && r != 'e' && r != 'E'
		}) {
			return errors.New("the vector holds something that is no number")
		}
		x, err := strconv.ParseFloat(string(number), 32)
		if err != nil || more && len(bytes.TrimSpace(rest)) == 0 {
			return errors.New("the vector holds something that is no number")
		}
		out, data = append(out, float32(x)), rest
	}
	*v = out
	return nil
}
