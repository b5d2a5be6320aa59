package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// tensors is a parsed safetensors file: the length of a JSON header as a
// little-endian uint64, the header, then the raw numbers it points into.
type tensors struct {
	header map[string]tensor
	data   []byte
}

type tensor struct {
	Type    string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

func parseTensors(file []byte) (*tensors, error) {
	if len(file) < 8 {
		return nil, errors.New("safetensors: file is shorter than its length field")
	}
	length := binary.LittleEndian.Uint64(file)
	rest := file[8:]
	if length > uint64(len(rest)) {
		return nil, fmt.Errorf("safetensors: header of %d bytes in a file of %d", length, len(file))
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(rest[:length], &raw); err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	delete(raw, "__metadata__")
	t := &tensors{header: make(map[string]tensor, len(raw)), data: rest[length:]}
	for name, text := range raw {
		var entry tensor
		if err := json.Unmarshal(text, &entry); err != nil {
			return nil, fmt.Errorf("safetensors: entry %s: %w", name, err)
		}
		t.header[name] = entry
	}
	return t, nil
}

// floats returns a float32 tensor, which must have the shape.
func (t *tensors) floats(name string, shape ...int) ([]float32, error) {
	entry, ok := t.header[name]
	if !ok {
		return nil, fmt.Errorf("safetensors: no tensor %s", name)
	}
	if entry.Type != "F32" || !slices.Equal(entry.Shape, shape) {
		return nil, fmt.Errorf("safetensors: %s is %s %v, want F32 %v", name, entry.Type, entry.Shape, shape)
	}
	size := int64(4)
	for _, n := range shape {
		size *= int64(n)
	}
	from, to := entry.Offsets[0], entry.Offsets[1]
	if from < 0 || from > to || to > int64(len(t.data)) || to-from != size {
		return nil, fmt.Errorf("safetensors: %s lies at %d to %d of %d bytes, want %d bytes", name, from, to, len(t.data), size)
	}
	out := make([]float32, size/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.data[from+4*int64(i):]))
	}
	return out, nil
}
