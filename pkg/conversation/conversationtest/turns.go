package conversationtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
)

func acceptCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a question begins a conversation": func(t *testing.T, f *fixture) {
			turn := f.ask(t, "q1", "", "What is it?")
			id := turn.Question.ConversationID
			want := question("q1", id, "What is it?")
			wantEqual(t, "the turn", turn, conversation.Turn{Question: want, Seq: 1, Answer: conversation.Answer{
				ID: "q1", ConversationID: id, Status: conversation.Queued, Citations: []conversation.Citation{},
				Sources: json.RawMessage("[]"), CreatedAt: epoch(),
			}})
			got, err := f.Get(t.Context(), alice(), "q1")
			if err != nil || id == "" {
				t.Fatalf("conversation %q, %v", id, err)
			}
			wantEqual(t, "the stored turn", got, turn)
		},
		"a question continues a conversation": func(t *testing.T, f *fixture) {
			id := f.talk(t, "q", 3)
			turn := f.ask(t, "next", id, "And then?")
			if turn.Seq != 4 || turn.Question.ConversationID != id {
				t.Errorf("turn %d of %s", turn.Seq, turn.Question.ConversationID)
			}
		},
		"the same question again is the turn as it stands": func(t *testing.T, f *fixture) {
			first := f.ask(t, "q1", "", "What is it?")
			again := func(q conversation.Question) conversation.Turn {
				t.Helper()
				q.AskedAt = q.AskedAt.Add(time.Hour)
				turn, fresh, err := f.Accept(t.Context(), q)
				if err != nil || fresh {
					t.Fatalf("new %t, %v", fresh, err)
				}
				return turn
			}
			wantEqual(t, "the turn", again(question("q1", "", "What is it?")), first)
			stored := f.finish(t, answer("q1", "It."))
			named := question("q1", first.Question.ConversationID, "What is it?")
			wantEqual(t, "the answer", again(named).Answer, stored)
			c, err := f.Conversation(t.Context(), alice(), first.Question.ConversationID)
			if err != nil || c.Turns != 1 {
				t.Errorf("%d turns, %v", c.Turns, err)
			}
		},
		"a known id with another question is a mismatch": func(t *testing.T, f *fixture) {
			f.ask(t, "q1", "", "What is it?")
			other := f.talk(t, "other", 1)
			for name, q := range map[string]conversation.Question{
				"another text":         question("q1", "", "Something else?"),
				"another conversation": question("q1", other, "What is it?"),
			} {
				if _, _, err := f.Accept(t.Context(), q); !errors.Is(err, conversation.ErrMismatch) {
					t.Errorf("%s: got %v", name, err)
				}
			}
		},
		"an unknown conversation is not found and nothing is left": func(t *testing.T, f *fixture) {
			id := f.talk(t, "q", 1)
			_, _, err := f.Accept(t.Context(), question("x", "never", "What?"))
			wantNotFound(t, "an unknown one", err, "conversation_not_found")
			for name, who := range strangers() {
				q := question("x", id, "What?")
				q.Caller = who
				_, _, err := f.Accept(t.Context(), q)
				wantNotFound(t, name, err, "conversation_not_found")
				_, err = f.Get(t.Context(), who, "x")
				wantNotFound(t, name, err, "chat_not_found")
			}
		},
		"ids belong to their caller": func(t *testing.T, f *fixture) {
			mine := f.ask(t, "q1", "", "What is it?")
			for name, who := range strangers() {
				_, err := f.Get(t.Context(), who, "q1")
				wantNotFound(t, name, err, "chat_not_found")
				q := question("q1", "", "Something else?")
				q.Caller = who
				turn, first, err := f.Accept(t.Context(), q)
				if err != nil || !first || turn.Question.ConversationID == mine.Question.ConversationID {
					t.Errorf("%s: new %t in %s, %v", name, first, turn.Question.ConversationID, err)
				}
			}
		},
		"a conversation is named by the beginning of its first question": func(t *testing.T, f *fixture) {
			long := strings.Repeat("größer ", 30)
			for i, c := range []struct{ text, title string }{
				{"Short?", "Short?"},
				{"  on\ntwo \t lines\r\n", "on two lines"},
				{long, strings.TrimSpace(string([]rune(long)[:80]))},
				{strings.Repeat("日", 81), strings.Repeat("日", 80)},
				{strings.Repeat("x", 80), strings.Repeat("x", 80)},
			} {
				turn := f.ask(t, fmt.Sprint("q", i), "", c.text)
				f.ask(t, fmt.Sprint("then", i), turn.Question.ConversationID, "Another question")
				got, err := f.Conversation(t.Context(), alice(), turn.Question.ConversationID)
				if err != nil || got.Title != c.title || utf8.RuneCountInString(got.Title) > 80 {
					t.Errorf("the title is %q, %v; want %q", got.Title, err, c.title)
				}
				if turn.Question.Text != c.text {
					t.Error("the question was changed")
				}
			}
		},
		"a question without an id or tenant is refused": func(t *testing.T, f *fixture) {
			nameless, homeless := question("", "", "What?"), question("q", "", "What?")
			homeless.Tenant = ""
			for _, q := range []conversation.Question{nameless, homeless} {
				if _, _, err := f.Accept(t.Context(), q); !fault.Is(err, fault.Invalid) {
					t.Errorf("got %v", err)
				}
			}
		},
	}
}

func finishCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"an answer comes back as it was stored": func(t *testing.T, f *fixture) {
			turn := f.ask(t, "q1", "", "What is it?")
			want := answer("q1", "It is “größer” <b>.")
			want.ConversationID = turn.Question.ConversationID
			wantEqual(t, "the stored answer", f.finish(t, answer("q1", "It is “größer” <b>.")), want)
			got, err := f.Get(t.Context(), alice(), "q1")
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the answer", got.Answer, want)
			if string(got.Answer.Sources) != string(want.Sources) {
				t.Errorf("the sources are %s", got.Answer.Sources)
			}
		},
		"an answer that names its conversation comes back the same": func(t *testing.T, f *fixture) {
			first := f.ask(t, "q1", "", "What is it?")
			for _, turn := range []conversation.Turn{first, f.ask(t, "q2", first.Question.ConversationID, "And then?")} {
				want := answer(turn.Question.ID, "It.")
				want.ConversationID = turn.Question.ConversationID
				late := want
				late.Answer = "Something else."
				wantEqual(t, "the stored answer", f.finish(t, want), want)
				wantEqual(t, "a late answer", f.finish(t, late), want)
				got, err := f.Get(t.Context(), alice(), want.ID)
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, "the turn", got, conversation.Turn{Question: turn.Question, Answer: want, Seq: turn.Seq})
			}
			unknown := answer("never", "It.")
			unknown.ConversationID = first.Question.ConversationID
			_, err := f.Finish(t.Context(), alice(), unknown)
			wantNotFound(t, "an unknown id", err, "chat_not_found")
		},
		"absent parts of an answer stay absent": func(t *testing.T, f *fixture) {
			turn := f.ask(t, "q1", "", "What is it?")
			a := conversation.Answer{ID: "q1", Status: conversation.Failed, Error: &conversation.Problem{Code: "x", Message: "y"}, CreatedAt: epoch()}
			f.finish(t, a)
			a.ConversationID = turn.Question.ConversationID
			got, err := f.Get(t.Context(), alice(), "q1")
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the answer", got.Answer, a)
		},
		"the first answer wins": func(t *testing.T, f *fixture) {
			f.ask(t, "q1", "", "What is it?")
			first := f.finish(t, answer("q1", "It."))
			for _, status := range []conversation.Status{conversation.Completed, conversation.Failed, conversation.Cancelled} {
				late := answer("q1", "Something else.")
				late.Status = status
				wantEqual(t, "a late answer", f.finish(t, late), first)
			}
			got, err := f.Get(t.Context(), alice(), "q1")
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the answer", got.Answer, first)
		},
		"an answer that ends nothing is refused": func(t *testing.T, f *fixture) {
			f.ask(t, "q1", "", "What is it?")
			for _, status := range []conversation.Status{conversation.Queued, conversation.Running, ""} {
				a := answer("q1", "It.")
				a.Status = status
				if _, err := f.Finish(t.Context(), alice(), a); err == nil || fault.Retryable(err) {
					t.Errorf("%q: got %v", status, err)
				}
			}
		},
		"an answer to nothing, or to another's question, is not found": func(t *testing.T, f *fixture) {
			f.ask(t, "q1", "", "What is it?")
			_, err := f.Finish(t.Context(), alice(), answer("never", "It."))
			wantNotFound(t, "an unknown id", err, "chat_not_found")
			for name, who := range strangers() {
				_, err := f.Finish(t.Context(), who, answer("q1", "It."))
				wantNotFound(t, name, err, "chat_not_found")
			}
			if got, err := f.Get(t.Context(), alice(), "q1"); err != nil || got.Answer.Status != conversation.Queued {
				t.Errorf("got %s, %v", got.Answer.Status, err)
			}
		},
		"a deleted conversation takes no answer": func(t *testing.T, f *fixture) {
			turn := f.ask(t, "q1", "", "What is it?")
			if err := f.Delete(t.Context(), alice(), turn.Question.ConversationID); err != nil {
				t.Fatal(err)
			}
			_, err := f.Finish(t.Context(), alice(), answer("q1", "It."))
			wantNotFound(t, "the answer", err, "chat_not_found")
		},
		"a large answer is kept": func(t *testing.T, f *fixture) {
			f.ask(t, "q1", "", strings.Repeat("long question ", 5000))
			a := answer("q1", strings.Repeat("long answer ", 20000))
			a.Sources = json.RawMessage(`["` + strings.Repeat("source ", 50000) + `"]`)
			f.finish(t, a)
			got, err := f.Get(t.Context(), alice(), "q1")
			if err != nil || got.Answer.Answer != a.Answer || string(got.Answer.Sources) != string(a.Sources) {
				t.Errorf("it was cut, %v", err)
			}
		},
	}
}

func historyCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"the last completed turns before a turn come oldest first without sources": func(t *testing.T, f *fixture) {
			id := f.talk(t, "q", 5)
			failed := f.ask(t, "failed", id, "Fails?")
			bad := answer("failed", "")
			bad.Status = conversation.Failed
			f.finish(t, bad)
			f.ask(t, "pending", id, "Pending?")
			f.finish(t, answer(f.ask(t, "q-6", id, "Six?").Question.ID, "Six."))
			f.ask(t, "now", id, "Now?")
			for _, c := range []struct {
				before string
				n      int
				want   string
			}{
				{"now", 3, "q-4 q-5 q-6"},
				{"now", 100, "q-1 q-2 q-3 q-4 q-5 q-6"},
				{"pending", 2, "q-4 q-5"},
				{"q-3", 10, "q-1 q-2"},
				{"q-1", 10, ""},
				{"now", 0, ""},
			} {
				turns, err := f.History(t.Context(), alice(), id, c.before, c.n)
				if err != nil || turnIDs(turns) != c.want {
					t.Errorf("%d before %s: got %s, %v", c.n, c.before, turnIDs(turns), err)
				}
				for _, turn := range turns {
					if turn.Answer.Sources != nil || turn.Answer.Answer == "" || len(turn.Answer.Citations) != 1 || turn.Question.Text == "" {
						t.Errorf("got %+v", turn)
					}
				}
			}
			if failed.Seq != 6 {
				t.Errorf("the failed turn is number %d", failed.Seq)
			}
		},
		"what another owns has no history": func(t *testing.T, f *fixture) {
			id, other := f.talk(t, "q", 2), f.talk(t, "other", 2)
			for name, who := range strangers() {
				_, err := f.History(t.Context(), who, id, "q-2", 5)
				wantNotFound(t, name, err, "chat_not_found")
			}
			for _, before := range []string{"never", "other-2"} {
				_, err := f.History(t.Context(), alice(), id, before, 5)
				wantNotFound(t, before, err, "chat_not_found")
			}
			_, err := f.History(t.Context(), alice(), other, "q-2", 5)
			wantNotFound(t, "another conversation", err, "chat_not_found")
		},
	}
}
