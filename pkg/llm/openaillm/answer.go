package openaillm

import (
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/openaillm/internal/wire"
)

// answer is what was read of one so far.
type answer struct {
	last    llm.Delta
	refused bool
	thought wire.Thought
}

// note adds what an event tells to the last delta and returns the event's text.
func (a *answer) note(chunk wire.Chunk) string {
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
	return a.thought.Visible(string(c.Delta.Content))
}

// rest returns the text that was held back.
func (a *answer) rest() string {
	if a.refused {
		a.last.Finish = llm.Filtered
	}
	return a.thought.Rest()
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
