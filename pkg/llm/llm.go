// Package llm is the port to generative models: a prompt goes in, text comes
// out as it is written. Adapters live beside it (genaillm, scriptllm);
// llmtest is the contract suite that each of them passes.
package llm

import (
	"context"
	"iter"
)

// Role says who wrote a message.
type Role string

// The roles.
const (
	User      Role = "user"
	Assistant Role = "assistant"
)

// Message is one turn of the prompt.
type Message struct {
	Role Role
	Text string
}

// Request asks for one answer.
type Request struct {
	// System is the instruction that stands above all messages.
	System   string
	Messages []Message
	// MaxTokens bounds the answer; zero is the adapter's default.
	MaxTokens int
	// Temperature in [0,2]; nil leaves the provider's default.
	Temperature *float64
	// Stop lists texts before which the answer ends.
	Stop []string
	// Rest, when set, is called each time when all that has come of the answer
	// was passed on and more is about to be read. As long as it takes nothing is
	// read, so that what comes meanwhile is read at once. An adapter need not
	// call it, and does not before the first delta or when more is there already.
	Rest func()
}

// Finish says why an answer ended.
type Finish string

// The ways to end.
const (
	// Stopped: the model was done, or met a stop text.
	Stopped Finish = "stop"
	// Truncated: the answer hit a length limit, or the stream ended without saying why.
	Truncated Finish = "length"
	// Filtered: the provider refused or cut the answer for its content.
	Filtered Finish = "filtered"
)

// Usage counts tokens as the provider bills them.
type Usage struct {
	PromptTokens     int
	CompletionTokens int
}

// Delta is a piece of an answer.
type Delta struct {
	Text string
	// Finish is set on the last delta only, together with Usage.
	Finish Finish
	Usage  Usage
	// Model is set on the last delta when another model wrote the answer
	// than Info names, as with a chain of models; "" otherwise.
	Model string
}

// Info describes a model.
type Info struct {
	// Provider is "gemini", "openai", "anthropic", "script".
	Provider string
	// Name is the model's name as shown in answers.
	Name string
	// ContextTokens bounds prompt and answer together.
	ContextTokens int
}

// Model writes answers.
//
// All methods are safe for concurrent use.
type Model interface {
	Info() Info

	// Stream calls the model once and yields the answer as it is written.
	// The sequence ends with exactly one of: a delta with Finish set, or an
	// error (classified, package fault; after it nothing comes). An error
	// before the first delta means that nothing was written; the adapter
	// does not retry by itself. Stopping the iteration, or the end of ctx,
	// closes the upstream connection at once. A refusal is not an error but
	// Finish Filtered.
	Stream(ctx context.Context, r Request) iter.Seq2[Delta, error]
}
