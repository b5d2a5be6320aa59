package extractive

import (
	"cmp"
	"math"
	"slices"
	"strings"

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

// vocabulary weighs the question's words in one language.
type vocabulary struct {
	// words are those of the question that the terms were made of, where they are known.
	words []string
	terms []lexical.Term
	rare  []float64 // idf
	sum   float64
	// turn are the words of a follow-up itself that a sentence has.
	turn []lexical.Term
	// met is the share of the words, each counted once, that stand anywhere in the passages.
	met float64
}

// share returns which part of the question's weight the terms hold.
func (v *vocabulary) share(terms []lexical.Term) float64 {
	if v.sum == 0 {
		return 0
	}
	found := 0.0
	for i, t := range v.terms {
		if has(terms, t.ID) {
			found += v.rare[i]
		}
	}
	return found / v.sum
}

func has(terms []lexical.Term, id uint32) bool {
	_, ok := slices.BinarySearchFunc(terms, id, func(t lexical.Term, id uint32) int { return cmp.Compare(t.ID, id) })
	return ok
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

// vocabularies weighs the question's words for each language of the texts, by
// how few of that language's sentences hold them.
func (w *Writer) vocabularies(asked Asked, texts []text) map[lexical.Language]*vocabulary {
	out := make(map[lexical.Language]*vocabulary, 1)
	for i := range texts {
		l := texts[i].language
		if out[l] != nil {
			continue
		}
		in := lexical.Set(0).With(l)
		v := &vocabulary{terms: w.analyzer.Query(asked.Question, in)}
		turn := w.analyzer.Query(asked.Turn, in)
		v.rare = make([]float64, len(v.terms))
		all := 0
		holding := make([]int, len(v.terms))
		for k := range texts {
			if texts[k].language != l {
				continue
			}
			for _, s := range texts[k].each {
				all++
				for n, t := range v.terms {
					if has(s, t.ID) {
						holding[n]++
					}
				}
			}
		}
		v.words = w.wordsOf(v.terms, asked.Question, in)
		v.met = met(v.terms, holding, texts)
		for n := range v.terms {
			v.rare[n] = lexical.IDF(all+unseen, holding[n])
			if has(turn, v.terms[n].ID) && holding[n] > 0 {
				v.rare[n] *= turnWeight
				v.turn = append(v.turn, v.terms[n])
			}
			v.sum += v.rare[n]
		}
		out[l] = v
	}
	return out
}

// met returns which part of the question's terms a sentence, of which as many
// hold each as holding says, or a header of the texts has.
func met(terms []lexical.Term, holding []int, texts []text) float64 {
	found := 0
	for n, t := range terms {
		if holding[n] > 0 || slices.ContainsFunc(texts, func(x text) bool { return has(x.header, t.ID) }) {
			found++
		}
	}
	return float64(found) / float64(max(1, len(terms)))
}

// unseen is how many sentences without any of the question's words are taken
// for granted beside the ones at hand: among three sentences, a word that is
// missing is no rarer than one that is there.
const unseen = 20

// add makes candidates of a passage's sentences.
func (w *Writer) add(q *inquiry, i int, t *text, words *vocabulary, bestScore float64) {
	p := &q.passages[i]
	other, strange := q.mistaken(p)
	if other {
		return
	}
	shares := make([]float64, len(t.spans))
	for k := range t.spans {
		shares[k] = words.share(t.each[k]) + words.kinship(t.spans[k].Of(p.Text), t.each[k])
	}
	q.cover[i] = words.share(merge(t.terms, t.header))
	title := words.share(t.header)
	heading, above := 0.0, []lexical.Term(nil)
	retrieval := 1 / float64(i+1)
	if bestScore > 0 {
		retrieval = max(p.Score, 0) / bestScore
	}
	intro := -1
	for k, s := range t.spans {
		body := s.Of(p.Text)
		switch s.Kind {
		case sentence.Heading:
			heading, above = shares[k], t.each[k]
			continue
		case sentence.Prose, sentence.Line:
			intro = -1
		}
		if t.heads[k] == k {
			continue // what heads a table says nothing without a row
		}
		if introduces(t.spans, k, body) {
			intro = k
			continue
		}
		if s.Kind == sentence.Code || !usable(body) || (s.Kind == sentence.Prose || s.Kind == sentence.Line) && data(body) {
			continue
		}
		if strange && (s.Kind == sentence.Line || s.Kind == sentence.Row) {
			continue
		}
		if s.Kind == sentence.Line && !adds(t.each[k], words.terms) && q.asks.met(body, q.question, t.language) == 0 {
			continue
		}
		c := &candidate{
			passage: i, index: k, span: s, spans: t.spans, terms: t.each[k], intro: intro, header: t.heads[k], own: shares[k],
			named:   w.named(words, keys(s, p.Text), t.language),
			overlap: shares[k], heading: max(title, heading), retrieval: retrieval, cue: q.asks.met(body, q.question, t.language),
		}
		if k > 0 && t.spans[k-1].Kind != sentence.Heading {
			c.previous = shares[k-1]
			if c.leansBack(p.Text) {
				// The sentence before comes along, so its words count in full.
				c.overlap = max(c.overlap, words.share(merge(t.each[k-1], t.each[k])))
			}
		}
		if intro >= 0 {
			c.overlap = max(c.overlap, words.share(merge(t.each[intro], t.each[k])))
		}
		if c.header >= 0 && c.own > 0 {
			c.overlap = max(c.overlap, words.share(merge(t.each[c.header], t.each[k])))
		}
		if k+1 < len(t.spans) && t.spans[k+1].Kind != sentence.Heading && t.spans[k+1].Kind != sentence.Line {
			c.next = shares[k+1]
		}
		if n := len(t.each[k]); n > 0 {
			c.dense = shares[k] * float64(len(words.terms)) / math.Max(float64(n), 5)
		}
		c.strays = len(words.turn) > 0 && !meets(words.turn, t.header, above, t.each[k], t.lead(c.intro), t.lead(c.header), t.lead(k-1))
		if c.overlap+c.previous+c.heading > 0 {
			q.candidates = append(q.candidates, c)
		}
	}
}

// named returns the share of the question's words in the best of the keys that it has every word of.
func (w *Writer) named(words *vocabulary, keys []string, l lexical.Language) float64 {
	best := 0.0
	for _, key := range keys {
		if terms := w.analyzer.Query(key, lexical.Set(0).With(l)); !adds(terms, words.terms) {
			best = max(best, words.share(terms))
		}
	}
	return best
}

// adds reports whether a line has a word that the question has not.
func adds(line, asked []lexical.Term) bool {
	return slices.ContainsFunc(line, func(t lexical.Term) bool { return !has(asked, t.ID) })
}

// introduces reports whether a sentence only introduces the rows or items
// that follow: it ends with a colon, and says nothing without them.
func introduces(spans []sentence.Span, k int, body string) bool {
	if !strings.HasSuffix(body, ":") && !strings.HasSuffix(body, "：") {
		return false
	}
	for _, s := range spans[k+1:] {
		if s.Kind != sentence.Heading {
			return s.Kind == sentence.Row || s.Kind == sentence.Item
		}
	}
	return false
}

// merge returns the union of two sorted lists of terms.
func merge(a, b []lexical.Term) []lexical.Term {
	out := append(slices.Clone(a), b...)
	slices.SortFunc(out, lexical.Compare)
	return out
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
