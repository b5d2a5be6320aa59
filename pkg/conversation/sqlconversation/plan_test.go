package sqlconversation_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/conversation/sqlconversation"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// Before anything has gathered statistics for Postgres, what looks for one row
// takes the primary key, and what lists takes the index that is in order.
func TestPlansWithoutStatistics(t *testing.T) {
	t.Parallel()
	db := openURL(t, postgres.Database(t))
	s := openOn(t, db)
	for i := range 20 {
		accept(t, s, fmt.Sprint(i))
	}
	for name, c := range map[string]struct {
		query string
		args  []any
		index string
	}{
		"ask":                 {sqlconversation.InsertTurn, []any{"acme", "o", "q", "c", "d", 1, 1, "What?"}, "conversations_pkey"},
		"use":                 {sqlconversation.UseConversation, []any{"acme", "o", "c", 1, "q"}, "conversations_pkey"},
		"read a conversation": {sqlconversation.SelectConversation, []any{"acme", "o", "c"}, "conversations_pkey"},
		"delete":              {sqlconversation.DeleteConversation, []any{"acme", "o", "c"}, "conversations_pkey"},
		"finish":              {sqlconversation.FinishTurn, []any{"acme", "o", "q", "failed", "", nil}, "turns_pkey"},
		"read a turn":         {sqlconversation.SelectTurn, []any{"acme", "o", "q"}, "turns_pkey"},
		"list":                {sqlconversation.SelectConversations, []any{"acme", "o", int64(math.MaxInt64), "", 20}, "conversations_last_used"},
	} {
		var plan strings.Builder
		err := db.Tenant("acme").Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			plan.Reset()
			// A table so small is read whole, otherwise.
			if _, err := tx.Exec(ctx, "set local enable_seqscan = off"); err != nil {
				return err
			}
			return tx.Each(ctx, "explain "+c.query, c.args, func(scan func(...any) error) error {
				var line string
				err := scan(&line)
				plan.WriteString(line + "\n")
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan.String(), " using "+c.index) {
			t.Errorf("to %s does not take the index %s:\n%s", name, c.index, &plan)
		}
	}
}
