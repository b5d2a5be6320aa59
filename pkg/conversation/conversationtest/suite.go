// Package conversationtest is the contract of conversation.Store: every
// adapter passes it.
package conversationtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Open returns a Store on an empty database, which ends with the test.
type Open func(t *testing.T) conversation.Store

// Run runs the whole contract.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, group := range map[string]map[string]func(*testing.T, *fixture){
		"Accept":        acceptCases(),
		"Finish":        finishCases(),
		"History":       historyCases(),
		"Conversations": conversationCases(),
		"Sweep":         sweepCases(),
		"Together":      raceCases(),
		"Any order":     modelCases(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, run := range group {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					run(t, &fixture{Store: open(t)})
				})
			}
		})
	}
}

// fixture is a store with what tests do to it all the time.
type fixture struct {
	conversation.Store
}

func alice() conversation.Caller { return conversation.Caller{Tenant: "acme", Owner: "user:alice"} }

// strangers own nothing of alice's.
func strangers() map[string]conversation.Caller {
	return map[string]conversation.Caller{
		"another owner":  {Tenant: "acme", Owner: "user:bob"},
		"another tenant": {Tenant: "other", Owner: "user:alice"},
		"nobody":         {Tenant: "acme"},
	}
}

// epoch is when the questions of tests are asked, to the microsecond.
func epoch() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 123456000, time.UTC) }

func question(id, conversationID, text string) conversation.Question {
	return conversation.Question{
		Caller: alice(), ID: id, ConversationID: conversationID, Digest: "digest of " + text, Text: text,
		AskedAt: epoch(), Deadline: epoch().Add(time.Minute),
	}
}

// answer returns a completed answer with everything in it.
func answer(id, text string) conversation.Answer {
	source, page, reason := "https://example.org", 3, conversation.UnsupportedAnswer
	return conversation.Answer{
		ID: id, Status: conversation.Completed, Answer: text, Grounded: true, Reason: &reason,
		Citations: []conversation.Citation{{
			Marker: 1, PassageID: "p", DocumentID: "d", Version: "v", Title: "Größe <b>", Source: &source, Page: &page,
			Quote: "a “quote” 日本", CharStart: 5, CharEnd: 15, Supported: true,
		}},
		// Spaces and the order of keys are kept: nobody parses it on the way.
		Sources:     json.RawMessage(`[ {"text": "größer <&> \u2028", "id":"p"} ]`),
		SearchQuery: "query", Model: "model", Usage: conversation.Usage{PromptTokens: 1, CompletionTokens: 2, TotalTokens: 3},
		Timings:   conversation.Timings{QueueMS: 0.25, RetrieveMS: 1.5, FirstTokenMS: 2, TotalMS: 3, Degraded: []string{"dense"}},
		CreatedAt: epoch(),
	}
}

func (f *fixture) ask(t *testing.T, id, conversationID, text string) conversation.Turn {
	t.Helper()
	turn, first, err := f.Accept(t.Context(), question(id, conversationID, text))
	if err != nil {
		t.Fatal(err)
	}
	if !first {
		t.Fatalf("the question %s is not new", id)
	}
	return turn
}

func (f *fixture) finish(t *testing.T, a conversation.Answer) conversation.Answer {
	t.Helper()
	got, err := f.Finish(t.Context(), alice(), a)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// talk makes a conversation of n answered turns and returns its id.
func (f *fixture) talk(t *testing.T, name string, n int) string {
	t.Helper()
	id := ""
	for i := range n {
		turn := f.ask(t, fmt.Sprintf("%s-%d", name, i+1), id, fmt.Sprintf("Question %d?", i+1))
		id = turn.Question.ConversationID
		f.finish(t, answer(turn.Question.ID, fmt.Sprintf("Answer %d.", i+1)))
	}
	return id
}

func wantNotFound(t *testing.T, what string, err error, code string) {
	t.Helper()
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("%s: got %v, want not found", what, err)
		return
	}
	if got, _ := fault.Public(err); got != code {
		t.Errorf("%s: code %q, want %q", what, got, code)
	}
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func turnIDs(turns []conversation.Turn) string {
	var b strings.Builder
	for _, turn := range turns {
		b.WriteString(turn.Question.ID + " ")
	}
	return strings.TrimSpace(b.String())
}
