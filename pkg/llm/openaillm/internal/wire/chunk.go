package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
)

// Chunk is an event of an answer: those members of OpenAI's object of the same
// name that are used here (platform.openai.com/docs/api-reference/chat-streaming).
type Chunk struct {
	Choices []Choice `json:"choices"`
	// Usage comes in an event without choices at OpenAI, with every event at
	// some others, and grows.
	Usage Usage `json:"usage"`
}

// Choice is one of the answers that are written at once; only one is asked for.
type Choice struct {
	Delta struct {
		Content Content `json:"content"`
		Refusal string  `json:"refusal"`
	} `json:"delta"`
	// FinishReason is "" until the answer ends.
	FinishReason string `json:"finish_reason"`
}

// Usage counts tokens.
type Usage struct {
	PromptTokens     upstream.Count `json:"prompt_tokens"`
	CompletionTokens upstream.Count `json:"completion_tokens"`
}

// errNoObject does not say what came in its place: it may be part of the answer.
var errNoObject = errors.New("an event is not the object it should be")

// UnmarshalJSON reads what it can of an event and leaves members of another
// type than expected at zero, for servers differ, and an answer should not
// fail for a member that is not needed. Only data that are no object are an
// error; null is an event without members.
func (c *Chunk) UnmarshalJSON(data []byte) error {
	data = bytes.Trim(data, " \t\r\n")
	if !bytes.HasPrefix(data, []byte("{")) && string(data) != "null" {
		return errNoObject
	}
	type plain Chunk
	err := json.Unmarshal(data, (*plain)(c))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return syntax
	}
	return nil
}

// Content is a piece of the answer's text.
type Content string

// UnmarshalJSON reads a string, or a list of parts of which those with a text
// belong to the answer: Mistral's reasoning models send their thinking as
// parts of another type. Numbers and truth values are what they are written
// as; anything else is no text. It never fails.
func (c *Content) UnmarshalJSON(data []byte) error {
	*c = ""
	if len(data) == 0 {
		return nil
	}
	switch data[0] {
	case '"':
		_ = json.Unmarshal(data, (*string)(c))
	case '[':
		var parts []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		}
		_ = json.Unmarshal(data, &parts) // what is no part stays empty
		var all strings.Builder
		for _, p := range parts {
			if p.Type == "text" {
				all.WriteString(p.Text)
			}
		}
		*c = Content(all.String())
	case '{', 'n':
	default:
		*c = Content(data)
	}
	return nil
}
