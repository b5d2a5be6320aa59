package question

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/event"
)

// maxDependentWords is the length up to which a question with a pronoun is
// taken for a follow-up; longer ones carry their own subject.
const maxDependentWords = 12

// byRules puts what a question leans on before it: the last question of the
// user that stands alone and, where a later turn has changed the subject
// ("what about the Pike?"), that turn. Joining more of the history makes
// retrieval worse (docs/quality.md), so only what clearly depends is touched.
func byRules(history []event.Turn, question string) string {
	asked := read(question)
	if !asked.leans() {
		return question
	}
	subject := ""
	for _, t := range slices.Backward(history) {
		if t.Role != "user" || Courtesy(t.Content) {
			continue
		}
		earlier := read(t.Content)
		said := strings.TrimSpace(clip(t.Content, maxQuery/2))
		if !earlier.leans() {
			if q, ok := asked.renumber(said); ok {
				return q
			}
			return strings.Join(strings.Fields(said+" "+subject+" "+question), " ")
		}
		if subject == "" && earlier.own > 0 && !earlier.refers {
			subject = said
		}
	}
	return question
}

// turn is what the words of a turn tell.
type turn struct {
	words []string
	// own counts the words that say something by themselves.
	own int
	// refers: a word points back; elliptic: it begins like the rest of a question.
	refers, elliptic bool
	numbers          []string
}

func read(question string) turn {
	t := turn{words: split(question)}
	if len(t.words) == 0 {
		return t
	}
	t.elliptic = ellipsis(t.words[0]) || ellipsis(strings.Join(t.words[:min(2, len(t.words))], " "))
	for _, w := range t.words {
		switch {
		case number(w):
			t.numbers = append(t.numbers, w)
		case refers(w):
			t.refers = true
		case !functional(w) && !ellipsis(w):
			t.own++
		}
	}
	return t
}

// split returns a question's words in lower case. An apostrophe parts words:
// what leans is the "it" of "it's".
func split(question string) []string {
	return strings.FieldsFunc(strings.ToLower(question), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
}

// leans reports whether a question refers to something said before: it has a
// pronoun without a name, starts like an ellipsis, or has hardly a word of its own.
func (t turn) leans() bool {
	if len(t.words) == 0 || len(t.words) > maxDependentWords {
		return false
	}
	return t.elliptic || t.refers || t.own == 0
}

// renumber returns an earlier question with the turn's number in place of its
// own: "and in 2023?" asks the same of another year. It is not ok when the turn
// says more than a number, or the earlier question has not one like it.
func (t turn) renumber(earlier string) (string, bool) {
	if len(t.numbers) != 1 || t.own > 0 || t.refers {
		return "", false
	}
	at := -1
	words := strings.Fields(earlier)
	for i, w := range words {
		if n := digits(w); number(n) && len(n) == len(t.numbers[0]) {
			if at >= 0 {
				return "", false
			}
			at = i
		}
	}
	if at < 0 {
		return "", false
	}
	words[at] = strings.Replace(words[at], digits(words[at]), t.numbers[0], 1)
	return strings.Join(words, " "), true
}

// digits returns a word without the marks around it.
func digits(word string) string {
	return strings.TrimFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
}

func number(w string) bool {
	return w != "" && !strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsDigit(r) })
}

// refers lists words that point back, in the languages whose stop words we know best.
func refers(w string) bool {
	switch w {
	case "it", "its", "they", "them", "their", "theirs", "he", "him", "his", "she", "her", "hers", "this", "that", "these", "those", "there", "one", "ones", "former", "latter",
		"er", "sie", "ihn", "ihm", "ihr", "dessen", "deren", "dort", "dies", "diese", "dieser", "dieses", "damit", "davon", "dafür", "darüber",
		"il", "elle", "ils", "elles", "lui", "leur", "cela", "ça", "celui", "celle", "ceux", "y",
		"él", "ella", "ellos", "ellas", "esto", "eso", "esta", "este", "ese", "esa", "allí",
		"он", "она", "оно", "они", "его", "её", "их", "это", "этот", "эта", "там":
		return true
	}
	return false
}

func ellipsis(start string) bool {
	switch start {
	case "and", "or", "but", "also", "what about", "how about", "why not", "why", "then", "und", "aber", "et", "mais", "y", "pero", "и", "а", "но", "was ist", "et pour", "¿y", "tell more", "anything else", "what else":
		return true
	}
	return false
}

// functional lists words that say nothing without others; a single letter is what an apostrophe left.
func functional(w string) bool {
	switch w {
	case "a", "an", "the", "is", "are", "was", "were", "do", "does", "did", "how", "what", "when", "where", "who", "which", "whom", "whose", "can", "could", "will", "would",
		"should", "has", "have", "had", "may", "must", "much", "many", "more", "of", "in", "on", "at", "to", "for", "by", "with", "from", "about", "as", "you", "i", "me", "we", "us", "please",
		"so", "if", "be", "been", "long", "often", "tell", "explain", "exactly", "mean", "really", "else", "any", "some", "other", "others",
		"since", "until", "till", "before", "after", "during", "ago", "now", "today", "then", "again", "same", "only", "not", "no", "yes",
		"wann", "wer", "wo", "wie", "warum", "wieso", "welche", "welcher", "welches", "seit", "bis", "vor", "nach", "ab", "im", "am", "der", "das", "ist", "viel", "viele", "lange", "genau",
		"desde", "hasta", "antes", "después", "cuándo", "cuando", "quién", "dónde", "cómo", "por", "qué", "cuánto", "cuántos", "el", "los", "en", "es",
		"depuis", "jusqu", "avant", "après", "quand", "qui", "où", "comment", "pourquoi", "combien", "quoi", "le", "les", "est", "de", "ce",
		"с", "до", "после", "когда", "кто", "где", "как", "почему", "сколько", "каких", "пор", "в":
		return true
	}
	return utf8.RuneCountInString(w) == 1
}
