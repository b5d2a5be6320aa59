package answer_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/answer"
)

// asked is a question with passages and an answer made of their sentences.
type asked struct {
	question, text string
	passages       []corpus.Passage
}

// wikipedia returns questions about English text from Wikipedia, each with
// eight passages of about 1,000 characters and an answer of four cited
// sentences: two words for word, two that only share their words.
func wikipedia(tb testing.TB) []asked {
	tb.Helper()
	f, err := os.Open(filepath.Join("..", "extractive", "testdata", "questions.jsonl.gz"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	var (
		out  []asked
		all  []corpus.Passage
		seen = map[string]bool{}
	)
	scanner := bufio.NewScanner(z)
	scanner.Buffer(nil, 1<<24)
	for scanner.Scan() {
		var item struct {
			Set, Question string
			Passages      []corpus.Passage
		}
		if err := json.Unmarshal(scanner.Bytes(), &item); err != nil {
			tb.Fatal(err)
		}
		if item.Set != "xquad_en" && item.Set != "clapnq" && item.Set != "clapnq_dev" {
			continue
		}
		for _, p := range item.Passages {
			if n := utf8.RuneCountInString(p.Text); n >= 500 && !seen[p.ID] {
				seen[p.ID] = true
				p.Text = string([]rune(p.Text)[:min(n, 1000)])
				all = append(all, p)
			}
		}
		if n := len(all); n >= 8 {
			out = append(out, asked{question: item.Question, passages: all[n-8:]})
		}
	}
	if err := scanner.Err(); err != nil || len(out) == 0 {
		tb.Fatalf("%d questions: %v", len(out), err)
	}
	for i := range out {
		out[i].text = quoting(out[i].passages)
	}
	return out
}

// quoting answers with sentences of the passages 1, 2, 3 and 5.
func quoting(passages []corpus.Passage) string {
	var b strings.Builder
	for i, n := range []int{1, 2, 3, 5} {
		sentences := strings.SplitAfter(passages[n-1].Text, ". ")
		s := strings.TrimRight(sentences[min(i, len(sentences)-1)], ". ")
		if i%2 == 1 {
			words := strings.Fields(s)
			s = "Also " + strings.Join(words[len(words)/3:], " ") + " according to the sources"
		}
		b.WriteString(s + " [" + strconv.Itoa(n) + "]. ")
	}
	return strings.TrimSpace(b.String())
}

// BenchmarkCheck is the check of one answer with four citations of eight
// passages: of passages that were not cited before, and of ones that were.
func BenchmarkCheck(b *testing.B) {
	questions := wikipedia(b)
	run := func(b *testing.B, checker func() *answer.Checker) {
		b.Helper()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			q := questions[i%len(questions)]
			if got := checker().Check(b.Context(), q.question, q.text, q.passages); len(got) != 4 {
				b.Fatalf("%d citations, want 4", len(got))
			}
		}
	}
	analyzer := lexical.New()
	b.Run("passages=fresh", func(b *testing.B) {
		run(b, func() *answer.Checker { return answer.NewChecker(analyzer, nil) })
	})
	b.Run("passages=known", func(b *testing.B) {
		checker := answer.NewChecker(analyzer, nil)
		run(b, func() *answer.Checker { return checker })
	})
}
