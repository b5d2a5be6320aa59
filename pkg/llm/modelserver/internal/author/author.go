// Package author writes the model server's answers: words that a prompt holds,
// with citations that hold.
package author

import (
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// source is one numbered source of a prompt.
type source struct {
	number int
	text   string
}

// sources finds the numbered, fenced sources in a prompt of the generator:
// "--- BOUNDARY source 3", headers, an empty line, the text, "--- BOUNDARY end of source 3".
func sources(prompt string) []source {
	var found []source
	for {
		at := strings.Index(prompt, "--- ")
		if at < 0 {
			return found
		}
		line, rest, ok := strings.Cut(prompt[at:], "\n")
		prompt = prompt[at+len("--- "):]
		words := strings.Fields(line)
		if !ok || len(words) != 4 || words[2] != "source" {
			continue
		}
		n, err := strconv.Atoi(words[3])
		if err != nil {
			continue
		}
		body, after, ok := strings.Cut(rest, "\n--- "+words[1]+" end of source "+words[3])
		if !ok {
			continue
		}
		// Headers such as the title end with an empty line.
		if text, bare := strings.CutPrefix(body, "\n"); bare {
			body = text
		} else if _, text, ok := strings.Cut(body, "\n\n"); ok {
			body = text
		}
		found = append(found, source{number: n, text: body})
		prompt = after
	}
}

// Write answers a prompt as the generator and the retriever send it: with the
// sentences of its sources that share most words with the question, each
// copied as it is and cited; with "[0]" when there are no sources; and a
// question to be rewritten with the question before it in front.
func Write(prompt string) string {
	found := sources(prompt)
	if len(found) == 0 {
		if _, last, ok := strings.Cut(prompt, "\nLast question: "); ok {
			return standalone(prompt, last)
		}
		return "[0] There are no sources."
	}
	_, question, _ := strings.Cut(prompt[strings.LastIndex(prompt, "end of source"):], ":\n\n")
	type cited struct {
		sentence      string
		source, score int
	}
	var all []cited
	// The sentence, counted from 1, in which each word of the question was seen last.
	wanted := map[string]int{}
	for w := range words(question) {
		wanted[w] = 0
	}
	for _, s := range found {
		for _, sentence := range sentences(s.text) {
			all = append(all, cited{sentence: sentence, source: s.number})
			for w := range words(sentence) {
				if last, ok := wanted[w]; ok && last < len(all) {
					wanted[w] = len(all)
					all[len(all)-1].score++
				}
			}
		}
	}
	if len(all) == 0 {
		return "[0] The sources are empty."
	}
	slices.SortStableFunc(all, func(a, b cited) int { return b.score - a.score })
	parts := make([]string, 0, 3)
	for _, c := range all[:min(3, len(all))] {
		if len(parts) == 0 || c.score > 0 {
			parts = append(parts, c.sentence+" ["+strconv.Itoa(c.source)+"].")
		}
	}
	return strings.Join(parts, " ")
}

func standalone(prompt, last string) string {
	before := ""
	for line := range strings.Lines(prompt) {
		if asked, ok := strings.CutPrefix(line, "user: "); ok {
			before = strings.TrimSpace(asked)
		}
	}
	return strings.TrimSpace(before + " " + strings.TrimSpace(last))
}

// sentences cuts a text at full stops, question marks and line ends; what is
// too short to say something is left out.
func sentences(text string) []string {
	var out []string
	start := 0
	add := func(end int) {
		s := strings.Join(strings.Fields(strings.TrimRight(text[start:end], ".!? \n")), " ")
		if strings.Count(s, " ") >= 2 {
			out = append(out, s)
		}
	}
	for i := range len(text) {
		last := i+1 == len(text)
		if text[i] == '\n' || strings.IndexByte(".!?", text[i]) >= 0 && (last || text[i+1] == ' ' || text[i+1] == '\n') {
			add(i + 1)
			start = i + 1
		}
	}
	add(len(text))
	return out
}

// words yields what of a text is worth looking for, in lower case.
func words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for w := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if (len(w) > 3 || w[0] >= '0' && w[0] <= '9') && !yield(w) {
				return
			}
		}
	}
}

// Tokens cuts an answer into words with their spaces, n of them: a longer
// answer is cut, a shorter one goes on from its beginning. Zero leaves it as it is.
func Tokens(answer string, n int) []string {
	var out []string
	for answer != "" {
		end := strings.IndexByte(answer[1:], ' ') + 1
		if end == 0 {
			end = len(answer)
		}
		out = append(out, answer[:end])
		answer = answer[end:]
	}
	if n <= 0 || len(out) == 0 {
		return out
	}
	whole := len(out)
	for i := 0; len(out) < n; i++ {
		next := out[i%whole]
		if next[0] != ' ' {
			next = " " + next
		}
		out = append(out, next)
	}
	return out[:n]
}
