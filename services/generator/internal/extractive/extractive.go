// Package extractive answers questions without a language model: a question
// and passages go in, at most four of the passages' own sentences come out,
// each cited, or the news that none of them answers. It chooses by words, in
// every language that package lexical analyses; whether there is an answer at
// all it judges by the search's cosines too, where it knows their scale.
package extractive

import (
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
	// considered is how many sentences confidence looks at.
	considered = 10
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
	model    string
	weights  Weights
}

// New returns a writer. The profile is that of the embedder whose cosines the
// passages carry; the zero one leaves all to words. Embedding the sentences
// themselves too was tried: it found 1.3 points more of the answers of XQuAD
// for two hundred times the cost, so it is not done.
func New(a *lexical.Analyzer, dense embed.Profile) *Writer {
	return &Writer{analyzer: a, model: dense.Model, weights: DefaultWeights()}
}

// Asked is a question as it is answered.
type Asked struct {
	// Question stands alone.
	Question string
	// Turn is what was said last, where Question is that with what it leans on; else "".
	Turn string
}

// Write is [Writer.Answer] for a question that leans on nothing.
func (w *Writer) Write(question string, passages []corpus.Passage) (draft Draft, ok bool) {
	return w.Answer(Asked{Question: question}, passages)
}

// Answer answers from the passages, which come best first. ok is false when
// nothing in them answers; the draft then holds only its Confidence. The words
// of a turn count for more than those that it leans on.
func (w *Writer) Answer(asked Asked, passages []corpus.Passage) (draft Draft, ok bool) {
	q := w.read(asked, passages)
	if len(q.candidates) == 0 {
		return Draft{}, false
	}
	q.score(w.weights)
	var least float64
	draft.Confidence, least = w.confidence(q)
	if draft.Confidence < least {
		return draft, false
	}
	picks := q.pick(w.weights)
	if len(picks) == 0 {
		return draft, false
	}
	w.compose(&draft, q, picks)
	return draft, true
}

// arrange puts the picked sentences, which come best first, in an order that
// reads well: the best one leads, with what stands directly before it or, for
// a row or an item, with all of its passage that stands before; then passages
// by their best sentence, sentences of a passage as they stand there.
func (q *inquiry) arrange(picks []pick) {
	best := picks[0]
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
	at := slices.IndexFunc(picks, func(p pick) bool { return p.passage == best.passage && p.start == best.start })
	if best.kind != sentence.Prose {
		return
	}
	from := at
	body := q.passages[best.passage].Text
	for from > 0 && strings.TrimSpace(body[picks[from-1].end:picks[from].start]) == "" {
		from--
	}
	lead := slices.Clone(picks[from : at+1])
	copy(picks[len(lead):], slices.Clone(picks[:from]))
	copy(picks, lead)
}

// compose writes the picked sentences, each with its marker.
func (w *Writer) compose(d *Draft, q *inquiry, picks []pick) {
	q.arrange(picks)
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

// A text of so many marks, which are one in so many of its characters, is data
// (JSON, YAML, a program) and no sentence. Few marks are a "Price: 5".
const (
	fewMarks  = 8
	markShare = 10
)

// data reports whether a text is for machines: so full of their marks that it says nothing when read.
func data(text string) bool {
	marks, all := 0, 0
	for _, r := range text {
		if unicode.IsSpace(r) {
			continue
		}
		all++
		if strings.ContainsRune(`{}[]<>=:;"\|$#&`, r) {
			marks++
		}
	}
	return marks > fewMarks && marks*markShare > all
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
