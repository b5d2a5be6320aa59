package sqlconversation

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// The bounds of a page.
const (
	defaultLimit = 20
	maxLimit     = 1000
)

func clampLimit(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return min(n, maxLimit)
}

const (
	selectSeq     = "select seq from turns where tenant = $1 and owner = $2 and id = $3 and conversation = $4"
	selectHistory = "select " + leanColumns + ` from turns where tenant = $1 and owner = $2 and conversation = $3
		and seq < (select seq from turns where tenant = $1 and owner = $2 and id = $4)
		and status = 'completed' order by seq desc limit $5`
	selectTurns = "select " + allColumns + ` from turns where tenant = $1 and owner = $2 and conversation = $3 and seq < $4
		order by seq desc limit $5`
	selectUnfinished = "select " + allColumns + " from turns where waits_until < $1 order by waits_until, tenant, owner, id limit $2"
)

// History implements [conversation.Store].
func (s *Store) History(ctx context.Context, c conversation.Caller, conversationID, beforeID string, n int) (turns []conversation.Turn, err error) {
	if n <= 0 {
		return nil, nil
	}
	var (
		found bool
		seq   int64
	)
	err = s.db.Tenant(c.Tenant).ReadSteps(ctx,
		sqldb.Step{Query: selectSeq, Args: []any{c.Tenant, c.Owner, beforeID, conversationID}, Found: &found, Dest: []any{&seq}},
		sqldb.Step{
			Query: selectHistory, Args: []any{c.Tenant, c.Owner, conversationID, beforeID, min(n, maxLimit)},
			Row: func(scan func(...any) error) error {
				t, err := scanTurn(scan, false)
				turns = append(turns, t)
				return err
			},
		})
	if err == nil && !found {
		err = noChat()
	}
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	slices.Reverse(turns)
	return turns, nil
}

func readTurns(ctx context.Context, tx *sqldb.Tx, query string, withSources bool, args ...any) (turns []conversation.Turn, err error) {
	err = tx.Each(ctx, query, args, func(scan func(...any) error) error {
		t, err := scanTurn(scan, withSources)
		turns = append(turns, t)
		return err
	})
	return turns, err
}

// Turns implements [conversation.Store].
func (s *Store) Turns(ctx context.Context, c conversation.Caller, conversationID string, before int64, limit int) (turns []conversation.Turn, err error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	err = s.db.Tenant(c.Tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := loadConversation(ctx, tx, c, conversationID); err != nil {
			return err
		}
		turns, err = readTurns(ctx, tx, selectTurns, true, c.Tenant, c.Owner, conversationID, before, clampLimit(limit))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list turns: %w", err)
	}
	slices.Reverse(turns)
	return turns, nil
}

// Unfinished implements [conversation.Store].
func (s *Store) Unfinished(ctx context.Context, t time.Time, limit int) (turns []conversation.Turn, err error) {
	err = s.db.AllTenants().Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		turns, err = readTurns(ctx, tx, selectUnfinished, true, t.UnixMicro(), clampLimit(limit))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list unfinished chats: %w", err)
	}
	return turns, nil
}

const (
	conversationColumns = "id, title, turns, created_at, updated_at"
	selectConversation  = "select " + conversationColumns + " from conversations where tenant = $1 and owner = $2 and id = $3"
	// turns > 0 holds always, and names the index to Postgres.
	selectConversations = "select " + conversationColumns + ` from conversations
		where tenant = $1 and owner = $2 and turns > 0 and (updated_at, id) < ($3, $4) order by updated_at desc, id desc limit $5`
	deleteConversation = "delete from conversations where tenant = $1 and owner = $2 and id = $3"
	// A slice at a time, so that a chat never waits for all of it. The time is
	// compared twice: the second comparison sees what was used meanwhile.
	purgeConversations = `delete from conversations where updated_at < $1 and (tenant, owner, id) in
		(select tenant, owner, id from conversations where updated_at < $1 order by updated_at limit $2)`
	purgeSlice = 32
)

func scanConversation(scan func(...any) error) (conversation.Conversation, error) {
	var (
		v                conversation.Conversation
		created, updated int64
	)
	if err := scan(&v.ID, &v.Title, &v.Turns, &created, &updated); err != nil {
		return v, fmt.Errorf("read conversation: %w", err)
	}
	v.CreatedAt, v.UpdatedAt = fromMicros(created), fromMicros(updated)
	return v, nil
}

func loadConversation(ctx context.Context, tx *sqldb.Tx, c conversation.Caller, id string) (v conversation.Conversation, err error) {
	found := false
	err = tx.Each(ctx, selectConversation, []any{c.Tenant, c.Owner, id}, func(scan func(...any) error) error {
		found = true
		v, err = scanConversation(scan)
		return err
	})
	if err == nil && !found {
		err = noConversation()
	}
	return v, err
}

// Conversation implements [conversation.Store].
func (s *Store) Conversation(ctx context.Context, c conversation.Caller, id string) (v conversation.Conversation, err error) {
	err = s.db.Tenant(c.Tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		v, err = loadConversation(ctx, tx, c, id)
		return err
	})
	if err != nil {
		return conversation.Conversation{}, fmt.Errorf("get conversation: %w", err)
	}
	return v, nil
}

// Conversations implements [conversation.Store].
func (s *Store) Conversations(ctx context.Context, c conversation.Caller, limit int, cursor string) (list []conversation.Conversation, next string, err error) {
	before, beforeID, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = clampLimit(limit)
	err = s.db.Tenant(c.Tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Each(ctx, selectConversations, []any{c.Tenant, c.Owner, before, beforeID, limit + 1}, func(scan func(...any) error) error {
			v, err := scanConversation(scan)
			list = append(list, v)
			return err
		})
	})
	if err != nil {
		return nil, "", fmt.Errorf("list conversations: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = formatCursor(list[limit-1])
	}
	return list, next, nil
}

// A cursor is the place of the last conversation of a page. One that is used
// meanwhile moves to the front, so that it may be missed but never comes twice.
func formatCursor(v conversation.Conversation) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(v.UpdatedAt.UnixMicro(), 10) + "." + v.ID))
}

func parseCursor(cursor string) (before int64, id string, err error) {
	if cursor == "" {
		return math.MaxInt64, "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, "", badCursor()
	}
	micros, id, ok := strings.Cut(string(raw), ".")
	if before, err = strconv.ParseInt(micros, 10, 64); err != nil || !ok {
		return 0, "", badCursor()
	}
	return before, id, nil
}

func badCursor() error {
	return fault.Invalidf("invalid_cursor", "the cursor is not one that a list returned").WithField("cursor")
}

// Delete implements [conversation.Store].
func (s *Store) Delete(ctx context.Context, c conversation.Caller, id string) error {
	var n int64
	err := s.db.Tenant(c.Tenant).WriteSynced(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		n, err = tx.Exec(ctx, deleteConversation, c.Tenant, c.Owner, id)
		return err
	})
	s.marks.AllChanged()
	if err == nil && n == 0 {
		err = noConversation()
	}
	if err != nil {
		return fmt.Errorf("delete conversation: %w", err)
	}
	return nil
}

// Purge implements [conversation.Store].
func (s *Store) Purge(ctx context.Context, t time.Time) (int, error) {
	total := 0
	for {
		var n int64
		err := s.db.AllTenants().Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			n, err = tx.Exec(ctx, purgeConversations, t.UnixMicro(), purgeSlice)
			return err
		})
		s.marks.AllChanged()
		if err != nil {
			return total, fmt.Errorf("purge conversations: %w", err)
		}
		total += int(n)
		if n < purgeSlice {
			return total, nil
		}
	}
}
