// Package extractive answers questions without a language model: a question
// and passages go in, at most four of the passages' own sentences come out,
// each cited, or the news that none of them answers. It works by words in
// every language that package lexical analyses, and by meaning where an
// embedder is given.
package extractive

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/answer"
	"github.com/ragbus/ragbus/services/generator/internal/plain"
	"github.com/ragbus/ragbus/services/generator/internal/sentence"
)

// Name is what answers of this writer say as their model.
const Name = "extractive"

// The bounds of an answer and of its cost.
const (
	// MaxSentences is how many sentences an answer has at most.
	MaxSentences = 4
	// maxPassages is how many passages are read, best first.
	maxPassages = 12
	// maxEmbedded is how many sentences are embedded for one question.
	maxEmbedded = 12
)

// Draft is an answer made of sentences.
type Draft struct {
	// Text has a marker [n] behind every sentence; n counts the passages from 1.
	Text string
	// Parts are the pieces of Text, to be streamed one by one.
	Parts     []string
	Citations []conversation.Citation
	// Confidence is what is compared with the threshold below which the writer abstains.
	Confidence float64
}

// Writer writes answers. It is safe for concurrent use.
type Writer struct {
	analyzer *lexical.Analyzer
	embedder embed.Embedder
	weights  Weights
}

// New returns a writer. The embedder may be nil: then words alone decide.
func New(a *lexical.Analyzer, embedder embed.Embedder) *Writer {
	return &Writer{analyzer: a, embedder: embedder, weights: DefaultWeights()}
}

// Write answers from the passages, which come best first. ok is false when
// nothing in them answers; the draft then holds only its Confidence. A failing
// embedder costs quality and is no error.
func (w *Writer) Write(ctx context.Context, question string, passages []corpus.Passage) (draft Draft, ok bool) {
	q := w.read(question, passages)
	if len(q.candidates) == 0 {
		return Draft{}, false
	}
	q.score(w.weights)
	w.embed(ctx, q)
	draft.Confidence = q.confidence(w.weights)
	if draft.Confidence < w.threshold(q) {
		return draft, false
	}
	picks := q.pick(w.weights)
	if len(picks) == 0 {
		return draft, false
	}
	w.compose(&draft, q, picks)
	return draft, true
}

func (w *Writer) threshold(q *inquiry) float64 {
	if q.meant {
		return w.weights.AbstainMeant
	}
	return w.weights.Abstain
}

// compose puts the picked sentences in an order that reads well: passages by
// their best sentence, sentences of a passage as they stand there.
func (w *Writer) compose(d *Draft, q *inquiry, picks []pick) {
	rank := make(map[int]int, len(picks))
	for i, p := range picks {
		if _, ok := rank[p.passage]; !ok {
			rank[p.passage] = i
		}
	}
	slices.SortStableFunc(picks, func(a, b pick) int {
		if a.passage != b.passage {
			return rank[a.passage] - rank[b.passage]
		}
		return a.start - b.start
	})
	items := len(picks) > 1
	for _, p := range picks {
		items = items && p.kind == sentence.Item
	}
	for i, p := range picks {
		passage := &q.passages[p.passage]
		line := plain.Line(passage.Text[p.start:p.end])
		part := line + " [" + strconv.Itoa(p.passage+1) + "]"
		switch {
		case items:
			part = "- " + part
			if i > 0 {
				part = "\n" + part
			}
		case i > 0:
			part = " " + part
		}
		d.Parts = append(d.Parts, part)
		d.Citations = append(d.Citations, answer.Cite(p.passage+1, passage, p.start, p.end, true))
	}
	d.Text = strings.Join(d.Parts, "")
}

// embed adds the likeness of meaning to the best candidates.
func (w *Writer) embed(ctx context.Context, q *inquiry) {
	if w.embedder == nil || w.weights.Meaning == 0 {
		return
	}
	best := q.best(maxEmbedded)
	texts := make([]string, 0, len(best))
	for _, c := range best {
		texts = append(texts, q.embeddingText(c))
	}
	asked, err := w.embedder.Embed(ctx, embed.Query, []string{q.question})
	if err != nil || len(asked) != 1 {
		return
	}
	vectors, err := w.embedder.Embed(ctx, embed.Passage, texts)
	if err != nil || len(vectors) != len(texts) {
		return
	}
	q.meant = true
	for i, c := range best {
		c.cosine = 0
		for k := range vectors[i] {
			c.cosine += float64(vectors[i][k]) * float64(asked[0][k])
		}
		c.total += w.weights.Meaning * c.cosine
		c.embedded = true
	}
}

// embeddingText is a candidate with the heading above it, as far as a short model reads.
func (q *inquiry) embeddingText(c *candidate) string {
	return q.passages[c.passage].Text[c.span.Start:c.span.End]
}

// usable reports whether a line can stand in an answer: it has words, and is not a question.
func usable(text string) bool {
	last, _ := utf8.DecodeLastRuneInString(strings.TrimRight(text, " \"'”’»)"))
	if last == '?' || last == '？' || last == '؟' {
		return false
	}
	letters := 0
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			letters++
		}
		if letters >= 6 {
			return true
		}
	}
	return false
}
