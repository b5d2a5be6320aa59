package evidence

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/lexical"
)

// scope is how many content words behind a negation are taken to be negated.
const scope = 2

// contradicts reports whether claim and evidence negate each other: what one
// negates, the other states without any negation. A negation of something
// that the other does not speak of ("it is not X but Y" beside "it is Y")
// contradicts nothing.
func (p *Passage) contradicts(c *Claim, first, last int) bool {
	quote := p.Text[p.Sentences[first].Start:p.Sentences[last].End]
	claimed, denied := p.judge.negated(c.Text, p.Language), p.judge.negated(quote, p.Language)
	if len(claimed) == 0 && len(denied) == 0 {
		return false
	}
	if len(claimed) > 0 {
		// The evidence must negate something too; what exactly is often worded otherwise.
		return len(denied) == 0 && len(p.judge.negated(p.Text, p.Language)) == 0
	}
	words := c.whole.words(p.judge, p.Language)
	for _, d := range denied {
		if len(d) == 0 {
			continue
		}
		all := true
		for _, w := range d {
			all = all && holds(words, w.ID)
		}
		if all && !p.statedElsewhere(c, words) {
			return true
		}
	}
	return false
}

// statedElsewhere reports whether one sentence without negation bears the claim out by itself.
func (p *Passage) statedElsewhere(c *Claim, words []lexical.Term) bool {
	m := p.match(c, words)
	for i, s := range p.Sentences {
		if len(p.judge.negated(s.Of(p.Text), p.Language)) > 0 {
			continue
		}
		if found, _ := m.cover(i, i); found >= p.judge.limits.Window {
			return true
		}
	}
	return false
}

// negated returns, for each negation of a text, the terms of the content
// words in its scope. It returns nil without further work for most texts, which negate nothing.
func (j *Judge) negated(text string, l lexical.Language) [][]lexical.Term {
	if !anyNegates(text) {
		return nil
	}
	var out [][]lexical.Term
	words := strings.FieldsFunc(text, parts)
	for i, raw := range words {
		w := fold(raw)
		if !negates(w) {
			if rest := hanNegation(raw); rest != "" {
				out = append(out, j.Words(rest, l))
			}
			continue
		}
		var scoped []lexical.Term
		for n, k := 0, i+1; k < len(words) && n < scope; k++ {
			if terms := j.Words(words[k], l); len(terms) > 0 {
				scoped = append(scoped, terms...)
				n++
			}
			if strings.HasSuffix(words[k], ",") || strings.HasSuffix(words[k], ".") || strings.HasSuffix(words[k], ";") {
				break
			}
		}
		out = append(out, scoped)
	}
	return out
}

// parts reports whether a rune parts words that may negate.
func parts(r rune) bool { return unicode.IsSpace(r) || r == '(' || r == ')' }

// anyNegates reports whether any word of a text negates.
func anyNegates(text string) bool {
	for start := 0; start < len(text); {
		end, ascii := start, true
		for end < len(text) {
			r, size := rune(text[end]), 1
			if r >= utf8.RuneSelf {
				r, size = utf8.DecodeRuneInString(text[end:])
			}
			if parts(r) {
				break
			}
			ascii = ascii && r < utf8.RuneSelf
			end += size
		}
		word := text[start:end]
		switch {
		case ascii && asciiNegates(word), !ascii && (negates(fold(word)) || hanNegation(word) != ""):
			return true
		case end == len(text):
			return false
		}
		_, size := utf8.DecodeRuneInString(text[end:])
		start = end + size
	}
	return false
}

// longestNegation is no shorter, in bytes, than any word of ASCII that [negates] lists.
const longestNegation = 12

// asciiNegates reports whether a word of ASCII negates when it is folded.
func asciiNegates(word string) bool {
	for word != "" && !alphanumeric(word[0]) {
		word = word[1:]
	}
	for word != "" && !alphanumeric(word[len(word)-1]) {
		word = word[:len(word)-1]
	}
	if len(word) > longestNegation {
		return strings.EqualFold(word[len(word)-3:], "n't")
	}
	var lower [longestNegation]byte
	for i := range len(word) {
		lower[i] = word[i]
		if c := word[i]; c >= 'A' && c <= 'Z' {
			lower[i] = c | 0x20
		}
	}
	return negates(string(lower[:len(word)]))
}

func alphanumeric(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
}

// negates reports whether a folded word negates what follows.
func negates(w string) bool {
	switch w {
	case "not", "no", "never", "none", "neither", "nor", "without", "cannot", "lack", "lacks", "lacked", "lacking", "fail", "fails", "failed", "unable", "nobody", "nothing",
		"nicht", "kein", "keine", "keinen", "keinem", "keiner", "keines", "nie", "niemals", "ohne", "weder", "nichts", "niemand",
		"nunca", "jamás", "sin", "ningún", "ninguna", "ninguno", "tampoco", "nadie",
		"pas", "jamais", "aucun", "aucune", "sans",
		"non", "mai", "senza", "nessun", "nessuna", "não", "nenhum", "nenhuma", "sem", "niet", "geen", "nooit", "zonder", "inte", "ikke", "không",
		"не", "нет", "ни", "без", "никогда", "никто", "ничего",
		"δεν", "μη", "μην", "ποτέ", "χωρίς",
		"لا", "لم", "لن", "ليس", "ليست", "بدون", "غير":
		return true
	}
	return strings.HasSuffix(w, "n't") || strings.HasSuffix(w, "n’t")
}

// hanNegation returns what follows a Chinese negation in an unspaced word, as far as the scope goes, else "".
func hanNegation(w string) string {
	for _, mark := range []string{"不", "没", "沒", "未", "并非", "無法", "无法"} {
		_, rest, ok := strings.Cut(w, mark)
		if !ok || rest == "" {
			continue
		}
		runes := []rune(rest)
		return string(runes[:min(len(runes), scope)])
	}
	return ""
}
