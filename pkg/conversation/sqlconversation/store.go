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

// part names what this package writes to the database, see [sqldb.DB.Marks].
const part = "conversation"

// Store implements [conversation.Store].
type Store struct {
	db      *sqldb.DB
	now     func() time.Time
	marks   *sqldb.Marks
	pending *pendingTurns
}

var _ conversation.Store = (*Store)(nil)

// Open migrates the tables of conversations in db and returns a Store on it.
// The caller keeps db, closes it, and may share it with other stores.
func Open(ctx context.Context, db *sqldb.DB) (*Store, error) {
	if err := db.Migrate(ctx, part, migrations, "migrations"); err != nil {
		return nil, fmt.Errorf("open conversations: %w", err)
	}
	return &Store{db: db, now: time.Now, marks: db.Marks(part), pending: newPendingTurns()}, nil
}

// Ready implements [conversation.Store].
func (s *Store) Ready(ctx context.Context) error { return s.db.Ready(ctx) }

// A question that is known uses its conversation no further, and its turn is
// there: nothing is written then, and no row returned.
const (
	insertConversation = `insert into conversations (tenant, owner, id, title, turns, created_at, updated_at)
		select $1, $2, $3, $4, 1, cast($5 as bigint), cast($5 as bigint)
		where not exists (select 1 from turns where tenant = $1 and owner = $2 and id = $6)
		on conflict (tenant, owner, id) do update set turns = conversations.turns + 1, updated_at = excluded.updated_at`
	useConversation = `update conversations set turns = turns + 1, updated_at = $4 where tenant = $1 and owner = $2 and id = $3
		and not exists (select 1 from turns where tenant = $1 and owner = $2 and id = $5)`
	insertTurn = `insert into turns (tenant, owner, id, conversation, seq, status, digest, asked_at, deadline, waits_until, question, answer, sources)
		select tenant, owner, $3, id, turns, 'queued', $5, cast($6 as bigint), cast($7 as bigint), cast($7 as bigint), $8, '', null
		from conversations where tenant = $1 and owner = $2 and id = $4
		on conflict (tenant, owner, id) do nothing`
	// insertNext also tells which turn of its conversation it is.
	insertNext = insertTurn + " returning seq"
)

// Accept implements [conversation.Store].
func (s *Store) Accept(ctx context.Context, q conversation.Question) (turn conversation.Turn, first bool, err error) {
	if q.Tenant == "" || q.ID == "" {
		return turn, false, fault.Invalidf("invalid_question", "a question has a tenant and an id")
	}
	derived := q.ConversationID == ""
	if derived {
		q.ConversationID = begunBy(q)
	}
	q.AskedAt, q.Deadline = fromMicros(q.AskedAt.UnixMicro()), fromMicros(q.Deadline.UnixMicro())
	turn, first, err = s.begin(ctx, q, derived)
	if err == nil && !first {
		turn, err = s.known(ctx, q, derived)
	}
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

// begin writes a question that is new; first is false for one that is not, or
// that has no conversation.
func (s *Store) begin(ctx context.Context, q conversation.Question, derived bool) (turn conversation.Turn, first bool, err error) {
	now := s.now().UnixMicro()
	turn = conversation.Turn{Question: q, Answer: pending(q), Seq: 1}
	var begun int64
	use := sqldb.Step{Query: insertConversation, Args: []any{q.Tenant, q.Owner, q.ConversationID, titleOf(q.Text), now, q.ID}}
	ask := sqldb.Step{
		Query: insertTurn, Args: []any{q.Tenant, q.Owner, q.ID, q.ConversationID, q.Digest, q.AskedAt.UnixMicro(), q.Deadline.UnixMicro(), q.Text},
		Changed: &begun,
	}
	if !derived {
		use = sqldb.Step{Query: useConversation, Args: []any{q.Tenant, q.Owner, q.ConversationID, now, q.ID}}
		ask.Query, ask.Changed, ask.Found, ask.Dest = insertNext, nil, &first, []any{&turn.Seq}
	}
	mark := s.marks.Of(q.Tenant, q.ID)
	// The same question may come twice at once.
	if err := s.db.Tenant(q.Tenant).Alone("chat", q.ID).WriteSteps(ctx, use, ask); err != nil {
		return turn, false, err
	}
	// The conversation that a question begins has no turn before it.
	if first = first || begun > 0; first {
		s.pending.put(turn, mark)
	}
	return turn, first, nil
}

// known returns the turn of a question that is not new.
func (s *Store) known(ctx context.Context, q conversation.Question, derived bool) (conversation.Turn, error) {
	turn, err := s.read(ctx, q.Caller, q.ID)
	if err != nil {
		return conversation.Turn{}, err
	}
	if turn == nil {
		return conversation.Turn{}, noConversation()
	}
	return *turn, sameQuestion(turn.Question, q, derived)
}

const (
	finishTurn = `update turns set status = $4, answer = $5, sources = $6, waits_until = 9223372036854775807
		where tenant = $1 and owner = $2 and id = $3 and status = 'queued'`
	// finishNameless also tells which conversation it is in.
	finishNameless = finishTurn + " returning conversation"
)

// Finish implements [conversation.Store].
func (s *Store) Finish(ctx context.Context, c conversation.Caller, a conversation.Answer) (conversation.Answer, error) {
	if !a.Status.Terminal() {
		return conversation.Answer{}, fault.Permanentf("not_terminal", "an answer that is %s cannot be stored", a.Status)
	}
	text, sources, err := encodeAnswer(a)
	if err != nil {
		return conversation.Answer{}, err
	}
	var (
		fresh   bool
		written int64
	)
	write := sqldb.Step{Query: finishTurn, Args: []any{c.Tenant, c.Owner, a.ID, string(a.Status), text, sources}, Changed: &written}
	if a.ConversationID == "" {
		write.Query, write.Changed, write.Found, write.Dest = finishNameless, nil, &fresh, []any{&a.ConversationID}
	}
	if err := s.db.Tenant(c.Tenant).Marking(s.marks, a.ID).WriteSteps(ctx, write); err != nil {
		return conversation.Answer{}, fmt.Errorf("finish chat: %w", err)
	}
	if fresh || written > 0 {
		return a, nil
	}
	known, err := s.read(ctx, c, a.ID)
	if err == nil && known == nil {
		err = noChat()
	}
	if err != nil {
		return conversation.Answer{}, fmt.Errorf("finish chat: %w", err)
	}
	return known.Answer, nil
}

// Get implements [conversation.Store].
//
// A worker asks it before it begins, of a chat that was accepted a moment ago
// and that most often nothing has happened to since.
func (s *Store) Get(ctx context.Context, c conversation.Caller, id string) (conversation.Turn, error) {
	if turn, ok := s.pending.get(s.marks, c, id); ok {
		return turn, nil
	}
	turn, err := s.read(ctx, c, id)
	if err == nil && turn == nil {
		err = noChat()
	}
	if err != nil {
		return conversation.Turn{}, fmt.Errorf("get chat: %w", err)
	}
	return *turn, nil
}

func noChat() error { return fault.NotFoundf("chat_not_found", "there is no such chat") }

func noConversation() error {
	return fault.NotFoundf("conversation_not_found", "there is no such conversation")
}
