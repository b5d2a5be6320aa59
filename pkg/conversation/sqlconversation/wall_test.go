package sqlconversation_test

import (
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

func TestRowLevelSecurityPartsTenants(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := openOn(t, openURL(t, url))
	others := ""
	for _, tenant := range []string{"acme", "other"} {
		who := conversation.Caller{Tenant: tenant, Owner: "somebody"}
		id := tenant
		for _, n := range []string{"1", "2"} {
			turn, _, err := s.Accept(t.Context(), conversation.Question{Caller: who, ID: id + n, Digest: "d", Text: "What?"})
			if err != nil {
				t.Fatal(err)
			}
			others = turn.Question.ConversationID
		}
	}
	if tables := strings.Join(postgrestest.CheckTables(t, url), " "); tables != "conversations turns" {
		t.Errorf("tables with tenants: %s", tables)
	}
	postgrestest.CheckWall(t, url, "conversations", "acme",
		"insert into conversations (tenant, owner, id, title, turns, created_at, updated_at) values ('third', 'o', 'i', 't', 1, 1, 1)")
	postgrestest.CheckWall(t, url, "turns", "acme",
		`insert into turns (tenant, owner, id, conversation, seq, status, digest, asked_at, deadline, waits_until, question, answer)
		values ('other', 'somebody', 'new', '`+others+`', 99, 'queued', 'd', 1, 1, 1, '', '')`)
}
