package embeddedvector_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/minilm"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
)

// Public question sets, measured through the index that the product uses,
// with passages as given: title and text one field. Two of them are carried
// in testdata; the others are found beside the project's root when they are
// there. RAGBUS_TEST_EVAL=full also measures hybrid search on whole sets,
// which embeds ten thousand passages the first time (some twenty minutes) and keeps
// the vectors in the temporary directory.
const (
	carriedSets = "../testdata/eval"
	publicSets  = "../../../../shared/eval/data"
	fullEval    = "RAGBUS_TEST_EVAL"
)

// evalSets are the nDCG@10 that each set must reach: keyword of a plain BM25,
// hybrid of the study that chose the fusion. hybrid is 0 where the model does
// not know the language.
func evalSets() []evalSet {
	return []evalSet{
		{"xquad_en_sentences", .842, .880},
		{"xquad_zh", .970, 0},
		{"scifact", .679, .731},
		{"mtrag", .697, .791},
		{"clapnq_dev", .932, .989},
		{"pubmedqa", .970, .986},
		{"xquad_en", .972, .985},
		{"xquad_ar", .885, 0},
		{"xquad_de", .938, 0},
		{"xquad_el", .921, 0},
		{"xquad_es", .955, 0},
		{"xquad_ru", .858, 0},
		{"xquad_vi", .964, 0},
	}
}

type evalSet struct {
	name            string
	keyword, hybrid float64
}

const (
	keywordTolerance = 0.005
	hybridTolerance  = 0.01
)

type evalPassage struct{ ID, Title, Text string }

type evalQuestion struct {
	ID, Question string
	Gold         []string `json:"gold_ids"`
}

// folder returns where the set's files are, "" when they are not here.
func (s evalSet) folder() string {
	for _, dir := range []string{carriedSets, publicSets} {
		if _, err := os.Stat(filepath.Join(dir, s.name+".corpus.jsonl.gz")); err == nil {
			return dir
		}
	}
	return ""
}

func (s evalSet) read(t *testing.T) ([]evalPassage, []evalQuestion) {
	t.Helper()
	passages := readLines[evalPassage](t, filepath.Join(s.folder(), s.name+".corpus.jsonl.gz"))
	questions := readLines[evalQuestion](t, filepath.Join(s.folder(), s.name+".queries.dev.jsonl.gz"))
	return passages, slices.DeleteFunc(questions, func(q evalQuestion) bool { return len(q.Gold) == 0 })
}

