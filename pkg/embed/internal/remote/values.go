package remote

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Values are a vector as numbers or as the base64 of little-endian float32.
type Values []float32

// UnmarshalJSON implements [json.Unmarshaler].
func (v *Values) UnmarshalJSON(data []byte) error {
	if len(data) < 2 || data[0] != '"' {
		// Some servers write null for what is not a number, and it would be read as zero.
		if bytes.Contains(data, []byte("null")) {
			return errors.New("the vector holds null")
		}
		return json.Unmarshal(data, (*[]float32)(v)) //nolint:wrapcheck // its caller says what was read
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
