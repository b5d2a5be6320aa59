package minilm_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/bert"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/kernel"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/weights"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/wordpiece"
)

// reference is what the published float32 model makes of a text.
type reference struct {
	Text   string    `json:"text"`
	IDs    []uint16  `json:"ids"`
	Vector []float32 `json:"vector"`
}

func references(t *testing.T) []reference {
	t.Helper()
	file, err := os.Open("testdata/reference.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []reference
	lines := bufio.NewScanner(plain)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r reference
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(list) != 127 {
		t.Fatalf("%d reference texts, want 127", len(list))
	}
	return list
}

func dot(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestTokensEqualTheReference(t *testing.T) {
	t.Parallel()
	tokenizer, err := wordpiece.New(weights.Vocabulary)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range references(t) {
		if diff := cmp.Diff(r.IDs, tokenizer.Append(nil, r.Text, bert.MaxTokens)); diff != "" {
			t.Errorf("ids of %q (-want +got):\n%s", r.Text, diff)
		}
	}
}

// TestVectorsEqualTheReference holds this machine's backend to all reference
// texts, and plain Go to the same ones and to that backend. Plain Go takes
// most of a minute: with -short or the race detector it gets every ninth text.
func TestVectorsEqualTheReference(t *testing.T) {
	t.Parallel()
	model, err := bert.Parse(weights.Model)
	if err != nil {
		t.Fatal(err)
	}
	list := references(t)
	best := vectors(t, bert.NewEncoder(model, kernel.Best()), list, 1)
	step := 1
	if testing.Short() || raceDetector {
		step = 9
	}
	plain := vectors(t, bert.NewEncoder(model, new(kernel.Portable)), list, step)
	const least, tolerance = 0.995, 2e-5
	for name, all := range map[string][][]float32{kernel.Best().Name(): best, "plain Go": plain} {
		sum, worst, n := 0.0, 1.0, 0
		for i, v := range all {
			if v == nil {
				continue
			}
			cosine := dot(v, list[i].Vector)
			if !(cosine >= least) {
				t.Errorf("%s: cosine to the reference is %.5f, want at least %v: %q", name, cosine, least, list[i].Text)
			}
			sum, worst, n = sum+cosine, min(worst, cosine), n+1
		}
		t.Logf("%s: %d texts, cosine mean %.5f, least %.5f", name, n, sum/float64(n), worst)
	}
	for i, v := range plain {
		for j := range v {
			if d := v[j] - best[i][j]; !(d <= tolerance && d >= -tolerance) {
				t.Fatalf("element %d of %q: %v with %s, %v in plain Go", j, list[i].Text, best[i][j], kernel.Best().Name(), v[j])
			}
		}
	}
}

// vectors encodes every step-th text; the others stay nil.
func vectors(t *testing.T, encoder *bert.Encoder, list []reference, step int) [][]float32 {
	t.Helper()
	out := make([][]float32, len(list))
	for i := 0; i < len(list); i += step {
		out[i] = make([]float32, bert.Hidden)
		if err := encoder.Encode(out[i], list[i].IDs, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
