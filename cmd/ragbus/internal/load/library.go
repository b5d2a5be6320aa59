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

// fact is a sentence that a question can be asked about.
type fact struct {
	thing, place, done, person string
	year                       int
}

// facts are how many sentences of a section say something.
const facts = 4

// fact returns the i-th fact of a section.
func (l *Library) fact(section, i int) fact {
	r := l.random(3, section*facts+i)
	things := []string{"bridge", "library", "harbour", "school", "railway", "theatre", "museum", "hospital", "market", "tower", "canal", "mill"}
	done := []string{"finished", "rebuilt", "opened", "sold", "moved", "painted", "repaired", "closed"}
	return fact{
		thing: things[r.IntN(len(things))], done: done[r.IntN(len(done))], year: 1700 + r.IntN(320),
		place: title(l.words[r.IntN(len(l.words))]), person: title(l.words[r.IntN(len(l.words))]),
	}
}

func title(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

func (f fact) sentence() string {
	return fmt.Sprintf("The %s of %s was %s by the engineer %s in the year %d.", f.thing, f.place, f.done, f.person, f.year)
}

func (f fact) question() string {
	return fmt.Sprintf("In which year was the %s of %s %s by the engineer %s?", f.thing, f.place, f.done, f.person)
}

// section returns the sentences of one section: a few facts among words.
func (l *Library) section(n int) []string {
	r := l.random(1, n)
	between := glue()
	var out []string
	for size := 0; size < sectionLength; {
		if len(out)%2 == 1 && len(out) < 2*facts {
			out = append(out, l.fact(n, len(out)/2).sentence())
			size += len(out[len(out)-1]) + 1
			continue
		}
		var b strings.Builder
		length := 9 + r.IntN(8)
		for i := range length {
			w := l.word(r)
			switch {
			case i == 0:
				w = title(w)
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

// Question returns the n-th question, about a fact of some section.
func (l *Library) Question(n int) string {
	r := l.random(2, n)
	return l.fact(r.IntN(l.sections), r.IntN(facts)).question()
}
