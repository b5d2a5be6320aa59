package answer

import (
	"context"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/evidence"
	"github.com/ragbus/ragbus/services/generator/internal/sentence"
)

// Cite ties a quote, the bytes [start, end) of the passage's text, to a marker.
// The citation's offsets are code points in the text of the passage's page.
func Cite(marker int, p *corpus.Passage, start, end int, supported bool) conversation.Citation {
	quote := p.Text[start:end]
	from := p.CharStart + utf8.RuneCountInString(p.Text[:start])
	return conversation.Citation{
		Marker: marker, PassageID: p.ID, DocumentID: p.DocumentID, Version: p.Version, Title: p.Title, Source: p.Source, Page: p.PageStart,
		Quote: quote, CharStart: from, CharEnd: from + utf8.RuneCountInString(quote), Supported: supported,
	}
}

// Checker checks the citations of finished answers. It is safe for concurrent use.
type Checker struct {
	analyzer *lexical.Analyzer
	judge    *evidence.Judge
	embedder embed.Embedder
}

// NewChecker returns a checker. The embedder is asked about claims of which
// words alone do not decide, if it is the measured one; else, and with nil,
// those stay unsupported.
func NewChecker(a *lexical.Analyzer, embedder embed.Embedder) *Checker {
	if embedder != nil && embedder.Profile().Model != evidence.MeasuredModel {
		embedder = nil
	}
	return &Checker{analyzer: a, judge: evidence.NewJudge(a, evidence.DefaultThresholds()), embedder: embedder}
}

// group is markers that stand together behind a claim.
type group struct {
	at      int // byte in the text without markers
	markers []int
}

// unmark returns the text without its [n] markers, and where they stood. Fenced code is left alone.
func unmark(text string) (plain string, groups []group) {
	buf := make([]byte, 0, len(text))
	ticks, fenced := 0, false
	for i := 0; i < len(text); {
		if text[i] == '`' {
			if ticks++; ticks == 3 {
				fenced = !fenced
			}
		} else {
			ticks = 0
		}
		n, size := markerAt(text[i:])
		if fenced || size == 0 {
			buf = append(buf, text[i])
			i++
			continue
		}
		i += size
		if len(groups) == 0 || groups[len(groups)-1].at != len(buf) {
			groups = append(groups, group{at: len(buf)})
		}
		last := &groups[len(groups)-1]
		last.markers = append(last.markers, n)
	}
	return string(buf), groups
}

// markerAt reads "[n]" at the beginning of s; size is 0 when there is none.
func markerAt(s string) (n, size int) {
	if len(s) < 3 || s[0] != '[' {
		return 0, 0
	}
	end := 1
	for end < len(s) && end < 5 && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	if end == 1 || end >= len(s) || s[end] != ']' {
		return 0, 0
	}
	n, err := strconv.Atoi(s[1:end])
	if err != nil || n == 0 {
		return 0, 0
	}
	return n, end + 1
}

// pending is a citation about which words alone do not decide.
type pending struct {
	index int
	claim string
}

// checking is the check of one answer.
type checking struct {
	*Checker
	plain     string
	sentences []sentence.Span
	language  func() lexical.Language // of plain
	passages  []corpus.Passage
	read      []*evidence.Passage // by passage, made when first cited
	citations []conversation.Citation
	unsure    []pending
}

// Check finds what each marker of an answer claims, checks it against the
// passage it names (passages[n-1]) and returns one citation for each marker
// and quote, in the order of the text. Markers of missing passages are
// ignored; [Parser] has dropped them.
func (c *Checker) Check(ctx context.Context, question, text string, passages []corpus.Passage) []conversation.Citation {
	plain, groups := unmark(text)
	if len(groups) == 0 {
		return nil
	}
	k := checking{
		Checker: c, plain: plain, sentences: sentence.Split(plain), language: sync.OnceValue(func() lexical.Language { return c.analyzer.Language(plain) }),
		passages: passages, read: make([]*evidence.Passage, len(passages)), citations: make([]conversation.Citation, 0, len(groups)),
	}
	before, asked := 0, evidence.NewQuestion(question)
	for _, g := range groups {
		if claims := claimsOf(plain, k.sentences, before, g.at, asked); len(claims) > 0 {
			k.group(g, claims)
		}
		before = g.at
	}
	c.ask(ctx, k.citations, k.unsure)
	return distinct(k.citations)
}

// group checks the markers of one place. What none of several passages bears
// out alone, they may bear out together.
func (k *checking) group(g group, claims []*evidence.Claim) {
	known := g.markers[:0:0]
	var together []*evidence.Passage
	for _, n := range g.markers {
		if n <= len(k.passages) {
			known = append(known, n)
			together = append(together, k.passage(n))
		}
	}
	union := len(together) > 1 && evidence.Together(claims[len(claims)-1], together)
	for i, n := range known {
		k.cite(n, together[i], claims, union)
	}
}

