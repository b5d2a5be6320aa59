package wire

// Request asks for a message: those members of Anthropic's API that are used
// here (platform.claude.com/docs/en/api/messages). Optional members at their
// zero value are not sent.
type Request struct {
	Model     string `json:"model"`
	MaxTokens int    `json:"max_tokens"`
	// System stands above all messages.
	System   []Block   `json:"system,omitempty"`
	Messages []Message `json:"messages"`
	// Temperature may be zero and nevertheless be sent.
	Temperature   *float64      `json:"temperature,omitempty"`
	StopSequences []string      `json:"stop_sequences,omitempty"`
	OutputConfig  *OutputConfig `json:"output_config,omitempty"`
}

// The roles.
const (
	User      = "user"
	Assistant = "assistant"
)

// Message is one message of a prompt.
type Message struct {
	// Role is [User] or [Assistant].
	Role    string  `json:"role"`
	Content []Block `json:"content"`
}

// Block is a part of a message. Make one with [Text].
type Block struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Text returns a text as the content of a message.
func Text(text string) []Block { return []Block{{Type: "text", Text: text}} }

// OutputConfig says how the answer is to be written.
type OutputConfig struct {
	Effort string `json:"effort"`
}
