package textdoc

import "bytes"

const (
	// maxNoteName bounds the name of a footnote.
	maxNoteName = 32
	// maxNoteNumber bounds the digits of a reference to one.
	maxNoteNumber = 4
)

// noteMarks returns where a line of Markdown marks footnotes: "[^name]: " at
// its beginning, and "[^1]" right behind a word, outside code. An answer that
// quotes such a mark would seem to cite its first source.
func noteMarks(line []byte) [][2]int {
	if !bytes.Contains(line, []byte("[^")) {
		return nil
	}
	var marks [][2]int
	code := false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '`':
			code = !code
		case line[i] != '[' || code:
		default:
			if end := noteMark(line, i); end > 0 {
				marks = append(marks, [2]int{i, end})
				i = end - 1
			}
		}
	}
	return marks
}

// noteMark returns the end of the mark that begins at i, or 0.
func noteMark(line []byte, i int) int {
	name, _, closed := bytes.Cut(line[i+1:min(len(line), i+maxNoteName+3)], []byte("]"))
	if !closed || len(name) < 2 || name[0] != '^' || bytes.ContainsAny(name, " \t[") {
		return 0
	}
	end := i + len(name) + 2
	if i < 4 && end < len(line) && line[end] == ':' && len(bytes.TrimLeft(line[:i], " ")) == 0 {
		rest := bytes.TrimLeft(line[end+1:], " \t")
		return len(line) - len(rest)
	}
	digits := bytes.Trim(name[1:], "0123456789")
	if i == 0 || line[i-1] == ' ' || line[i-1] == '\t' || len(digits) > 0 || len(name) > maxNoteNumber+1 {
		return 0
	}
	return end
}

// withoutNotes returns text without its marks of footnotes.
func withoutNotes(text string) string {
	marks := noteMarks([]byte(text))
	if len(marks) == 0 {
		return text
	}
	kept, at := make([]byte, 0, len(text)), 0
	for _, m := range marks {
		kept = append(kept, text[at:m[0]]...)
		at = m[1]
	}
	return string(append(kept, text[at:]...))
}
