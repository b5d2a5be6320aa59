package wire

// Request asks for a chat completion: those members of OpenAI's API that are
// used here (platform.openai.com/docs/api-reference/chat/create). Optional
// members at their zero value are not sent, for servers refuse what they do
// not know.
type Request struct {
	Model    string    `json:"model"`
	Messages []Message `json:"messages"`
	// MaxTokens and MaxCompletionTokens bound the answer; one of them is set.
	MaxTokens           int `json:"max_tokens,omitempty"`
	MaxCompletionTokens int `json:"max_completion_tokens,omitempty"`
	// Temperature may be zero and nevertheless be sent.
	Temperature     *float64       `json:"temperature,omitempty"`
	ReasoningEffort string         `json:"reasoning_effort,omitempty"`
	Stop            []string       `json:"stop,omitempty"`
	StreamOptions   *StreamOptions `json:"stream_options,omitempty"`
}

// Message is one message of a prompt.
type Message struct {
	Content string `json:"content"`
	// Role is "system", "user" or "assistant".
	Role string `json:"role"`
}

// StreamOptions ask for more than text.
type StreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}
