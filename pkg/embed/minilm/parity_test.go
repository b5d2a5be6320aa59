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
	if len(list) != 129 {
		t.Fatalf("%d reference texts, want 129", len(list))
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

// TestVectorsEqualTheReference runs every backend of this machine over the
// reference texts; with -short the slow one takes every eighth of them.
func TestVectorsEqualTheReference(t *testing.T) {
	t.Parallel()
	model, err := bert.Parse(weights.Model)
	if err != nil {
		t.Fatal(err)
	}
	list := references(t)
	for _, backend := range []kernel.Backend{kernel.Best(), new(kernel.Portable)} {
		t.Run(backend.Name(), func(t *testing.T) {
			t.Parallel()
			const least = 0.995
			step := 1
			if testing.Short() && backend.Name() == "portable" {
				step = 8
			}
			encoder := bert.NewEncoder(model, backend)
			got := make([]float32, bert.Hidden)
			sum, worst, n := 0.0, 1.0, 0
			for i := 0; i < len(list); i += step {
				if err := encoder.Encode(got, list[i].IDs, func() error { return nil }); err != nil {
					t.Fatal(err)
				}
				cosine := dot(got, list[i].Vector)
				if cosine < least {
					t.Errorf("cosine to the reference is %.5f, want at least %v: %q", cosine, least, list[i].Text)
				}
				sum, worst, n = sum+cosine, min(worst, cosine), n+1
			}
			t.Logf("%d texts: cosine mean %.5f, least %.5f", n, sum/float64(n), worst)
		})
	}
}

// TestBackendsAgree holds the assembly to the plain Go on the same tokens.
func TestBackendsAgree(t *testing.T) {
	t.Parallel()
	model, err := bert.Parse(weights.Model)
	if err != nil {
		t.Fatal(err)
	}
	best, portable := bert.NewEncoder(model, kernel.Best()), bert.NewEncoder(model, new(kernel.Portable))
	list := references(t)
	for i := 0; i < len(list); i += 9 {
		a, b := make([]float32, bert.Hidden), make([]float32, bert.Hidden)
		for encoder, dst := range map[*bert.Encoder][]float32{best: a, portable: b} {
			if err := encoder.Encode(dst, list[i].IDs, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for j := range a {
			if d := a[j] - b[j]; d > 2e-5 || d < -2e-5 {
				t.Fatalf("element %d of %q: %v with %s, %v in plain Go", j, list[i].Text, a[j], kernel.Best().Name(), b[j])
			}
		}
	}
}
