package evidence

import (
	"strings"
	"sync"

	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/sentence"
)

// Passage is a passage made ready for any number of claims. It is immutable.
type Passage struct {
	Text      string
	Sentences []sentence.Span
	Language  lexical.Language

	judge   *Judge
	terms   []lexical.Term
	numbers []string
	script  int
	each    []part
}

// part is what is known of one sentence.
type part struct {
	terms   []lexical.Term
	numbers []string
}

// Read makes a passage ready. The same passages are cited again and again, so
// those read last are remembered; what is returned may be shared.
func (j *Judge) Read(text string) *Passage {
	if p := j.known.find(text); p != nil {
		return p
	}
	p := j.read(strings.Clone(text)) // text may be a piece of something large
	j.known.keep(p)
	return p
}

func (j *Judge) read(text string) *Passage {
	a := j.analyzer.Analyze(text)
	p := &Passage{
		Text: text, Sentences: sentence.Split(text), Language: a.Language, judge: j,
		terms: a.Terms, numbers: Numbers(text, true), script: scriptOf(text),
	}
	p.each = make([]part, len(p.Sentences))
	for i, s := range p.Sentences {
		p.each[i] = part{terms: j.Words(s.Of(text), p.Language), numbers: Numbers(s.Of(text), true)}
	}
	return p
}

const (
	// shelfBytes is how much text a shelf has at most, at about 1,000 bytes a passage.
	shelfBytes = 2 << 20
	// longestKept is the length in bytes of the longest passage that is kept.
	longestKept = 16 << 10
)

// shelf remembers passages by their text. It has two halves: what is asked
// for is moved to the new one, and when that is full, the old one is thrown
// away. It is safe for concurrent use.
type shelf struct {
	half int // in bytes of text

	mu   sync.Mutex
	size int // of recent
	// recent and old are what was asked for since, and before, the last change.
	recent, old map[string]*Passage
}

func newShelf(bytes int) *shelf {
	return &shelf{half: bytes / 2, recent: make(map[string]*Passage)}
}

// find returns the passage with a text, or nil.
func (s *shelf) find(text string) *Passage {
	if len(text) > longestKept {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.recent[text]; ok {
		return p
	}
	p, ok := s.old[text]
	if ok {
		s.put(p)
	}
	return p
}

func (s *shelf) keep(p *Passage) {
	if len(p.Text) > longestKept {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(p)
}

// put is keep with the lock held.
func (s *shelf) put(p *Passage) {
	if _, ok := s.recent[p.Text]; ok {
		return
	}
	if s.size+len(p.Text) > s.half {
		s.old, s.recent, s.size = s.recent, make(map[string]*Passage, len(s.recent)), 0
	}
	s.recent[p.Text] = p
	s.size += len(p.Text)
}
