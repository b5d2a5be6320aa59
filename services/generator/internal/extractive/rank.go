package extractive

import (
	"cmp"
	"math"
	"slices"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/sentence"
)

// Weights say how much each sign of an answering sentence counts. The
// defaults were tuned on the development sets named in docs/quality.md.
type Weights struct {
	// Overlap: share of the question's words, by rarity, in the sentence.
	Overlap float64
	// Previous and Next: the same for the neighbours.
	Previous float64
	Next     float64
	// Passage and Heading: the same for the whole passage, and for title, section and heading.
	Passage float64
	Heading float64
	// Retrieval: the passage's score as a share of the best one's.
	Retrieval float64
	// Cue: the sentence has what the question asks for (a number, a date, a name).
	Cue float64
	// Dense: share of the sentence's own words that the question has.
	Dense float64
	// Named: the question names what the row or the labelled line is about.
	Named float64
	// More is the share of the best score from which another sentence is added.
	More float64
	// Least is the confidence below which the writer abstains: by words in
	// English, in other languages (which share fewer word forms), in scripts
	// that are cut into pairs, and where the passages' cosines count too.
	Least        float64
	LeastForeign float64
	LeastPaired  float64
	LeastDense   float64
}

// DefaultWeights returns the tuned ones.
func DefaultWeights() Weights {
	return Weights{
		Overlap: 1, Previous: 0.2, Next: 0.1, Passage: 0.375, Heading: 0.15, Retrieval: 0.375, Cue: 0.25, Dense: 0.1, Named: 0.3,
		More: 0.8, Least: 0.28, LeastForeign: 0.17, LeastPaired: 0.1, LeastDense: 0.36,
	}
}

// inquiry is one question with its passages, taken apart.
type inquiry struct {
	question   string
	passages   []corpus.Passage
	asks       asks
	numbers    []string
	words      map[lexical.Language]*vocabulary
	candidates []*candidate
	cover      []float64 // by passage
	languages  []lexical.Language
}

// candidate is a sentence that may be picked.
type candidate struct {
	passage int
	index   int // in the passage's sentences
	span    sentence.Span
	spans   []sentence.Span
	terms   []lexical.Term
	// intro is the sentence with a colon that introduces this row or item; -1: none.
	intro int
	// header is the row that heads this row's table; -1: none.
	header int
	// own is the share of the question's words in the sentence alone.
	own float64
	// named is the share of the question's words that name what this row or
	// line is about; 0 when it is about something more, or else.
	named float64
	// strays: the follow-up has words of its own, and neither this nor what is above it has one.
	strays bool

	overlap, previous, next, heading, retrieval, cue, dense float64

	total float64
}

// text is a passage taken apart.
type text struct {
	language lexical.Language
	terms    []lexical.Term
	spans    []sentence.Span
	each     [][]lexical.Term
	header   []lexical.Term
	heads    []int // by span: the row that heads its table, or -1
}

// lead returns the terms of a span that is read before another; none for -1.
func (t *text) lead(k int) []lexical.Term {
	if k < 0 {
		return nil
	}
	return t.each[k]
}

func (w *Writer) read(asked Asked, passages []corpus.Passage) *inquiry {
	q := &inquiry{question: asked.Question, passages: passages[:min(len(passages), maxPassages)], asks: asked.asks(), numbers: asked.numbers()}
	texts := make([]text, len(q.passages))
	best := 0.0
	for i := range q.passages {
		p := &q.passages[i]
		best = max(best, p.Score)
		a := w.analyzer.Analyze(p.Text)
		t := text{language: a.Language, terms: a.Terms, spans: sentence.Split(p.Text)}
		in := lexical.Set(0).With(a.Language)
		t.each = make([][]lexical.Term, len(t.spans))
		for k, s := range t.spans {
			t.each[k] = w.analyzer.Query(s.Of(p.Text), in)
		}
		t.heads = headers(p.Text, t.spans)
		t.header = w.analyzer.Query(p.Title+" "+p.Section, in)
		texts[i] = t
	}
	q.words = w.vocabularies(asked, texts)
	q.cover = make([]float64, len(texts))
	q.languages = make([]lexical.Language, len(texts))
	for i := range texts {
		q.languages[i] = texts[i].language
		w.add(q, i, &texts[i], q.words[texts[i].language], best)
	}
	return q
}

func (q *inquiry) score(w Weights) {
	for _, c := range q.candidates {
		c.total = w.Overlap*c.overlap + w.Previous*c.previous + w.Next*c.next + w.Passage*q.cover[c.passage] + w.Heading*c.heading +
			w.Retrieval*c.retrieval + w.Cue*c.cue + w.Dense*math.Min(c.dense, 1) + w.Named*c.named
		if c.strays {
			c.total -= stray
		}
	}
}

// best returns the n best candidates, best first; equals in the order of passages and sentences.
func (q *inquiry) best(n int) []*candidate {
	slices.SortStableFunc(q.candidates, func(a, b *candidate) int { return cmp.Compare(b.total, a.total) })
	return q.candidates[:min(n, len(q.candidates))]
}
