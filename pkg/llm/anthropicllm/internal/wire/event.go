package wire

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
)

// The types of the events that say something; others are to be passed over
// (platform.claude.com/docs/en/build-with-claude/streaming).
const (
	MessageStart      = "message_start"
	ContentBlockDelta = "content_block_delta"
	MessageDelta      = "message_delta"
)

// TextDelta is the type of a delta that is a piece of the answer; the others
// are thinking, its signature, citations and arguments of tools.
const TextDelta = "text_delta"

// Event is an event of an answer: those members that are used here.
type Event struct {
	Type string `json:"type"`
	// Message is there at the start.
	Message struct {
		Usage Usage `json:"usage"`
	} `json:"message"`
	// Delta is what a block of content or the message itself has more than before.
	Delta struct {
		// Type is that of a block's delta; a message's has none.
		Type string `json:"type"`
		Text string `json:"text"`
		// StopReason is "" in all events but one of a message's deltas.
		StopReason string `json:"stop_reason"`
	} `json:"delta"`
	// Usage comes with a message's delta and counts all that came before, too.
	Usage Usage `json:"usage"`
}

// Usage counts tokens.
type Usage struct {
	InputTokens              upstream.Count `json:"input_tokens"`
	CacheReadInputTokens     upstream.Count `json:"cache_read_input_tokens"`
	CacheCreationInputTokens upstream.Count `json:"cache_creation_input_tokens"`
	OutputTokens             upstream.Count `json:"output_tokens"`
}

// Prompt returns the tokens of the whole prompt: Anthropic counts what the
// cache holds apart from the rest.
func (u Usage) Prompt() int {
	return int(u.InputTokens) + int(u.CacheReadInputTokens) + int(u.CacheCreationInputTokens)
}

// errNoObject does not say what came in its place: it may be part of the answer.
var errNoObject = errors.New("an event is not the object it should be")

// parse reads what it can of an event and leaves members of another type than
// expected at zero: an answer should not fail for a member that is not needed.
// Only data that are no object are an error; null is an event without members.
func parse(data []byte) (Event, error) {
	if text, ok := plainText(data); ok {
		e := Event{Type: ContentBlockDelta}
		e.Delta.Type, e.Delta.Text = TextDelta, text
		return e, nil
	}
	return parseAny(data)
}

// parseAny is parse for any JSON.
func parseAny(data []byte) (Event, error) {
	data = bytes.Trim(data, white)
	if !bytes.HasPrefix(data, []byte("{")) && string(data) != "null" {
		return Event{}, errNoObject
	}
	var e Event
	err := json.Unmarshal(data, &e)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return Event{}, syntax
	}
	return e, nil
}
