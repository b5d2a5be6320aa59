package retriever

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
	"github.com/ragbus/ragbus/services/retriever/internal/question"
)

// evalDir is where the public question sets are, beside the project.
const evalDir = "../../../shared/eval/data"

// rewriteCase is a follow-up with its conversation, a human rewrite and what it should find.
type rewriteCase struct {
	History  []string `json:"history_user_turns"`
	Question string   `json:"question"`
	Gold     string   `json:"gold_rewrite"`
	InCorpus []string `json:"gold_in_corpus"`
}

// TestEvalRewritingRules measures the rules on real conversations, by keyword
// search: they must not lose to the bare last turn. It is a measurement over
// a public set that the project does not carry; `make eval` requires it.
func TestEvalRewritingRules(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(evalDir); err != nil {
		if os.Getenv("RAGBUS_TEST_EVAL") != "" {
			t.Fatalf("the question sets are not there: %v", err)
		}
		t.Logf("the question sets are not beside the project; nothing to measure")
		return
	}
	set := evalIndex(t)
	rewriter := question.NewRewriter(nil, slog.New(slog.DiscardHandler))
	var bare, ruled, human float64
	n := 0
	read(t, "mtrag.rewrites.dev", func(c rewriteCase) {
		if len(c.InCorpus) == 0 || c.Gold == c.Question {
			return
		}
		n++
		history := make([]event.Turn, 0, len(c.History))
		for _, h := range c.History {
			history = append(history, event.Turn{Role: "user", Content: h})
		}
		bare += set.ndcg(t, c.Question, c.InCorpus)
		ruled += set.ndcg(t, rewriter.Standalone(t.Context(), history, c.Question), c.InCorpus)
		human += set.ndcg(t, c.Gold, c.InCorpus)
	})
	if n == 0 {
		t.Fatal("no case was read")
	}
	t.Logf("nDCG@10 over %d follow-ups: last turn alone %.3f, our rules %.3f, human rewrite %.3f", n, bare/float64(n), ruled/float64(n), human/float64(n))
	if ruled < bare {
		t.Errorf("the rules lose to the bare last turn")
	}
}

type evalSet struct {
	index *embeddedvector.Store
	ids   map[string]int
}

func evalIndex(t *testing.T) evalSet {
	t.Helper()
	index, err := embeddedvector.Open(t.Context(), embeddedvector.Config{
		Path: filepath.Join(t.TempDir(), "index.db"), Dimensions: 4, ProfileKey: "none", Logger: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	t.Cleanup(func() { check(t, index.Close()) })
	doc := vector.Document{Tenant: "eval", Collection: "mtrag", ID: "all", Version: "1", Generation: 1}
	var points []vector.Point
	ids := map[string]int{}
	read(t, "mtrag.corpus", func(p struct{ ID, Title, Text string }) {
		ids[p.ID] = len(points)
		points = append(points, vector.Point{Ordinal: len(points), Text: p.Title + "\n" + p.Text})
	})
	check(t, index.Upsert(t.Context(), doc, points))
	check(t, index.Activate(t.Context(), doc))
	return evalSet{index, ids}
}

func (e evalSet) ndcg(t *testing.T, query string, gold []string) float64 {
	t.Helper()
	scope, err := corpus.NewScope("eval")
	check(t, err)
	hits, err := e.index.Search(t.Context(), vector.Query{Scope: scope, Mode: vector.Keyword, Text: query, Limit: 10, Fusion: embed.Fusion{}})
	check(t, err)
	relevant := map[int]bool{}
	for _, g := range gold {
		relevant[e.ids[g]] = true
	}
	var got, ideal float64
	for i, h := range hits {
		if relevant[h.Ref.Ordinal] {
			got += 1 / math.Log2(float64(i)+2)
		}
	}
	for i := range min(10, len(gold)) {
		ideal += 1 / math.Log2(float64(i)+2)
	}
	return got / ideal
}

// read hands every line of a gzipped JSON-lines file to each.
func read[T any](t *testing.T, name string, each func(T)) {
	t.Helper()
	f, err := os.Open(filepath.Join(evalDir, name+".jsonl.gz"))
	check(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	check(t, err)
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", name, err))
		}
		each(v)
	}
	check(t, lines.Err())
}
