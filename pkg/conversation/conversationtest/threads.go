package conversationtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
)

// pages reads the whole list of a caller's conversations.
func (f *fixture) pages(t *testing.T, who conversation.Caller, limit int, between func()) (ids []string) {
	t.Helper()
	cursor := ""
	for {
		list, next, err := f.Conversations(t.Context(), who, limit, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > limit || next != "" && len(list) < limit {
			t.Fatalf("a page of %d has %d conversations and a next one %q", limit, len(list), next)
		}
		for _, c := range list {
			ids = append(ids, c.ID)
		}
		if next == "" {
			return ids
		}
		cursor = next
		between()
	}
}

func conversationCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a conversation counts its turns and knows when it was used": func(t *testing.T, f *fixture) {
			before := time.Now().Add(-time.Second)
			id := f.talk(t, "q", 3)
			c, err := f.Conversation(t.Context(), alice(), id)
			if err != nil {
				t.Fatal(err)
			}
			if c.ID != id || c.Title != "Question 1?" || c.Turns != 3 || c.CreatedAt.Before(before) || c.UpdatedAt.Before(c.CreatedAt) || c.UpdatedAt.Location() != time.UTC {
				t.Errorf("got %+v", c)
			}
		},
		"conversations come last used first": func(t *testing.T, f *fixture) {
			var ids []string
			for i := range 5 {
				ids = append(ids, f.talk(t, fmt.Sprint("c", i), 1))
			}
			f.ask(t, "again", ids[1], "Again?")
			want := []string{ids[1], ids[4], ids[3], ids[2], ids[0]}
			wantEqual(t, "the list", f.pages(t, alice(), 2, func() {}), want)
			wantEqual(t, "the list in one page", f.pages(t, alice(), 5, func() {}), want)
		},
		"pages are stable while conversations begin and are used": func(t *testing.T, f *fixture) {
			const n = 11
			var want []string
			for i := range n {
				want = append([]string{f.talk(t, fmt.Sprint("c", i), 1)}, want...)
			}
			step := 0
			got := f.pages(t, alice(), 3, func() {
				step++
				f.talk(t, fmt.Sprint("new", step), 1)
				f.ask(t, fmt.Sprint("again", step), want[0], "Again?")
			})
			wantEqual(t, "the list", got, want)
		},
		"nobody sees another's conversations": func(t *testing.T, f *fixture) {
			id := f.talk(t, "q", 2)
			for name, who := range strangers() {
				_, err := f.Conversation(t.Context(), who, id)
				wantNotFound(t, name, err, "conversation_not_found")
				_, err = f.Turns(t.Context(), who, id, 0, 10)
				wantNotFound(t, name, err, "conversation_not_found")
				wantNotFound(t, name, f.Delete(t.Context(), who, id), "conversation_not_found")
				if ids := f.pages(t, who, 10, func() {}); len(ids) != 0 {
					t.Errorf("%s is listed %v", name, ids)
				}
			}
			if got := f.pages(t, alice(), 10, func() {}); len(got) != 1 {
				t.Error("it was deleted")
			}
		},
		"turns are paged backwards, newest last": func(t *testing.T, f *fixture) {
			id := f.talk(t, "q", 5)
			f.ask(t, "q-6", id, "Pending?")
			for _, c := range []struct {
				before int64
				limit  int
				want   string
			}{
				{0, 4, "q-3 q-4 q-5 q-6"}, {3, 4, "q-1 q-2"}, {3, 1, "q-2"}, {1, 4, ""}, {100, 2, "q-5 q-6"},
			} {
				turns, err := f.Turns(t.Context(), alice(), id, c.before, c.limit)
				if err != nil || turnIDs(turns) != c.want {
					t.Errorf("%d before %d: got %s, %v", c.limit, c.before, turnIDs(turns), err)
				}
			}
			turns, err := f.Turns(t.Context(), alice(), id, 2, 1)
			if err != nil {
				t.Fatal(err)
			}
			whole, err := f.Get(t.Context(), alice(), "q-1")
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "a listed turn", turns[0], whole)
		},
		"deleting takes all turns with it": func(t *testing.T, f *fixture) {
			id, kept := f.talk(t, "q", 3), f.talk(t, "kept", 1)
			if err := f.Delete(t.Context(), alice(), id); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				_, err := f.Get(t.Context(), alice(), fmt.Sprint("q-", i+1))
				wantNotFound(t, "a turn", err, "chat_not_found")
			}
			_, err := f.Turns(t.Context(), alice(), id, 0, 10)
			wantNotFound(t, "the turns", err, "conversation_not_found")
			wantNotFound(t, "the second deletion", f.Delete(t.Context(), alice(), id), "conversation_not_found")
			_, _, err = f.Accept(t.Context(), question("late", id, "Late?"))
			wantNotFound(t, "a late question", err, "conversation_not_found")
			wantEqual(t, "the list", f.pages(t, alice(), 10, func() {}), []string{kept})
		},
		"a cursor that no list returned is refused": func(t *testing.T, f *fixture) {
			for _, cursor := range []string{"x", "!!", "MTIz", "LmQ"} {
				_, _, err := f.Conversations(t.Context(), alice(), 10, cursor)
				if code, _ := fault.Public(err); !fault.Is(err, fault.Invalid) || code != "invalid_cursor" {
					t.Errorf("%s: got %v", cursor, err)
				}
			}
		},
	}
}

func sweepCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"unfinished turns past their deadline come oldest first": func(t *testing.T, f *fixture) {
			for i, name := range []string{"late-2", "late-1", "later", "late-3", "done"} {
				q := question(name, "", "What?")
				q.Deadline = epoch().Add(time.Duration([]int{2, 1, 60, 3, 0}[i]) * time.Second)
				if name == "late-3" {
					q.Caller = conversation.Caller{Tenant: "other", Owner: "someone"}
				}
				if _, _, err := f.Accept(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
			f.finish(t, answer("done", "It."))
			for limit, want := range map[int]string{2: "late-1 late-2", 10: "late-1 late-2 late-3"} {
				turns, err := f.Unfinished(t.Context(), epoch().Add(10*time.Second), limit)
				if err != nil || turnIDs(turns) != want {
					t.Errorf("got %s, %v", turnIDs(turns), err)
				}
			}
			turns, err := f.Unfinished(t.Context(), epoch().Add(10*time.Second), 10)
			if err != nil || turns[2].Question.Tenant != "other" || turns[2].Question.Owner != "someone" || turns[0].Answer.Status != conversation.Queued {
				t.Errorf("got %+v, %v", turns, err)
			}
			cancelled := conversation.Answer{ID: "late-1", Status: conversation.Cancelled}
			f.finish(t, cancelled)
			if turns, err := f.Unfinished(t.Context(), epoch().Add(time.Hour), 10); err != nil || turnIDs(turns) != "late-2 late-3 later" {
				t.Errorf("got %s, %v", turnIDs(turns), err)
			}
		},
		"purging removes what was last used before": func(t *testing.T, f *fixture) {
			const n = 75
			var old []string
			for i := range n {
				old = append(old, f.talk(t, fmt.Sprint("old", i), 2))
			}
			c, err := f.Conversation(t.Context(), alice(), old[n-1])
			if err != nil {
				t.Fatal(err)
			}
			kept := f.talk(t, "kept", 1)
			f.ask(t, "used again", old[0], "Again?")
			removed, err := f.Purge(t.Context(), c.UpdatedAt.Add(time.Microsecond))
			if err != nil || removed != n-1 {
				t.Errorf("%d are removed, %v", removed, err)
			}
			wantEqual(t, "what is left", f.pages(t, alice(), 10, func() {}), []string{old[0], kept})
			_, err = f.Get(t.Context(), alice(), "old1-1")
			wantNotFound(t, "a turn", err, "chat_not_found")
			if removed, err := f.Purge(t.Context(), c.UpdatedAt); err != nil || removed != 0 {
				t.Errorf("%d are removed the second time, %v", removed, err)
			}
		},
		"a store that is open is ready": func(t *testing.T, f *fixture) {
			if err := f.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		},
	}
}

// racers is how many do the same thing at once.
const racers = 20

