package minilm_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/embed"
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
// most of a minute for all of them, so with -short it gets every ninth text,
// and with the race detector, ten times slower still, only the short ones of these.
func TestVectorsEqualTheReference(t *testing.T) {
	t.Parallel()
	model, err := bert.Parse(weights.Model)
	if err != nil {
		t.Fatal(err)
	}
	list := references(t)
	best := vectors(t, bert.NewEncoder(model, kernel.Best()), list, func(int) bool { return true })
	plain := vectors(t, bert.NewEncoder(model, new(kernel.Portable)), list, func(i int) bool {
		switch {
		case raceDetector:
			return i%9 == 0 && len(list[i].IDs) <= 40
		case testing.Short():
			return i%9 == 0
		default:
			return true
		}
	})
	const least, tolerance = 0.995, 2e-5
	for name, all := range map[string][][]float32{kernel.Best().Name(): best, "plain Go": plain} {
		sum, worst, n := 0.0, 1.0, 0
		for i, v := range all {
			if v == nil {
				continue
			}
			cosine := dot(v, list[i].Vector)
			if math.IsNaN(cosine) || cosine < least {
				t.Errorf("%s: cosine to the reference is %.5f, want at least %v: %q", name, cosine, least, list[i].Text)
			}
			sum, worst, n = sum+cosine, min(worst, cosine), n+1
		}
		t.Logf("%s: %d texts, cosine mean %.5f, least %.5f", name, n, sum/float64(n), worst)
	}
	for i, v := range plain {
		for j := range v {
			if d := math.Abs(float64(v[j]) - float64(best[i][j])); math.IsNaN(d) || d > tolerance {
				t.Fatalf("element %d of %q: %v with %s, %v in plain Go", j, list[i].Text, best[i][j], kernel.Best().Name(), v[j])
			}
		}
	}
}

// vectors encodes the chosen texts; the others stay nil.
func vectors(t *testing.T, encoder *bert.Encoder, list []reference, chosen func(i int) bool) [][]float32 {
	t.Helper()
	out := make([][]float32, len(list))
	for i, r := range list {
		if !chosen(i) {
			continue
		}
		out[i] = make([]float32, bert.Hidden)
		if err := encoder.Encode(out[i], r.IDs, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestEmbedGivesTheReferenceVectors goes through the public face, as one batch.
func TestEmbedGivesTheReferenceVectors(t *testing.T) {
	t.Parallel()
	list := references(t)
	texts := make([]string, len(list))
	for i, r := range list {
		texts[i] = r.Text
	}
	got, err := open(t, 0).Embed(t.Context(), embed.Passage, texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if cosine := dot(v, list[i].Vector); math.IsNaN(cosine) || cosine < 0.995 {
			t.Errorf("cosine to the reference is %.5f: %q", cosine, list[i].Text)
		}
	}
}
