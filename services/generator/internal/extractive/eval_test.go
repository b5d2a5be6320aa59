package extractive

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/lexical"
)

// item is one question of a set with the passages a search would bring.
type item struct {
	Question string
	Answers  []string
	Gold     []string
	Passages []corpus.Passage
}

type setPassage struct {
	ID, Title, Text string
	terms           []lexical.Term
	length          int
}

// loadSet reads a public set and searches each question by BM25. Questions
// with a gold passage get it among their eight.
func loadSet(t *testing.T, dir, name string, every int) []item {
	t.Helper()
	a := lexical.New()
	var passages []*setPassage
	byID := map[string]*setPassage{}
	lines(t, filepath.Join(dir, name+".corpus.jsonl.gz"), func(b []byte) {
		p := &setPassage{}
		if err := json.Unmarshal(b, p); err != nil {
			t.Fatal(err)
		}
		x := a.Analyze(p.Title + "\n" + p.Text)
		p.terms, p.length = x.Terms, x.Length
		passages = append(passages, p)
		byID[p.ID] = p
	})
	df := map[uint32]int{}
	for _, p := range passages {
		for _, t := range p.terms {
			df[t.ID]++
		}
	}
	var out []item
	n := 0
	lines(t, filepath.Join(dir, name+".queries.dev.jsonl.gz"), func(b []byte) {
		var q struct {
			Question string
			Answers  []string
			GoldIDs  []string `json:"gold_ids"`
		}
		if err := json.Unmarshal(b, &q); err != nil {
			t.Fatal(err)
		}
		if n++; n%every != 0 {
			return
		}
		type hit struct {
			p     *setPassage
			score float64
		}
		var hits []hit
		terms := a.Query(q.Question, lexical.AllLanguages)
		for _, p := range passages {
			score := 0.0
			for _, t := range terms {
				if i, ok := slices.BinarySearchFunc(p.terms, t, lexical.Compare); ok {
					score += lexical.IDF(len(passages), df[t.ID]) * float64(lexical.Impact(p.terms[i].Count, p.length))
				}
			}
			hits = append(hits, hit{p, score})
		}
		slices.SortStableFunc(hits, func(x, y hit) int { return cmp.Compare(y.score, x.score) })
		top := slices.Clone(hits[:8])
		if len(q.GoldIDs) > 0 && !slices.ContainsFunc(top, func(h hit) bool { return slices.Contains(q.GoldIDs, h.p.ID) }) {
			for _, h := range hits[8:] {
				if slices.Contains(q.GoldIDs, h.p.ID) {
					top[7] = h
					break
				}
			}
		}
		it := item{Question: q.Question, Answers: q.Answers, Gold: q.GoldIDs}
		for _, h := range top {
			it.Passages = append(it.Passages, corpus.Passage{ID: h.p.ID, Title: strings.ReplaceAll(h.p.Title, "_", " "), Text: h.p.Text, Score: h.score / max(top[0].score, 1e-9)})
		}
		out = append(out, it)
	})
	return out
}

func lines(t *testing.T, path string, each func([]byte)) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		each(s.Bytes())
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
}

// evalDir returns the folder of the public sets beside the project, or "".
func evalDir() string {
	dir := filepath.Join("..", "..", "..", "..", "..", "shared", "eval", "data")
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// contains reports whether the picked quotes hold one of the answers.
func contains(d Draft, answers []string) bool {
	for _, c := range d.Citations {
		for _, a := range answers {
			if strings.Contains(strings.ToLower(c.Quote), strings.ToLower(a)) {
				return true
			}
		}
	}
	return false
}
