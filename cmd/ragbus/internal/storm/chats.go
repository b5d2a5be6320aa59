package storm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The ways to ask.
const (
	asStream     = "stream"
	asResumed    = "stream, resumed"
	asTwice      = "stream, twice at once under one key"
	asCancelled  = "stream, cancelled"
	asBackground = "background"
	asWhole      = "whole"
)

// asked is what its client knows of one question.
type asked struct {
	number  int
	tenant  int
	among   int
	word    string
	way     string
	fact    fact
	history *timeline
	// from and to are when the client asked and when it knew the end, or gave up.
	from, to time.Time

	mu sync.Mutex
	// ids are the chats that the server said this question is: one, unless
	// it was refused before it began.
	ids   []string
	tapes []*tape
	// answers are those that came as one object.
	answers []answer
	// cancelled says that its client asked for the end, lonely for how long nobody read.
	cancelled bool
	lonely    time.Duration
}

func (a *asked) learn(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id != "" && (len(a.ids) == 0 || a.ids[len(a.ids)-1] != id) {
		a.ids = append(a.ids, id)
	}
}

// id returns the chat that the question has become, "" for none that is known.
func (a *asked) id() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.ids) == 0 {
		return ""
	}
	return a.ids[len(a.ids)-1]
}

// questions is the record of all questions. It is safe for concurrent use.
type questions struct {
	mu  sync.Mutex
	all []*asked
}

func (q *questions) put(a *asked) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, a)
}

func (q *questions) list() []*asked {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]*asked(nil), q.all...)
}

const (
	chatDeadline = 30 * time.Second
	// chatPatience is how long a client tries to learn the end of its question.
	chatPatience = chatDeadline + 30*time.Second
)

