package question

import (
	"slices"
	"strings"
	"unicode"

	"github.com/ragbus/ragbus/pkg/event"
)

// maxDependentWords is the length up to which a question with a pronoun is
// taken for a follow-up; longer ones carry their own subject.
const maxDependentWords = 12

// byRules puts the last stand-alone question of the user before a question
// that leans on it. Joining more of the history makes retrieval worse
// (docs/quality.md), so only what clearly depends is touched.
func byRules(history []event.Turn, question string) string {
	if !leans(question) {
		return question
	}
	for _, t := range slices.Backward(history) {
		if t.Role == "user" && !leans(t.Content) {
			return strings.TrimSpace(clip(t.Content, maxQuery/2)) + " " + question
		}
	}
	return question
}

// leans reports whether a question refers to something said before: it has a
// pronoun without a name, starts like an ellipsis, or has hardly a word of its own.
func leans(question string) bool {
	words := strings.FieldsFunc(strings.ToLower(question), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '\''
	})
	if len(words) == 0 || len(words) > maxDependentWords {
		return false
	}
	start := strings.Join(words[:min(2, len(words))], " ")
	if ellipsis(start) || ellipsis(words[0]) {
		return true
	}
	own := 0
	for _, w := range words {
		if refers(w) {
			return true
		}
		if !functional(w) {
			own++
		}
	}
	return own == 0
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

func functional(w string) bool {
	switch w {
	case "a", "an", "the", "is", "are", "was", "were", "do", "does", "did", "how", "what", "when", "where", "who", "which", "whom", "whose", "can", "could", "will", "would",
		"should", "much", "many", "more", "of", "in", "on", "at", "to", "for", "by", "with", "from", "you", "i", "me", "we", "us", "please", "so", "if", "be", "been", "long", "often",
		"tell", "explain", "exactly", "mean", "really", "else", "any", "some", "other", "others":
		return true
	}
	return false
}