func (k *checking) passage(n int) *evidence.Passage {
	if k.read[n-1] == nil {
		k.read[n-1] = k.judge.Read(k.passages[n-1].Text)
	}
	return k.read[n-1]
}

// cite adds the citation of one marker.
func (k *checking) cite(n int, p *evidence.Passage, claims []*evidence.Claim, union bool) {
	v, claim := best(p, claims)
	supported, foreign := v.Supported || union && !v.Contradicted, false
	if !supported {
		// Words of another language than the passage's can agree in numbers only.
		foreign = v.Foreign || p.Language != k.language()
		supported = foreign && v.Numbers && claim.HasNumbers()
	}
	start, end := p.Quote(claim, v)
	k.citations = append(k.citations, Cite(n, &k.passages[n-1], start, end, supported))
	if !supported && v.Numbers && !v.Contradicted && (foreign || v.Window >= unsureFrom) {
		k.unsure = append(k.unsure, pending{len(k.citations) - 1, claim.Text})
	}
}

// unsureFrom is the share of a claim's words from which a meaning may decide instead.
const unsureFrom = 0.25

// best checks the narrow claim before the wide one and returns the verdict that speaks for the citation.
func best(p *evidence.Passage, claims []*evidence.Claim) (evidence.Verdict, *evidence.Claim) {
	v := p.Check(claims[0])
	if v.Supported || len(claims) == 1 {
		return v, claims[0]
	}
	if wide := p.Check(claims[1]); wide.Supported {
		return wide, claims[1]
	}
	return v, claims[0]
}

// claimsOf returns what markers at a byte of the plain text claim: first the
// words since the last markers, when those say enough, then the whole sentence.
func claimsOf(plain string, sentences []sentence.Span, before, at int, question *evidence.Question) []*evidence.Claim {
	i := sentenceAt(plain, sentences, at)
	if i < 0 {
		return nil
	}
	s := sentences[i]
	whole := evidence.NewClaim(s.Of(plain), question)
	from, to := max(s.Start, before), min(max(at, s.Start), s.End)
	if from <= s.Start && to >= s.End || to <= from || utf8.RuneCountInString(plain[from:to]) < shortClaim {
		return []*evidence.Claim{whole}
	}
	return []*evidence.Claim{evidence.NewClaim(plain[from:to], question), whole}
}

// shortClaim is how many code points a part of a sentence needs to be a claim of its own.
const shortClaim = 16

// sentenceAt returns the sentence that markers at a byte belong to: the one
// they stand in or behind; at the beginning of a line, the one they stand before.
func sentenceAt(plain string, sentences []sentence.Span, at int) int {
	last := -1
	for i, s := range sentences {
		if s.Start >= at {
			break
		}
		last = i
	}
	switch {
	case last < 0 && len(sentences) > 0:
		return 0
	case last < 0:
		return -1
	case last+1 < len(sentences) && at > sentences[last].End && containsNewline(plain[sentences[last].End:at]):
		return last + 1
	}
	return last
}

func containsNewline(s string) bool {
	for i := range len(s) {
		if s[i] == '\n' {
			return true
		}
	}
	return false
}

// The embedder is asked about at most maxUnsure citations, and believed from
// sameMeaning on. Of MTRAG's sentences about which words leave doubt, that
// takes 46 % of those held against the gold passages, and 3.5 % of those held
// against the most similar other one.
const (
	maxUnsure   = 4
	sameMeaning = 0.65
)

// ask decides by meaning what words left open. Without an embedder, or when it fails, the citations stay unsupported.
func (c *Checker) ask(ctx context.Context, citations []conversation.Citation, unsure []pending) {
	if c.embedder == nil || len(unsure) == 0 {
		return
	}
	unsure = unsure[:min(len(unsure), maxUnsure)]
	texts := make([]string, 0, 2*len(unsure))
	for _, u := range unsure {
		texts = append(texts, u.claim, citations[u.index].Quote)
	}
	vectors, err := c.embedder.Embed(ctx, embed.Passage, texts)
	if err != nil || len(vectors) != len(texts) {
		return
	}
	for i, u := range unsure {
		if dot(vectors[2*i], vectors[2*i+1]) >= sameMeaning {
			citations[u.index].Supported = true
		}
	}
}

func dot(a, b []float32) float64 {
	var sum float64
	for i := range min(len(a), len(b)) {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// distinct drops repeated citations of the same quote by the same marker; a supported one wins.
func distinct(all []conversation.Citation) []conversation.Citation {
	out := all[:0]
next:
	for _, c := range all {
		for i := range out {
			if out[i].Marker == c.Marker && out[i].CharStart == c.CharStart && out[i].CharEnd == c.CharEnd {
				out[i].Supported = out[i].Supported || c.Supported
				continue next
			}
		}
		out = append(out, c)
	}
	return out
}
