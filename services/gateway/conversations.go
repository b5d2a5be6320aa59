package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
)

// message is one side of a turn. Its sequence counts messages from the
// beginning of the conversation: 1 is the first question, 2 its answer.
type message struct {
	Seq       int64                   `json:"seq"`
	Role      string                  `json:"role"`
	ChatID    string                  `json:"chat_id"`
	Content   string                  `json:"content"`
	Status    conversation.Status     `json:"status"`
	Grounded  *bool                   `json:"grounded,omitempty"`
	Reason    *string                 `json:"reason,omitempty"`
	Citations []conversation.Citation `json:"citations,omitempty"`
	Sources   json.RawMessage         `json:"sources,omitempty"`
	Error     *conversation.Problem   `json:"error,omitempty"`
	CreatedAt time.Time               `json:"created_at"`
}

func (r *request) listConversations() error {
	limit, cursor, err := page(r.params, "cursor")
	if err != nil {
		return err
	}
	all, next, err := r.s.deps.Conversations.Conversations(r.ctx, r.caller(), limit, cursor)
	if err != nil {
		return err
	}
	return r.json(http.StatusOK, listOf(all, next))
}

func (r *request) getConversation() error {
	id, err := r.idParam()
	if err != nil {
		return err
	}
	c, err := r.s.deps.Conversations.Conversation(r.ctx, r.caller(), id)
	if err != nil {
		return err
	}
	return r.json(http.StatusOK, c)
}

func (r *request) deleteConversation() error {
	id, err := r.idParam()
	if err != nil {
		return err
	}
	if err := r.s.deps.Conversations.Delete(r.ctx, r.caller(), id); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}

// listMessages returns a page of messages, newest last, that come before the
// message with the sequence `before`; next_cursor is the next page's.
func (r *request) listMessages() error {
	id, err := r.idParam()
	if err != nil {
		return err
	}
	limit, text, err := page(r.params, "before")
	if err != nil {
		return err
	}
	var before int64
	if text != "" {
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			return fault.Invalidf("invalid_cursor", "before is a message's seq").WithField("before")
		}
	}
	caller := r.caller()
	if _, err := r.s.deps.Conversations.Conversation(r.ctx, caller, id); err != nil {
		return err
	}
	// Message 2n-1 and 2n are turn n; one turn more than needed tells whether there are more.
	beforeTurn := int64(0)
	if before > 0 {
		beforeTurn = before/2 + 1
	}
	turns, err := r.s.deps.Conversations.Turns(r.ctx, caller, id, beforeTurn, limit/2+2)
	if err != nil {
		return err
	}
	all := make([]message, 0, 2*len(turns))
	for _, t := range turns {
		t.Answer = r.s.asItStands(r.ctx, t.Answer)
		for _, m := range messagesOf(t) {
			if before == 0 || m.Seq < before {
				all = append(all, m)
			}
		}
	}
	next := ""
	if len(all) > limit {
		all = all[len(all)-limit:]
		next = strconv.FormatInt(all[0].Seq, 10)
	}
	return r.json(http.StatusOK, listOf(all, next))
}

// messagesOf returns the question of a turn and, when there is one, its answer.
func messagesOf(t conversation.Turn) []message {
	q := message{
		Seq: 2*t.Seq - 1, Role: "user", ChatID: t.Question.ID, Content: t.Question.Text,
		Status: t.Answer.Status, CreatedAt: t.Question.AskedAt.UTC(),
	}
	if !t.Answer.Status.Terminal() {
		return []message{q}
	}
	return []message{q, {
		Seq: 2 * t.Seq, Role: "assistant", ChatID: t.Question.ID, Content: t.Answer.Answer, Status: t.Answer.Status,
		Grounded: &t.Answer.Grounded, Reason: t.Answer.Reason, Citations: t.Answer.Citations, Sources: t.Answer.Sources,
		Error: t.Answer.Error, CreatedAt: t.Question.AskedAt.UTC(),
	}}
}