func race(do func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range racers {
		wg.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	wg.Wait()
}

func raceCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"the same question is new once": func(t *testing.T, f *fixture) {
			var mu sync.Mutex
			fresh := 0
			race(func(int) {
				_, first, err := f.Accept(t.Context(), question("q1", "", "What?"))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if first {
					fresh++
				}
			})
			if fresh != 1 {
				t.Errorf("it was new %d times", fresh)
			}
		},
		"one of many answers wins and all learn which": func(t *testing.T, f *fixture) {
			f.ask(t, "q1", "", "What?")
			var mu sync.Mutex
			seen := make(map[string]int)
			race(func(i int) {
				got, err := f.Finish(t.Context(), alice(), answer("q1", fmt.Sprint("Answer ", i)))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				seen[got.Answer]++
			})
			if len(seen) != 1 {
				t.Errorf("answers seen: %v", seen)
			}
		},
		"questions at once keep their order without gaps": func(t *testing.T, f *fixture) {
			id := f.talk(t, "q", 1)
			race(func(i int) {
				if _, _, err := f.Accept(t.Context(), question(fmt.Sprint("r", i), id, "What?")); err != nil {
					t.Error(err)
				}
			})
			turns, err := f.Turns(t.Context(), alice(), id, 0, 100)
			if err != nil || len(turns) != racers+1 {
				t.Fatalf("%d turns, %v", len(turns), err)
			}
			for i, turn := range turns {
				if turn.Seq != int64(i+1) {
					t.Errorf("turn %d has number %d", i+1, turn.Seq)
				}
			}
		},
	}
}

// modelCases do random things and compare the store with a map.
func modelCases() map[string]func(*testing.T, *fixture) {
	cases := make(map[string]func(*testing.T, *fixture))
	for seed := range uint64(4) {
		cases[fmt.Sprintf("of questions and answers agrees with the model, seed %d", seed)] = func(t *testing.T, f *fixture) {
			walk(t, f, rand.New(rand.NewPCG(seed, 3)))
		}
	}
	return cases
}

// walk keeps, by conversation, the ids of its turns; by turn, its answer.
func walk(t *testing.T, f *fixture, r *rand.Rand) {
	threads, answers, home := map[string][]string{}, map[string]string{}, map[string]string{}
	for step := range 400 {
		id := fmt.Sprint("q", r.IntN(60))
		switch r.IntN(5) {
		case 0, 1:
			thread := home[id]
			if thread == "" && len(threads) > 3 {
				for thread = range threads {
					break
				}
			}
			turn, first, err := f.Accept(t.Context(), question(id, thread, "Text of "+id))
			if err != nil || first != (home[id] == "") {
				t.Fatalf("step %d: accept %s: new %t, %v", step, id, first, err)
			}
			if first {
				home[id] = turn.Question.ConversationID
				threads[home[id]] = append(threads[home[id]], id)
			}
		case 2, 3:
			text := fmt.Sprint("Answer at ", step)
			got, err := f.Finish(t.Context(), alice(), answer(id, text))
			if home[id] == "" {
				wantNotFound(t, "finish", err, "chat_not_found")
				break
			}
			if answers[id] == "" {
				answers[id] = text
			}
			if err != nil || got.Answer != answers[id] {
				t.Fatalf("step %d: finish %s: got %q, %v; want %q", step, id, got.Answer, err, answers[id])
			}
		case 4:
			if r.IntN(8) != 0 || home[id] == "" {
				break
			}
			thread := home[id]
			if err := f.Delete(t.Context(), alice(), thread); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			for _, q := range threads[thread] {
				delete(home, q)
				delete(answers, q)
			}
			delete(threads, thread)
		}
		checkThread(t, f, home[id], threads[home[id]], answers)
	}
}

func checkThread(t *testing.T, f *fixture, thread string, ids []string, answers map[string]string) {
	t.Helper()
	if thread == "" {
		return
	}
	turns, err := f.Turns(t.Context(), alice(), thread, 0, 100)
	if err != nil || turnIDs(turns) != strings.Join(ids, " ") {
		t.Fatalf("turns %s, %v; want %v", turnIDs(turns), err, ids)
	}
	for _, turn := range turns {
		if turn.Answer.Answer != answers[turn.Question.ID] {
			t.Fatalf("the answer to %s is %q, want %q", turn.Question.ID, turn.Answer.Answer, answers[turn.Question.ID])
		}
	}
}
