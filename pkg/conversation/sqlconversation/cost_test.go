package sqlconversation_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/conversation/conversationtest"
	"github.com/ragbus/ragbus/pkg/conversation/sqlconversation"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

func openSole(t *testing.T) (*sqldb.DB, *sqlconversation.Store) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqldb.FileURL(filepath.Join(t.TempDir(), "ragbus.db")), Sole: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, openOn(t, db)
}

func TestContractOfTheOnlyProcess(t *testing.T) {
	t.Parallel()
	conversationtest.Run(t, func(t *testing.T) conversation.Store {
		t.Helper()
		_, store := openSole(t)
		return store
	})
}

func someone() conversation.Caller { return conversation.Caller{Tenant: "acme", Owner: "somebody"} }

func accept(t *testing.T, s conversation.Store, id string) conversation.Turn {
	t.Helper()
	turn, first, err := s.Accept(t.Context(), conversation.Question{
		Caller: someone(), ID: id, Digest: "d", Text: "What?", AskedAt: time.Now(), Deadline: time.Now().Add(time.Minute),
	})
	if err != nil || !first {
		t.Fatalf("accept: %t, %v", first, err)
	}
	return turn
}

func finish(t *testing.T, s conversation.Store, id string) {
	t.Helper()
	if _, err := s.Finish(t.Context(), someone(), conversation.Answer{ID: id, Status: conversation.Completed, Answer: "That."}); err != nil {
		t.Fatal(err)
	}
}

// What happens to a chat between its acceptance and the look at it is seen,
// also when another store on the same database did it; and what did not
// happen costs no look into the database.
func TestTheOnlyProcessKnowsWhatWaits(t *testing.T) {
	t.Parallel()
	db, s := openSole(t)
	other := openOn(t, db)
	for name, happens := range map[string]func(*testing.T, conversation.Turn){
		"finish": func(t *testing.T, turn conversation.Turn) { t.Helper(); finish(t, other, turn.Question.ID) },
		"delete": func(t *testing.T, turn conversation.Turn) {
			t.Helper()
			if err := other.Delete(t.Context(), someone(), turn.Question.ConversationID); err != nil {
				t.Fatal(err)
			}
		},
		"purge": func(t *testing.T, _ conversation.Turn) {
			t.Helper()
			if n, err := other.Purge(t.Context(), time.Now().Add(time.Hour)); err != nil || n == 0 {
				t.Fatalf("purge: %d, %v", n, err)
			}
		},
	} {
		turn := accept(t, s, name)
		if got, err := s.Get(t.Context(), someone(), name); err != nil || got.Answer.Status != conversation.Queued {
			t.Errorf("before %s: %s, %v", name, got.Answer.Status, err)
		}
		happens(t, turn)
		got, err := s.Get(t.Context(), someone(), name)
		if name == "finish" && got.Answer.Status != conversation.Completed || name != "finish" && !fault.Is(err, fault.NotFound) {
			t.Errorf("after %s: %s, %v", name, got.Answer.Status, err)
		}
	}
	waiting := accept(t, s, "waiting")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), someone(), "waiting"); err != nil || got.Seq != waiting.Seq || got.Question != waiting.Question {
		t.Errorf("of a closed database: %v, %v", got, err)
	}
	if _, err := s.Get(t.Context(), conversation.Caller{Tenant: "acme", Owner: "another"}, "waiting"); err == nil {
		t.Error("another's chat was read without the database")
	}
}

// An answer that was stored is what everybody reads who begins after it was,
// whoever else reads meanwhile.
func TestNobodyReadsAChatAsWaitingThatHasItsAnswer(t *testing.T) {
	t.Parallel()
	_, s := openSole(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 40 {
				id := fmt.Sprint(g, "-", i)
				accept(t, s, id)
				var readers sync.WaitGroup
				stored := make(chan struct{})
				for range 2 {
					readers.Go(func() {
						for done := false; !done; {
							select {
							case <-stored:
								done = true
							default:
							}
							got, err := s.Get(t.Context(), someone(), id)
							if err != nil || done && !got.Answer.Status.Terminal() {
								t.Errorf("%s: %s, %v", id, got.Answer.Status, err)
							}
						}
					})
				}
				finish(t, s, id)
				close(stored)
				readers.Wait()
			}
		})
	}
	wg.Wait()
}

// Each exchange costs client and server more than what it is about.
func TestExchangesOfAQuestion(t *testing.T) {
	t.Parallel()
	url, exchanges := postgrestest.Counted(t, postgres.Database(t))
	s := openOn(t, openURL(t, url+"&pool_max_conns=1"))
	ask := func(id string) { finish(t, s, accept(t, s, id).Question.ID) }
	ask("first") // which prepares the statements
	if _, err := s.Get(t.Context(), someone(), "first"); err != nil {
		t.Fatal(err)
	}
	exchanges.Since()
	turn := accept(t, s, "second")
	if n := exchanges.Since(); n != 1 {
		t.Errorf("accepting takes %d exchanges", n)
	}
	if _, err := s.Get(t.Context(), someone(), "second"); err != nil {
		t.Fatal(err)
	}
	if n := exchanges.Since(); n != 1 {
		t.Errorf("reading takes %d exchanges", n)
	}
	finish(t, s, "second")
	if n := exchanges.Since(); n != 1 {
		t.Errorf("finishing takes %d exchanges", n)
	}
	history := func() {
		if _, err := s.History(t.Context(), someone(), turn.Question.ConversationID, "second", 6); err != nil {
			t.Fatal(err)
		}
	}
	history()
	exchanges.Since()
	history()
	if n := exchanges.Since(); n != 1 {
		t.Errorf("the history takes %d exchanges", n)
	}
}
