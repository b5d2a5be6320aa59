// Package conversation is the port to the record of chats: accepted
// questions, their one terminal answer, and the conversations they belong to.
// The adapter is sqlconversation; conversationtest is the contract suite.
package conversation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Status is a chat's state.
type Status string

// The states of a chat. Completed, Failed and Cancelled are terminal.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Completed Status = "completed"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Terminal reports whether the chat has its answer.
func (s Status) Terminal() bool { return s == Completed || s == Failed || s == Cancelled }

// Reasons why an answer is not grounded.
const (
	NoRelevantPassages = "no_relevant_passages"
	UnsupportedAnswer  = "unsupported_answer"
	Blocked            = "blocked"
)

// ErrMismatch is returned when an id was used before for another question.
var ErrMismatch = errors.New("conversation: the id belongs to another question")

// Caller is whose conversations are meant. Every read and write is bound to both parts.
type Caller struct {
	Tenant string
	Owner  string
}

// Question is an accepted chat request.
type Question struct {
	Caller
	// ID is the chat's; the same ID twice is the same chat.
	ID string
	// ConversationID is "" for a new conversation, whose id is then derived from ID.
	ConversationID string
	// Digest identifies the request's content, to tell a repetition from a clash.
	Digest   string
	Text     string
	AskedAt  time.Time
	Deadline time.Time
}

// Answer is the chat object of the HTTP API: everything about one question.
type Answer struct {
	ID             string     `json:"id"`
	ConversationID string     `json:"conversation_id"`
	Status         Status     `json:"status"`
	Answer         string     `json:"answer"`
	Grounded       bool       `json:"grounded"`
	Reason         *string    `json:"reason"`
	Citations      []Citation `json:"citations"`
	// Sources is a JSON array of corpus.Passage, kept as bytes: it travels
	// through four hands and none but the reader looks inside.
	Sources     json.RawMessage `json:"sources"`
	SearchQuery string          `json:"search_query"`
	Model       string          `json:"model"`
	Usage       Usage           `json:"usage"`
	Timings     Timings         `json:"timings"`
	Error       *Problem        `json:"error"`
	CreatedAt   time.Time       `json:"created_at"`
}

// JSON returns the answer encoded. Its sources are nearly all of it and JSON
// already: they are copied, not checked.
func (a Answer) JSON() (json.RawMessage, error) {
	sources := a.Sources
	a.Sources = nil
	rest, err := json.Marshal(a)
	if err != nil {
		return nil, fault.As(fault.Permanent, fmt.Errorf("encode the answer of chat %s: %w", a.ID, err))
	}
	if sources == nil {
		return rest, nil
	}
	const name, none = `"sources":`, `null`
	// No string holds this: quotes inside one are escaped.
	at := bytes.Index(rest, []byte(name+none)) + len(name)
	return slices.Concat(rest[:at], sources, rest[at+len(none):]), nil
}

// Citation ties a marker in the answer to a quote in a document.
type Citation struct {
	Marker     int     `json:"marker"`
	PassageID  string  `json:"passage_id"`
	DocumentID string  `json:"document_id"`
	Version    string  `json:"version"`
	Title      string  `json:"title"`
	Source     *string `json:"source"`
	Page       *int    `json:"page"`
	// Quote is verbatim from the passage; CharStart and CharEnd are its code
	// points in the text of the page (of the document, without pages).
	Quote     string `json:"quote"`
	CharStart int    `json:"char_start"`
	CharEnd   int    `json:"char_end"`
	// Supported is false when the cited sentence was not found in the passage.
	Supported bool `json:"supported"`
}

// Usage counts model tokens; all zero when no model was paid.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// Timings are milliseconds.
type Timings struct {
	QueueMS      float64 `json:"queue_ms"`
	RetrieveMS   float64 `json:"retrieve_ms"`
	FirstTokenMS float64 `json:"first_token_ms"`
	TotalMS      float64 `json:"total_ms"`
	// Degraded names what had to be left out, e.g. "dense".
	Degraded []string `json:"degraded,omitempty"`
}

// Problem is why a chat failed, fit for the asker.
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Turn is a question with its answer, if it has one.
type Turn struct {
	Question Question
	Answer   Answer
	// Seq orders the turns of a conversation, from 1.
	Seq int64
}

// Conversation is a thread of turns.
type Conversation struct {
	ID string `json:"id"`
	// Title is the beginning of the first question.
	Title     string    `json:"title"`
	Turns     int       `json:"turns"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Store is the record of chats.
//
// All methods are safe for concurrent use by any number of processes, durable
// when they return, and return classified errors. What another caller owns is
// NotFound, with the code of a thing that never was: "chat_not_found",
// "conversation_not_found".
type Store interface {
	// Accept records a question and returns its turn; first is false when the
	// id was known, and then the turn is as it stands (with an answer,
	// perhaps). A known id with another digest is ErrMismatch. An unknown
	// conversation is a NotFound fault. Times are kept to the microsecond.
	Accept(ctx context.Context, q Question) (turn Turn, first bool, err error)
	// Finish stores the terminal answer of a.ID. The first one wins: it
	// returns what is stored, which is another's when that came earlier.
	// A deleted conversation takes nothing: NotFound. a.ConversationID is the
	// chat's, or "" to have it filled in. Sources come back byte for byte.
	Finish(ctx context.Context, c Caller, a Answer) (Answer, error)
	// Get returns one turn.
	Get(ctx context.Context, c Caller, id string) (Turn, error)
	// History returns the last n completed turns of a conversation that came
	// before the turn with the given id, oldest first, without sources (nil).
	// A turn that is not in that conversation is NotFound, "chat_not_found".
	History(ctx context.Context, c Caller, conversationID, beforeID string, n int) ([]Turn, error)

	// Conversation returns one conversation.
	Conversation(ctx context.Context, c Caller, id string) (Conversation, error)
	// Conversations lists the caller's, last used first; next is "" on the
	// last page. A question uses a conversation, its answer does not.
	Conversations(ctx context.Context, c Caller, limit int, cursor string) (list []Conversation, next string, err error)
	// Turns returns a page of up to limit turns, newest last, that come
	// before the turn with sequence before (0: the newest).
	Turns(ctx context.Context, c Caller, conversationID string, before int64, limit int) ([]Turn, error)
	// Delete removes a conversation with all its turns. The second time it is NotFound.
	Delete(ctx context.Context, c Caller, id string) error

	// Unfinished returns up to limit turns of all tenants that have no
	// answer though their deadline was before t, oldest first.
	Unfinished(ctx context.Context, t time.Time, limit int) ([]Turn, error)
	// Purge removes conversations last used before t and returns how many.
	Purge(ctx context.Context, t time.Time) (int, error)

	// Ready returns nil when the database answers.
	Ready(ctx context.Context) error
}
