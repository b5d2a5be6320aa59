// Package load drives a running server over HTTP and measures it: questions
// from many clients, documents of any size, and what both cost in time,
// processor and memory. What it sends is made from a seed, so that two runs
// ask the same.
package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

const (
	// vocabulary is how many different words the library has, about those of a real one of this size.
	vocabulary = 20_000
	// sectionLength is in bytes: one section becomes one chunk.
	sectionLength = 1000
	// sectionsPerDocument is how many sections share a document.
	sectionsPerDocument = 50
)

// Library is a collection of made-up texts. It is immutable.
type Library struct {
	seed     uint64
	sections int
	words    []string
	// weight is the running sum of each word's share (Zipf's law, exponent 1).
	weight []float64
}

// NewLibrary returns the library of a seed with that many sections of about 1,000 characters.
func NewLibrary(seed uint64, sections int) *Library {
	l := &Library{seed: seed, sections: sections, words: make([]string, vocabulary), weight: make([]float64, vocabulary)}
	sum := 0.0
	for i := range l.words {
		sum += 1 / float64(i+1)
		l.words[i], l.weight[i] = spell(i), sum
	}
	return l
}

// spell returns the i-th word: two or more syllables, so that no two are
// alike and stemming has something to do.
func spell(i int) string {
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	var b strings.Builder
	for n := i + len(consonants)*len(vowels); n > 0; n /= len(consonants) * len(vowels) {
		s := n % (len(consonants) * len(vowels))
		b.WriteByte(consonants[s/len(vowels)])
		b.WriteByte(vowels[s%len(vowels)])
	}
	return b.String() + "n"
}

// glue are the words between the others, as every language has them.
func glue() []string { return []string{"the", "of", "and", "in", "to", "is", "with", "for"} }

func (l *Library) word(r *rand.Rand) string {
	at := r.Float64() * l.weight[len(l.weight)-1]
	low, high := 0, len(l.weight)-1
	for low < high {
		mid := (low + high) / 2
		if l.weight[mid] < at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return l.words[low]
}

func (l *Library) random(kind, n int) *rand.Rand {
	return rand.New(rand.NewPCG(l.seed+uint64(kind)<<32, uint64(n))) //nolint:gosec // repeatable, not secret
}

// section returns the sentences of one section.
func (l *Library) section(n int) []string {
	r := l.random(1, n)
	between := glue()
	var out []string
	for size := 0; size < sectionLength; {
		var b strings.Builder
		length := 9 + r.IntN(8)
		for i := range length {
			w := l.word(r)
			switch {
			case i == 0:
				w = strings.ToUpper(w[:1]) + w[1:]
			case i%3 == 1 && i < length-1:
				w = between[r.IntN(len(between))]
			}
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(w)
		}
		b.WriteByte('.')
		out = append(out, b.String())
		size += b.Len() + 1
	}
	return out
}

// Document is a text to upload.
type Document struct {
	ID       string
	Markdown string
	Sections int
}

// Documents returns how many documents the library has.
func (l *Library) Documents() int {
	return int(math.Ceil(float64(l.sections) / sectionsPerDocument))
}

// Document returns the n-th document, from 0.
func (l *Library) Document(n int) Document {
	var b strings.Builder
	fmt.Fprintf(&b, "# Book %d\n\n", n)
	first := n * sectionsPerDocument
	last := min(first+sectionsPerDocument, l.sections)
	for i := first; i < last; i++ {
		fmt.Fprintf(&b, "## Section %d\n\n%s\n\n", i, strings.Join(l.section(i), " "))
	}
	return Document{ID: fmt.Sprintf("book-%05d", n), Markdown: b.String(), Sections: last - first}
}

// Question returns the n-th question: half of the words of one sentence of
// the library and two other words, so that no two questions are alike.
func (l *Library) Question(n int) string {
	r := l.random(2, n)
	sentences := l.section(r.IntN(l.sections))
	words := strings.Fields(strings.TrimSuffix(sentences[r.IntN(len(sentences))], "."))
	r.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	words = append(words[:len(words)/2], l.word(r), l.word(r))
	return "What is said about " + strings.ToLower(strings.Join(words, " ")) + "?"
}
