// Package sqlconversation keeps conversations in SQL tables.
package sqlconversation

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store implements [conversation.Store].
type Store struct {
	db  *sqldb.DB
	now func() time.Time
}

var _ conversation.Store = (*Store)(nil)

// Open migrates the tables of conversations in db and returns a Store on it.
// The caller keeps db, closes it, and may share it with other stores.
func Open(ctx context.Context, db *sqldb.DB) (*Store, error) {
	if err := db.Migrate(ctx, "conversation", migrations, "migrations"); err != nil {
		return nil, fmt.Errorf("open conversations: %w", err)
	}
	return &Store{db: db, now: time.Now}, nil
}

// Ready implements [conversation.Store].
func (s *Store) Ready(ctx context.Context) error { return s.db.Ready(ctx) }

const (
	insertConversation = `insert into conversations (tenant, owner, id, title, turns, created_at, updated_at) values ($1, $2, $3, $4, 1, $5, $5)
		on conflict (tenant, owner, id) do update set turns = conversations.turns + 1, updated_at = excluded.updated_at returning turns`
	useConversation = "update conversations set turns = turns + 1, updated_at = $4 where tenant = $1 and owner = $2 and id = $3 returning turns"
	insertTurn      = `insert into turns (tenant, owner, id, conversation, seq, status, digest, asked_at, deadline, waits_until, question, answer, sources)
		values ($1, $2, $3, $4, $5, 'queued', $6, $7, $8, $8, $9, '', null)`
)

// Accept implements [conversation.Store].
func (s *Store) Accept(ctx context.Context, q conversation.Question) (turn conversation.Turn, first bool, err error) {
	if q.Tenant == "" || q.ID == "" {
		return turn, false, fault.Invalidf("invalid_question", "a question has a tenant and an id")
	}
	title := titleOf(q.Text)
	derived := q.ConversationID == ""
	if derived {
		q.ConversationID = begunBy(q)
	}
	q.AskedAt, q.Deadline = fromMicros(q.AskedAt.UnixMicro()), fromMicros(q.Deadline.UnixMicro())
	// The same question may come twice at once.
	turns := s.db.Tenant(q.Tenant).Alone("chat", q.ID)
	err = turns.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		known, err := load(ctx, tx, q.Caller, q.ID)
		if err != nil {
			return err
		}
		if known != nil {
			turn, first = *known, false
			return sameQuestion(known.Question, q, derived)
		}
		turn, first, err = s.begin(ctx, tx, q, title, derived)
		return err
	})
	if err != nil {
		return conversation.Turn{}, false, fmt.Errorf("accept question: %w", err)
	}
	return turn, first, nil
}

// begunBy names the conversation that a question begins. Fresh ids begin with
// their time, and so does what is derived here: rows that are written
// together then lie together on disk, in fewer pages of a commit.
func begunBy(q conversation.Question) string {
	const timeDigits = 12 // of a UUIDv7
	return q.ID[:min(timeDigits, len(q.ID))] + corpus.DeriveID("conversation", q.Tenant, q.Owner, q.ID)
}

// sameQuestion compares what identifies a request; a conversation that was
// asked for is part of it.
func sameQuestion(known, q conversation.Question, derived bool) error {
	if known.Digest != q.Digest || !derived && known.ConversationID != q.ConversationID {
		return conversation.ErrMismatch
	}
	return nil
}

func (s *Store) begin(ctx context.Context, tx *sqldb.Tx, q conversation.Question, title string, derived bool) (conversation.Turn, bool, error) {
	var (
		seq   int64
		found bool
		err   error
	)
	now := s.now().UnixMicro()
	if derived {
		found, err = tx.One(ctx, insertConversation, []any{q.Tenant, q.Owner, q.ConversationID, title, now}, &seq)
	} else {
		found, err = tx.One(ctx, useConversation, []any{q.Tenant, q.Owner, q.ConversationID, now}, &seq)
	}
	if err != nil {
		return conversation.Turn{}, false, fmt.Errorf("use conversation: %w", err)
	}
	if !found {
		return conversation.Turn{}, false, noConversation()
	}
	_, err = tx.Exec(ctx, insertTurn, q.Tenant, q.Owner, q.ID, q.ConversationID, seq, q.Digest,
		q.AskedAt.UnixMicro(), q.Deadline.UnixMicro(), q.Text)
	if err != nil {
		return conversation.Turn{}, false, fmt.Errorf("insert turn: %w", err)
	}
	return conversation.Turn{Question: q, Answer: pending(q), Seq: seq}, true, nil
}

const finishTurn = `update turns set status = $4, answer = $5, sources = $6, waits_until = 9223372036854775807
	where tenant = $1 and owner = $2 and id = $3 and status = 'queued' returning conversation`

// Finish implements [conversation.Store].
func (s *Store) Finish(ctx context.Context, c conversation.Caller, a conversation.Answer) (conversation.Answer, error) {
	if !a.Status.Terminal() {
		return conversation.Answer{}, fault.Permanentf("not_terminal", "an answer that is %s cannot be stored", a.Status)
	}
	text, sources, err := encodeAnswer(a)
	if err != nil {
		return conversation.Answer{}, err
	}
	err = s.db.Tenant(c.Tenant).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		fresh, err := tx.One(ctx, finishTurn, []any{c.Tenant, c.Owner, a.ID, string(a.Status), text, sources}, &a.ConversationID)
		if err != nil || fresh {
			return err
		}
		known, err := load(ctx, tx, c, a.ID)
		if err != nil {
			return err
		}
		if known == nil {
			return noChat()
		}
		a = known.Answer
		return nil
	})
	if err != nil {
		return conversation.Answer{}, fmt.Errorf("finish chat: %w", err)
	}
	return a, nil
}

// Get implements [conversation.Store].
func (s *Store) Get(ctx context.Context, c conversation.Caller, id string) (conversation.Turn, error) {
	var turn conversation.Turn
	err := s.db.Tenant(c.Tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		known, err := load(ctx, tx, c, id)
		if err != nil {
			return err
		}
		if known == nil {
			return noChat()
		}
		turn = *known
		return nil
	})
	if err != nil {
		return conversation.Turn{}, fmt.Errorf("get chat: %w", err)
	}
	return turn, nil
}

func noChat() error { return fault.NotFoundf("chat_not_found", "there is no such chat") }

func noConversation() error {
	return fault.NotFoundf("conversation_not_found", "there is no such conversation")
}
