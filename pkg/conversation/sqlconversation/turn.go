package sqlconversation

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

const (
	leanColumns = "tenant, owner, id, conversation, seq, status, digest, asked_at, deadline, question, answer"
	allColumns  = leanColumns + ", sources"
	selectTurn  = "select " + allColumns + " from turns where tenant = $1 and owner = $2 and id = $3"
)

// read returns a turn, or nil when there is none.
func (s *Store) read(ctx context.Context, c conversation.Caller, id string) (turn *conversation.Turn, err error) {
	err = s.db.Tenant(c.Tenant).ReadSteps(ctx, sqldb.Step{
		Query: selectTurn, Args: []any{c.Tenant, c.Owner, id},
		Row: func(scan func(...any) error) error {
			t, err := scanTurn(scan, true)
			turn = &t
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return turn, nil
}

// scanTurn reads allColumns, or leanColumns.
func scanTurn(scan func(...any) error, withSources bool) (conversation.Turn, error) {
	var (
		t               conversation.Turn
		asked, deadline int64
		status          conversation.Status
		answer          string
		sources         sql.NullString
	)
	q := &t.Question
	dest := []any{&q.Tenant, &q.Owner, &q.ID, &q.ConversationID, &t.Seq, &status, &q.Digest, &asked, &deadline, &q.Text, &answer}
	if withSources {
		dest = append(dest, &sources)
	}
	if err := scan(dest...); err != nil {
		return t, fmt.Errorf("read turn: %w", err)
	}
	q.AskedAt, q.Deadline = fromMicros(asked), fromMicros(deadline)
	if !status.Terminal() {
		t.Answer = pending(*q)
		return t, nil
	}
	if err := json.Unmarshal([]byte(answer), &t.Answer); err != nil {
		return t, fault.As(fault.Permanent, fmt.Errorf("decode the answer of chat %s: %w", q.ID, err))
	}
	t.Answer.ConversationID, t.Answer.Sources = q.ConversationID, nil
	if sources.Valid {
		t.Answer.Sources = json.RawMessage(sources.String)
	}
	return t, nil
}

// pending is what a chat looks like before its answer.
func pending(q conversation.Question) conversation.Answer {
	return conversation.Answer{
		ID:             q.ID,
		ConversationID: q.ConversationID,
		Status:         conversation.Queued,
		Citations:      []conversation.Citation{},
		Sources:        json.RawMessage("[]"),
		CreatedAt:      q.AskedAt,
	}
}

// encodeAnswer returns the answer without its sources, and these as they are.
func encodeAnswer(a conversation.Answer) (text string, sources sql.NullString, err error) {
	sources = sql.NullString{String: string(a.Sources), Valid: a.Sources != nil}
	a.Sources = nil
	b, err := json.Marshal(a)
	if err != nil {
		return "", sources, fault.As(fault.Permanent, fmt.Errorf("encode the answer of chat %s: %w", a.ID, err))
	}
	return string(b), sources, nil
}

// titleLength is how many code points of the first question name a conversation.
const titleLength = 80

// titleOf returns the beginning of a question on one line.
func titleOf(text string) string {
	line := strings.Join(strings.Fields(text), " ")
	n := 0
	for i := range line {
		if n == titleLength {
			return strings.TrimRight(line[:i], " ")
		}
		n++
	}
	return line
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }
