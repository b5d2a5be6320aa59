package event

import (
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Turn is one earlier turn of a conversation, as a model sees it.
type Turn struct {
	// Role is "user" or "assistant".
	Role    string `json:"role"`
	Content string `json:"content"`
}

// ChatAsked is a question that was accepted. Its id is the chat's.
type ChatAsked struct {
	ID             string `json:"id"`
	ConversationID string `json:"conversation_id"`
	// Owner is who asked; the answer is theirs.
	Owner string `json:"owner"`
	// Account is under whose name the answer's tokens are counted; "" when they are not.
	Account string `json:"account,omitempty"`
	// Principals are the asker's, without the public one.
	Principals  []string      `json:"principals,omitempty"`
	Question    string        `json:"question"`
	Collections []string      `json:"collections,omitempty"`
	Filter      corpus.Filter `json:"filter,omitempty"`
	// Followup says that the conversation has earlier turns.
	Followup bool `json:"followup,omitempty"`
	// Stream asks for frames with text and citations as they come.
	Stream bool `json:"stream,omitempty"`
	// Background lets the work go on when nobody reads.
	Background bool      `json:"background,omitempty"`
	AskedAt    time.Time `json:"asked_at"`
	// Signature is the gateway's, over all that says who asks what; see package access.
	Signature string `json:"signature,omitempty"`
}

// Whole reports whether the asker waits for the whole answer and nothing else:
// then the end is the only frame, and has the sources. Who streams, or looks
// at a question in the background, sees them at once, in a frame of their own.
func (c ChatAsked) Whole() bool { return !c.Stream && !c.Background }

// Kind implements [Payload].
func (ChatAsked) Kind() Kind { return KindChatAsked }

func (c ChatAsked) identity() string { return c.ID }
func (c ChatAsked) about() string    { return c.ID }
func (c ChatAsked) check() error {
	if err := corpus.CheckToken("id", c.ID); err != nil {
		return err
	}
	if err := corpus.CheckToken("conversation_id", c.ConversationID); err != nil {
		return err
	}
	if c.Question == "" {
		return fault.Invalidf("invalid_event", "the question is empty").WithField("question")
	}
	for _, name := range c.Collections {
		if err := corpus.CheckToken("collections", name); err != nil {
			return err
		}
	}
	for _, p := range c.Principals {
		if err := corpus.CheckPrincipal(p); err != nil {
			return err
		}
	}
	return nil
}

// ChatRetrieved is a question with the passages that may answer it, best first.
type ChatRetrieved struct {
	Asked ChatAsked `json:"asked"`
	// SearchQuery is the stand-alone question that was searched.
	SearchQuery string `json:"search_query"`
	// Passages come last in the JSON: [Encode] adds the text that they have.
	Passages Passages `json:"passages,omitzero"`
	// Relevant says that the passages are worth answering from; without it
	// they are only the closest ones.
	Relevant bool `json:"relevant"`
	// History is the conversation so far, oldest first, within a budget.
	History []Turn `json:"history,omitempty"`
	// QueueMS and RetrieveMS are milliseconds spent waiting and searching.
	QueueMS    float64 `json:"queue_ms"`
	RetrieveMS float64 `json:"retrieve_ms"`
	// Degraded names what had to be left out of the search, e.g. "dense".
	Degraded []string `json:"degraded,omitempty"`
	// Signature is the retriever's, over what it found and the question's signature; see package access.
	Signature string `json:"signature,omitempty"`
}

// Kind implements [Payload].
func (ChatRetrieved) Kind() Kind { return KindChatRetrieved }

func (c ChatRetrieved) identity() string { return c.Asked.ID }
func (c ChatRetrieved) about() string    { return c.Asked.ID }
func (c ChatRetrieved) check() error     { return c.Asked.check() }

// ChatAnswered is the fact that a question has its terminal answer. It holds no content.
type ChatAnswered struct {
	ID             string `json:"id"`
	ConversationID string `json:"conversation_id"`
	// Status is completed, failed or cancelled.
	Status           string  `json:"status"`
	Grounded         bool    `json:"grounded"`
	Reason           string  `json:"reason,omitempty"`
	Model            string  `json:"model,omitempty"`
	PromptTokens     int     `json:"prompt_tokens"`
	CompletionTokens int     `json:"completion_tokens"`
	TotalMS          float64 `json:"total_ms"`
}

// Kind implements [Payload].
func (ChatAnswered) Kind() Kind { return KindChatAnswered }

func (c ChatAnswered) identity() string { return c.ID }
func (c ChatAnswered) about() string    { return c.ID }
func (c ChatAnswered) check() error     { return corpus.CheckToken("id", c.ID) }
