package client

import (
	"encoding/json"
	"time"
)

// DeadLetter is work that was given up, with its story.
type DeadLetter struct {
	ID        string     `json:"id"`
	Stage     string     `json:"stage"`
	Kind      string     `json:"kind"`
	About     *string    `json:"about"`
	Class     string     `json:"class"`
	Code      string     `json:"code"`
	Message   string     `json:"message"`
	Reason    string     `json:"reason"`
	Attempts  int        `json:"attempts"`
	Redrives  int        `json:"redrives"`
	FirstAt   *time.Time `json:"first_at"`
	DiedAt    *time.Time `json:"died_at"`
	Deadline  *time.Time `json:"deadline"`
	TraceID   *string    `json:"trace_id"`
	Worker    *string    `json:"worker"`
	Stream    string     `json:"stream"`
	Subject   string     `json:"subject"`
	EventID   *string    `json:"event_id"`
	Bytes     int        `json:"bytes"`
	Truncated bool       `json:"truncated"`
	// Payload is there when one letter was asked for.
	Payload json.RawMessage `json:"payload,omitempty"`
}

// DeadFilter selects dead letters; "" selects all.
type DeadFilter struct {
	Stage string `json:"stage,omitempty"`
	Kind  string `json:"kind,omitempty"`
	Class string `json:"class,omitempty"`
	Code  string `json:"code,omitempty"`
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`
}

// Redrive is the request to try letters again.
type Redrive struct {
	DeadFilter

	All    bool   `json:"all,omitempty"`
	Force  bool   `json:"force,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

// Redriven is what became of a batch.
type Redriven struct {
	Redriven   int       `json:"redriven"`
	Obsolete   int       `json:"obsolete"`
	Refused    int       `json:"refused"`
	Failed     int       `json:"failed"`
	Refusals   []Refusal `json:"refusals"`
	NextCursor *string   `json:"next_cursor,omitempty"`
}

// Refusal says why a letter stays.
type Refusal struct {
	ID      string `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}
