package sentence

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLine is how long, in runes, a line without an end mark is at most to be more than a piece of prose.
const maxLine = 80

// lone tells headings from lines that say something, among the single short
// lines of prose without an end mark. A line that states something is no
// heading wherever it stands; of the others, one above a block names it, and
// one among others like it is one of a list of facts.
func lone(text string, all []block) {
	short := make([]bool, len(all))
	for i := range all {
		short[i] = all[i].short(text)
	}
	for i := range all {
		if !short[i] {
			continue
		}
		b := &all[i]
		last := i+1 == len(all)
		switch line := text[b.start:b.end]; {
		case last, states(line):
			b.kind = Line
		case all[i+1].marked && all[i+1].kind == Heading:
			b.kind = Line // what stands above a marked heading is not above anything else
		case short[i+1] && i > 0 && (short[i-1] || all[i-1].kind == Heading):
			b.kind = Line
		default:
			b.kind = Heading
		}
	}
}

// short reports whether a block is a single short line without an end mark.
func (b *block) short(text string) bool {
	if b.kind != Prose || b.lines != 1 {
		return false
	}
	line := strings.TrimSpace(text[b.start:b.end])
	last, _ := utf8.DecodeLastRuneInString(line)
	return utf8.RuneCountInString(line) <= maxLine && !strings.ContainsRune(`.!?…。！？:;,"”»)؟।`, last)
}

func (b *block) labelled(text string) bool {
	return b.kind == Prose && labelled(text[b.start:b.end])
}

// The bounds of a label.
const (
	maxLabel      = 40 // bytes
	maxLabelWords = 5
)

// labelled reports whether a line is a label and its value: "Phone: 555-0100".
func labelled(line string) bool { return Label(line) != "" }

// Label returns what names the value in a line such as "Phone: 555-0100", or
// "". What opens a bracket behind the colon is data for a machine, and no value.
func Label(line string) string {
	line = strings.TrimSpace(line)
	colon := strings.IndexAny(line, ":：")
	if colon <= 0 || colon > maxLabel {
		return ""
	}
	label := line[:colon]
	_, size := utf8.DecodeRuneInString(line[colon:])
	value := line[colon+size:]
	if v := strings.TrimSpace(value); v == "" || strings.ContainsRune("{[<", rune(v[0])) || size == 1 && value[0] != ' ' && value[0] != '\t' {
		return ""
	}
	if strings.ContainsAny(label, "?!;,") || strings.Contains(label, ". ") || len(strings.Fields(label)) > maxLabelWords ||
		!strings.ContainsFunc(label, unicode.IsLetter) {
		return ""
	}
	return label
}

// states reports whether a line says something rather than only naming what
// is below it: it has a value behind a label, a number that is not its own
// numbering, or a verb that makes a statement.
func states(line string) bool {
	words := strings.Fields(line)
	if labelled(line) {
		return true
	}
	question := len(words) > 0 && asking(fold(words[0]))
	for i, w := range words {
		if i == 0 || i+1 == len(words) && year(w) {
			continue
		}
		if strings.ContainsFunc(w, unicode.IsDigit) || !question && finite(fold(w)) {
			return true
		}
	}
	return false
}

// year reports whether a word is a year; one that ends a line names an edition: "Fees 2026".
func year(word string) bool {
	return len(word) == 4 && (word[0] == '1' || word[0] == '2') && allDigits(word)
}

func fold(word string) string {
	return strings.ToLower(strings.TrimFunc(word, func(r rune) bool { return !unicode.IsLetter(r) }))
}

// finite knows the verbs that make a statement of a short line most often.
func finite(word string) bool {
	switch word {
	case "is", "are", "was", "were", "has", "have", "had", "can", "may", "must", "will", "shall", "should",
		"ist", "sind", "war", "waren", "hat", "haben", "kann", "können", "darf", "dürfen", "muss", "müssen", "wird", "werden", "wurde", "heißt",
		"es", "son", "está", "están", "fue", "tiene", "hay", "puede", "debe", "est", "sont", "était", "ont", "peut", "doit",
		"è", "sono", "può", "deve", "é", "são", "tem", "pode", "zijn", "heeft", "kan", "moet", "wordt",
		"был", "была", "было", "были", "είναι", "ήταν", "là":
		return true
	}
	return false
}

// asking knows the words that begin a question; a line that begins so names what is answered below it.
func asking(word string) bool {
	switch word {
	case "what", "which", "who", "whom", "whose", "when", "where", "why", "how", "was", "welche", "welcher", "welches", "wer", "wann", "wo", "warum", "wie",
		"qué", "cuál", "quién", "cuándo", "dónde", "cómo", "que", "quel", "quelle", "qui", "quand", "où", "pourquoi", "comment",
		"che", "chi", "quando", "dove", "come", "perché", "quem", "onde", "como", "wat", "waar", "hoe", "что", "кто", "когда", "где", "почему", "как":
		return true
	}
	return false
}