// converse is the life of a client who asks.
func (c *client) converse(ctx context.Context, rnd *rand.Rand, numbers []int, every time.Duration, q *questions) {
	beat := time.NewTicker(every)
	defer beat.Stop()
	list := facts(c.tenant)
	for _, n := range numbers {
		a := &asked{number: n, tenant: c.tenant, among: c.shape.among(), word: quest(c.tenant, n), fact: list[rnd.IntN(len(list))], history: &timeline{}, from: time.Now()}
		a.way = []string{asStream, asStream, asStream, asResumed, asResumed, asTwice, asCancelled, asBackground, asBackground, asWhole}[rnd.IntN(10)]
		q.put(a)
		c.ask(ctx, rnd, a)
		a.to = time.Now()
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c *client) ask(ctx context.Context, rnd *rand.Rand, a *asked) {
	ctx, cancel := context.WithTimeout(ctx, chatPatience)
	defer cancel()
	c.found.count("asked: " + a.way)
	gateway := rnd.IntN(2)
	leave := 2 + rnd.IntN(6)
	switch a.way {
	case asBackground:
		c.askInBackground(ctx, gateway, a)
	case asWhole:
		c.askWhole(ctx, gateway, a)
	case asTwice:
		var both sync.WaitGroup
		for n := range 2 {
			both.Go(func() { c.follow(ctx, gateway+n, a, 0, nil) })
		}
		both.Wait()
	case asResumed:
		c.follow(ctx, gateway, a, leave, nil)
	case asCancelled:
		c.follow(ctx, gateway, a, leave, func(id string) {
			a.mu.Lock()
			a.cancelled = true
			a.mu.Unlock()
			c.clear(ctx, a.history, gateway+1, nil, http.MethodDelete, "/v1/chat/"+id, nil)
		})
	default:
		c.follow(ctx, gateway, a, 0, nil)
	}
}

func (a *asked) body(more ...string) map[string]any {
	out := map[string]any{"question": a.fact.question(a.word), "collections": []string{"facts"}, "deadline_ms": chatDeadline.Milliseconds()}
	for _, m := range more {
		out[m] = true
	}
	return out
}

// key is the same for another tenant's question, which it must not meet.
func (a *asked) key() string {
	return fmt.Sprintf("key-%d-%d", a.number%clients/a.among, a.number/clients)
}

// askInBackground asks and goes; the answer is looked at when everything is at rest.
func (c *client) askInBackground(ctx context.Context, gateway int, a *asked) {
	r := c.clear(ctx, a.history, gateway, nil, http.MethodPost, "/v1/chat", a.body("background"), "Idempotency-Key", a.key())
	var out answer
	if r.ok() && r.into(&out) == nil {
		a.learn(out.ID)
		return
	}
	c.found.count("questions without a clear answer")
}

// askWhole asks for one object. A repetition under the same key is the same chat.
func (c *client) askWhole(ctx context.Context, gateway int, a *asked) {
	for n := 0; ctx.Err() == nil && n < attempts; n++ {
		r := c.do(ctx, gateway+n, http.MethodPost, "/v1/chat", a.body(), "Idempotency-Key", a.key())
		a.history.addf("POST /v1/chat at gateway %d: %s", (gateway+n)%2+1, brief(r))
		var out answer
		if r.ok() && r.into(&out) == nil {
			a.learn(out.ID)
			a.mu.Lock()
			a.answers = append(a.answers, out)
			a.mu.Unlock()
			return
		}
		if r.refused() && r.status != http.StatusTooManyRequests {
			c.found.violatef(3, a.history, "question %s is refused: %s", a.word, r)
			return
		}
		if failed := chatOf(r); failed != "" {
			a.learn(failed)
			if !notBegun(r) {
				return
			}
		}
		if !pause(ctx, time.Duration(100+rand.IntN(500))*time.Millisecond) { //nolint:gosec // jitter
			return
		}
	}
	c.found.count("questions without a clear answer")
}

// chatOf returns the chat that a problem is about, "" for none.
func chatOf(r response) string {
	var p struct {
		ChatID string `json:"chat_id"`
	}
	if r.into(&p) != nil {
		return ""
	}
	return p.ChatID
}

// notBegun reports whether a refusal says that no work was begun.
func notBegun(r response) bool {
	var p struct{ Code string }
	return r.into(&p) == nil && (p.Code == "queue_full" || p.Code == "broker_unavailable")
}

// follow asks for a stream and reads it to its end, over as many connections
// as it takes. After leave events (0: never) the reader goes away and comes
// back at the other gateway; left is called in between.
func (c *client) follow(ctx context.Context, gateway int, a *asked, leave int, left func(id string)) {
	t := &tape{}
	a.mu.Lock()
	a.tapes = append(a.tapes, t)
	a.mu.Unlock()
	lastRead := time.Now()
	for n := 0; ctx.Err() == nil && !t.ended && t.wrong == ""; n++ {
		method, path, body, h := http.MethodPost, "/v1/chat", any(a.body("stream")), header{"Idempotency-Key", a.key()}
		if t.chat != "" {
			method, path, body, h = http.MethodGet, "/v1/chat/"+t.chat+"/stream", nil, header{"Last-Event-ID", strconv.Itoa(t.last())}
		}
		began, had := time.Now(), t.last()
		r := c.connect(ctx, t, gateway+n, leave, method, path, body, h)
		if r.status == http.StatusOK {
			a.mu.Lock()
			a.lonely = max(a.lonely, began.Sub(lastRead))
			a.mu.Unlock()
			lastRead = time.Now()
		}
		a.learn(t.chat)
		a.history.addf("%s %s at gateway %d, from event %d to %d: %s", method, path, (gateway+n)%2+1, had, t.last(), brief(r))
		if t.ended {
			a.history.addf("%s", strings.Join(append([]string{"the end; the logs say of it:"}, c.logged(t.request)...), "\n  "))
			break
		}
		if r.refused() && r.status != http.StatusTooManyRequests {
			c.found.violatef(3, a.history, "question %s, known as chat %q: %s %s is refused: %s", a.word, t.chat, method, path, r)
			return
		}
		if r.status != 0 && r.status != http.StatusOK {
			if failed := chatOf(r); failed != "" {
				a.learn(failed)
				if !notBegun(r) && strings.HasPrefix(path, "/v1/chat/") {
					break // told without a stream how it ended
				}
			}
		}
		if leave > 0 && t.last() >= leave {
			if left != nil {
				left(t.chat)
			}
			leave, left = 0, nil
			continue
		}
		t.breaks++
		if !pause(ctx, time.Duration(50+rand.IntN(300))*time.Millisecond<<min(n, 3)) { //nolint:gosec // jitter
			break
		}
	}
	if t.wrong != "" {
		c.found.violatef(3, a.history, "the stream of question %s is wrong: %s\n  events: %s", a.word, t.wrong, t)
	}
	if !t.ended {
		c.found.count("streams whose end was not seen in time")
	}
	if t.breaks > 0 {
		c.found.counts("streams broken off and resumed", t.breaks)
	}
}

// String tells a question in a violation.
func (a *asked) String() string {
	return fmt.Sprintf("question %s (%s), chats %v", a.word, a.way, a.ids)
}