func readLines[T any](t *testing.T, path string) []T {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<24)
	var out []T
	for lines.Scan() {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func (p evalPassage) all() string { return strings.TrimSpace(p.Title + " " + p.Text) }

// evalBatch is how many passages a document has here.
const evalBatch = 64

// index writes the passages, in order, into documents of evalBatch chunks. vectors may be nil.
func index(t *testing.T, passages []evalPassage, vectors [][]float32) *embeddedvector.Store {
	t.Helper()
	s := open(t, t.TempDir(), 384)
	at := 0
	for batch := range slices.Chunk(passages, evalBatch) {
		doc := evalDocument(at / evalBatch)
		points := make([]vector.Point, len(batch))
		for i, p := range batch {
			points[i] = vector.Point{Ordinal: i, Text: p.all()}
			if vectors != nil {
				points[i].Dense = vectors[at+i]
			}
		}
		if err := s.Upsert(t.Context(), doc, points); err != nil {
			t.Fatal(err)
		}
		if err := s.Activate(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
		at += len(batch)
	}
	return s
}

func evalDocument(i int) vector.Document {
	return vector.Document{Tenant: "eval", Collection: "c", ID: fmt.Sprintf("p%06d", i), Version: "v", Generation: 1}
}

// measure returns the mean nDCG@10 of the questions.
func measure(t *testing.T, s vector.Store, q vector.Query, passages []evalPassage, questions []evalQuestion, vectors [][]float32) float64 {
	t.Helper()
	names := make(map[string]string, len(passages))
	for i, p := range passages {
		names[fmt.Sprint(evalDocument(i/evalBatch).ID, i%evalBatch)] = p.ID
	}
	scope, err := corpus.NewScope("eval")
	if err != nil {
		t.Fatal(err)
	}
	q.Scope, q.Limit = scope, 10
	sum := 0.0
	for i, question := range questions {
		q.Text = question.Question
		if vectors != nil {
			q.Dense = vectors[i]
		}
		hits, err := s.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		gain, ideal := 0.0, 0.0
		for rank, h := range hits {
			if slices.Contains(question.Gold, names[fmt.Sprint(h.Ref.Document, h.Ref.Ordinal)]) {
				gain += 1 / math.Log2(float64(rank+2))
			}
		}
		for rank := range min(10, len(question.Gold)) {
			ideal += 1 / math.Log2(float64(rank+2))
		}
		sum += gain / ideal
	}
	return sum / float64(len(questions))
}

func TestEvalKeyword(t *testing.T) {
	t.Parallel()
	for _, set := range evalSets() {
		if set.folder() == "" {
			t.Logf("%s is not here", set.name)
			continue
		}
		t.Run(set.name, func(t *testing.T) {
			t.Parallel()
			passages, questions := set.read(t)
			got := measure(t, index(t, passages, nil), vector.Query{Mode: vector.Keyword}, passages, questions, nil)
			t.Logf("keyword nDCG@10 %.4f over %d questions, BM25 reference %.3f", got, len(questions), set.keyword)
			if got < set.keyword-keywordTolerance {
				t.Errorf("keyword nDCG@10 is %.4f, want at least %.3f", got, set.keyword-keywordTolerance)
			}
		})
	}
}

// fusion is what the built-in embedder's profile says.
func fusion() embed.Fusion {
	return embed.Fusion{Method: embed.ScaledMax, DenseWeight: 0.5, ForeignDenseWeight: 0.2}
}

// TestEvalHybridSlice embeds a few dozen passages of the carried set and
// checks that hybrid search beats both of its legs.
func TestEvalHybridSlice(t *testing.T) {
	t.Parallel()
	const slice = 160
	passages, questions := evalSet{name: "xquad_en_sentences"}.read(t)
	passages = passages[:slice]
	questions = slices.DeleteFunc(questions, func(q evalQuestion) bool {
		return !slices.ContainsFunc(passages, func(p evalPassage) bool { return slices.Contains(q.Gold, p.ID) })
	})
	model := newModel(t)
	texts, asked := evalTexts(passages, questions)
	passageVectors, questionVectors := embedAll(t, model, texts), embedAll(t, model, asked)
	s := index(t, passages, passageVectors)
	score := make(map[vector.Mode]float64)
	for _, mode := range []vector.Mode{vector.Keyword, vector.Dense, vector.Hybrid} {
		score[mode] = measure(t, s, vector.Query{Mode: mode, Fusion: model.Profile().Fusion}, passages, questions, questionVectors)
	}
	t.Logf("nDCG@10 over %d questions: %v", len(questions), score)
	if score[vector.Hybrid] < max(score[vector.Keyword], score[vector.Dense]) || score[vector.Hybrid] < 0.9 {
		t.Errorf("hybrid search does not beat its legs: %v", score)
	}
}

func evalTexts(passages []evalPassage, questions []evalQuestion) (texts, asked []string) {
	for _, p := range passages {
		texts = append(texts, p.all())
	}
	for _, q := range questions {
		asked = append(asked, q.Question)
	}
	return texts, asked
}

func newModel(t *testing.T) *minilm.Embedder {
	t.Helper()
	model, err := minilm.New(minilm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := model.Close(); err != nil {
			t.Errorf("close the model: %v", err)
		}
	})
	return model
}

func embedAll(t *testing.T, model embed.Embedder, texts []string) [][]float32 {
	t.Helper()
	vectors, err := model.Embed(t.Context(), embed.Passage, texts)
	if err != nil {
		t.Fatal(err)
	}
	return vectors
}

// TestEvalHybrid measures whole sets; it runs when asked for.
func TestEvalHybrid(t *testing.T) {
	t.Parallel()
	if os.Getenv(fullEval) != "full" {
		t.Skip("measures only when " + fullEval + " is full")
	}
	model := newModel(t)
	for _, set := range evalSets() {
		t.Run(set.name, func(t *testing.T) {
			if set.folder() == "" {
				t.Fatalf("%s is not here", set.name)
			}
			passages, questions := set.read(t)
			texts, asked := evalTexts(passages, questions)
			passageVectors, questionVectors := cached(t, model, set.name+".passages", texts), cached(t, model, set.name+".questions", asked)
			s := index(t, passages, passageVectors)
			keyword := measure(t, s, vector.Query{Mode: vector.Keyword}, passages, questions, nil)
			dense := measure(t, s, vector.Query{Mode: vector.Dense}, passages, questions, questionVectors)
			hybrid := measure(t, s, vector.Query{Mode: vector.Hybrid, Fusion: fusion()}, passages, questions, questionVectors)
			t.Logf("| %s | %d | %.4f | %.4f | %.4f |", set.name, len(questions), keyword, dense, hybrid)
			if hybrid < set.hybrid-hybridTolerance || hybrid < keyword-hybridTolerance {
				t.Errorf("hybrid nDCG@10 is %.4f, want at least %.3f and keyword's %.4f", hybrid, set.hybrid-hybridTolerance, keyword)
			}
		})
	}
}

// cached embeds texts, or reads what an earlier run has kept of the same number of them.
func cached(t *testing.T, model embed.Embedder, name string, texts []string) [][]float32 {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "ragbus-eval")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%s.%d.json", name, len(texts)))
	var vectors [][]float32
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &vectors) == nil && len(vectors) == len(texts) {
		return vectors
	}
	vectors = embedAll(t, model, texts)
	data, err := json.Marshal(vectors)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return vectors
}
