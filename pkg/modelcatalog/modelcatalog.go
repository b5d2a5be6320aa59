// Package modelcatalog is the one table of models: what each provider's models
// are called, how much they read and write, what they cost, which parameters
// they take, and which one is used when nobody chose. Adapters of llm and
// embed read it; nothing else in the code names a model.
//
// A model that is not in the table works too: Chat and Embedding then answer
// with what is safe to assume and say that it is an assumption.
package modelcatalog

import (
	"slices"
	"strings"
)

// Provider names a vendor, or a wire format that many servers speak.
type Provider string

// The providers. OpenAI is also the format of Ollama, vLLM, llama.cpp and LM Studio.
const (
	Gemini    Provider = "gemini"
	OpenAI    Provider = "openai"
	Anthropic Provider = "anthropic"
	Cohere    Provider = "cohere"
)

// Price is in US dollars for a million tokens, at the provider's list price
// for the standard tier. Zero means unknown or free.
type Price struct {
	Input       float64
	CachedInput float64
	Output      float64
}

// ChatModel is a model that writes answers.
type ChatModel struct {
	Provider Provider
	Name     string
	// ContextTokens bounds prompt and answer together.
	ContextTokens int
	// OutputTokens bounds the answer; thinking counts.
	OutputTokens int
	Price        Price
	// LongFrom is the prompt size above which LongPrice holds for the whole call; zero: never.
	LongFrom  int
	LongPrice Price
	// Temperature says that the model takes one. Reasoning models of every
	// provider refuse it or are documented to be worse with it.
	Temperature bool
	// Effort is how much thinking to ask for, in the provider's words; "" asks
	// for nothing. The sources are in the prompt and the reader waits.
	Effort string
	// ThinkingTokens is a budget for models that take one instead of Effort.
	ThinkingTokens int
	// Retires is the announced last day (YYYY-MM-DD), "" when there is none.
	Retires string
}

// Cost returns the list price of a call in US dollars. Cached prompt tokens are part of prompt.
func (m ChatModel) Cost(prompt, cached, completion int) float64 {
	p := m.Price
	if m.LongFrom > 0 && prompt > m.LongFrom {
		p = m.LongPrice
	}
	cached = max(0, min(cached, prompt))
	return (float64(prompt-cached)*p.Input + float64(cached)*p.CachedInput + float64(completion)*p.Output) / 1e6
}

// thinkingRoom is what a model that is asked for little thinking gets for it
// on top of the answer's tokens: most need a few hundred.
const thinkingRoom = 2048

// Budget returns the limit to send for an answer of that many tokens. Every
// provider counts thinking against the limit; without room for it a short
// answer (a rewritten question, say) ends before its first word.
func (m ChatModel) Budget(answer int) int {
	budget := answer + m.ThinkingTokens
	if m.Effort != "" {
		budget += thinkingRoom
	}
	if m.OutputTokens > 0 {
		budget = min(budget, m.OutputTokens)
	}
	return budget
}

// EmbeddingModel is a model that turns texts into vectors.
type EmbeddingModel struct {
	Provider Provider
	Name     string
	// DefaultDimensions is what we ask for when nobody chose.
	DefaultDimensions int
	// Dimensions lists the sizes that can be asked for; nil when every size
	// from MinDimensions to MaxDimensions can.
	Dimensions    []int
	MinDimensions int
	MaxDimensions int
	// NativeDimensions is the size that comes when none is asked for; every
	// other size is the vector cut short, and has to be normalised again.
	NativeDimensions int
	// InputTokens bounds one text; what is longer is cut.
	InputTokens int
	// BatchTexts and BatchTokens bound one call; zero: no such bound is documented.
	BatchTexts  int
	BatchTokens int
	// Price has no Output.
	Price Price
	// Multilingual is false for models trained on English alone.
	Multilingual bool
	// Retires is the announced last day (YYYY-MM-DD), "" when there is none.
	Retires string
}

// Allows reports whether vectors of that size can be asked for.
func (m EmbeddingModel) Allows(dimensions int) bool {
	if m.Dimensions == nil {
		return dimensions >= m.MinDimensions && dimensions <= m.MaxDimensions
	}
	return slices.Contains(m.Dimensions, dimensions)
}

