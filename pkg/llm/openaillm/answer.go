package openaillm

import (
	"strings"

	"github.com/openai/openai-go/v3"

	"github.com/ragbus/ragbus/pkg/llm"
)

// answer is what was read of one so far.
type answer struct {
	last    llm.Delta
	refused bool
	thought thought
}

// note adds what an event tells to the last delta and returns the event's text.
func (a *answer) note(chunk openai.ChatCompletionChunk) string {
	// Usage comes in an event without choices at OpenAI, with every event at
	// some others, and grows.
	a.last.Usage.PromptTokens = max(a.last.Usage.PromptTokens, int(chunk.Usage.PromptTokens))
	a.last.Usage.CompletionTokens = max(a.last.Usage.CompletionTokens, int(chunk.Usage.CompletionTokens))
	if len(chunk.Choices) == 0 {
		return ""
	}
	c := chunk.Choices[0]
	if c.Delta.Refusal != "" {
		a.refused = true
	}
	if f := finish(c.FinishReason); f != "" {
		a.last.Finish = f
	}
	if a.refused && a.last.Finish != "" {
		a.last.Finish = llm.Filtered
	}
	return a.thought.visible(c.Delta.Content)
}

// rest returns the text that was held back.
func (a *answer) rest() string {
	if a.refused {
		a.last.Finish = llm.Filtered
	}
	return a.thought.rest()
}

// finish reads a finish reason; "" when the event has none.
func finish(reason string) llm.Finish {
	switch reason {
	case "":
		return ""
	case "stop", "eos", "end_turn", "stop_sequence":
		return llm.Stopped
	case "content_filter", "refusal", "safety":
		return llm.Filtered
	default:
		// "length", and what ended the answer early for reasons of no use to
		// the asker: a tool call without tools, an abort.
		return llm.Truncated
	}
}

// thought hides the thinking that servers without a parser for it leave at the
// beginning of an answer: "<think>…</think>".
type thought struct {
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

// visible returns what can be shown now that more text has come.
func (t *thought) visible(text string) string {
	switch t.state {
	case answering:
		return text
	case atBeginning:
		t.held += text
		trimmed := strings.TrimLeft(t.held, " \t\r\n")
		switch {
		case strings.HasPrefix(trimmed, thinkBegin):
			t.state, t.held = thinking, ""
			return t.visible(trimmed[len(thinkBegin):])
		case strings.HasPrefix(thinkBegin, trimmed):
			return ""
		}
		return t.rest()
	case thinking:
		t.held += text
		_, after, ended := strings.Cut(t.held, thinkEnd)
		if !ended {
			// Only what may be the beginning of the end is worth keeping.
			t.held = t.held[max(0, len(t.held)-len(thinkEnd)+1):]
			return ""
		}
		t.state, t.held = behind, ""
		return t.visible(after)
	case behind:
		text = strings.TrimLeft(text, " \t\r\n")
		if text != "" {
			t.state = answering
		}
		return text
	}
	return text
}

// rest ends the holding back.
func (t *thought) rest() string {
	if t.state != atBeginning {
		return ""
	}
	text := t.held
	t.state, t.held = answering, ""
	return text
}
