package wire

import "strings"

// Thought hides the thinking that servers without a parser for it leave at the
// beginning of an answer: "<think>…</think>". Its zero value is ready.
type Thought struct {
	// held is text of which it is not known yet whether it is the mark.
	held  string
	state thoughtState
}

type thoughtState uint8

const (
	atBeginning thoughtState = iota
	thinking
	// behind skips the empty lines between thinking and answer.
	behind
	answering
)

const (
	thinkBegin = "<think>"
	thinkEnd   = "</think>"
)

// Visible returns what can be shown now that more text has come.
func (t *Thought) Visible(text string) string {
	switch t.state {
	case answering:
		return text
	case atBeginning:
		t.held += text
		trimmed := strings.TrimLeft(t.held, " \t\r\n")
		switch {
		case strings.HasPrefix(trimmed, thinkBegin):
			t.state, t.held = thinking, ""
			return t.Visible(trimmed[len(thinkBegin):])
		case strings.HasPrefix(thinkBegin, trimmed):
			return ""
		}
		return t.Rest()
	case thinking:
		t.held += text
		_, after, ended := strings.Cut(t.held, thinkEnd)
		if !ended {
			// Only what may be the beginning of the end is worth keeping.
			t.held = t.held[max(0, len(t.held)-len(thinkEnd)+1):]
			return ""
		}
		t.state, t.held = behind, ""
		return t.Visible(after)
	case behind:
		text = strings.TrimLeft(text, " \t\r\n")
		if text != "" {
			t.state = answering
		}
		return text
	}
	return text
}

// Rest ends the holding back.
func (t *Thought) Rest() string {
	if t.state != atBeginning {
		return ""
	}
	text := t.held
	t.state, t.held = answering, ""
	return text
}