// Cost returns the list price of embedding that many tokens, in US dollars.
func (m EmbeddingModel) Cost(tokens int) float64 { return float64(tokens) * m.Price.Input / 1e6 }

// DefaultChat returns the model that a provider's adapter uses when none is
// configured, "" for a provider without one.
func DefaultChat(p Provider) string {
	switch p {
	case Gemini:
		return "gemini-3.8-flash"
	case OpenAI:
		return "gpt-6-luna"
	case Anthropic:
		return "claude-haiku-5-5"
	case Cohere:
		return ""
	}
	return ""
}

// DefaultEmbedding is DefaultChat for embedding models.
func DefaultEmbedding(p Provider) string {
	switch p {
	case Gemini:
		return "gemini-embedding-2"
	case OpenAI:
		return "text-embedding-3-small"
	case Cohere:
		return "embed-v5.0-pro"
	case Anthropic:
		return ""
	}
	return ""
}

// Chat returns what is known of a model. A dated snapshot
// ("gpt-5.4-mini-2026-03-17") is its model. For a model that is not in the
// table it returns what is safe to assume, and false.
func Chat(p Provider, name string) (ChatModel, bool) {
	bare := withoutDate(name)
	for _, m := range chatModels() {
		if m.Provider == p && (m.Name == name || m.Name == bare) {
			m.Name = name
			return m, true
		}
	}
	return assumedChat(p, name), false
}

// Embedding is Chat for embedding models. What is not in the table is assumed
// to have the size it sends, and false comes with it: all limits are zero.
func Embedding(p Provider, name string) (EmbeddingModel, bool) {
	for _, m := range embeddingModels() {
		if m.Provider == p && m.Name == name {
			return m, true
		}
	}
	return EmbeddingModel{Provider: p, Name: name, Multilingual: true}, false
}

// ChatModels returns the table's chat models, the default of each provider first.
func ChatModels() []ChatModel { return chatModels() }

// EmbeddingModels returns the table's embedding models, the default of each provider first.
func EmbeddingModels() []EmbeddingModel { return embeddingModels() }

// assumedChat errs on the small side, and takes a new name of a family that
// thinks for a model that thinks.
func assumedChat(p Provider, name string) ChatModel {
	m := ChatModel{Provider: p, Name: name}
	switch p {
	case Gemini:
		m.ContextTokens, m.OutputTokens = 1<<20, 65536
		switch {
		case strings.HasPrefix(name, "gemini-2.5"):
			m.Temperature, m.ThinkingTokens = true, 512
		case strings.HasPrefix(name, "gemini-2"):
			m.OutputTokens, m.Temperature = 8192, true
		case strings.HasPrefix(name, "gemini-"):
			m.Effort = effortLow
		default:
			// Gemma behind the same API does not think.
			m.ContextTokens, m.OutputTokens, m.Temperature = 128<<10, 8192, true
		}
	case Anthropic:
		m.ContextTokens, m.OutputTokens = 200_000, 64_000
	case OpenAI:
		m.ContextTokens, m.OutputTokens, m.Temperature = AssumedContextTokens, AssumedContextTokens/4, true
		if thinks(name) {
			m.ContextTokens, m.OutputTokens, m.Temperature, m.Effort = 272_000, 128_000, false, effortLow
		}
	case Cohere:
	}
	return m
}

// AssumedContextTokens is the context of a local model of which nothing is
// known: less than any current one has when served with care.
const AssumedContextTokens = 8192

// thinks reports whether a name is of OpenAI's families of reasoning models.
func thinks(name string) bool {
	for _, family := range []string{"gpt-5", "gpt-6", "gpt-7", "o1", "o3", "o4"} {
		rest, ok := strings.CutPrefix(name, family)
		if ok && (rest == "" || rest[0] == '-' || rest[0] == '.') {
			return true
		}
	}
	return false
}

// withoutDate cuts "-20251001" or "-2026-03-17" off a name.
func withoutDate(name string) string {
	for _, form := range []string{"-dddddddd", "-dddd-dd-dd"} {
		if cut := len(name) - len(form); cut > 0 && matches(name[cut:], form) {
			return name[:cut]
		}
	}
	return name
}

func matches(s, form string) bool {
	for i := range len(form) {
		if form[i] == 'd' && (s[i] < '0' || s[i] > '9') || form[i] != 'd' && s[i] != form[i] {
			return false
		}
	}
	return true
}
