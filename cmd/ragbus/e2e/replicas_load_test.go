package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// load is clients who upload and ask all the time, and what was promised to them.
type load struct {
	t    *testing.T
	name string
	// calm says that nothing may be refused: no part is away.
	calm bool

	stop    context.CancelFunc
	clients sync.WaitGroup

	mu sync.Mutex
	// texts are the documents that were accepted, by id.
	texts map[string]string
	// chats are the questions that were accepted.
	chats []string
	// refused counts refusals by their code.
	refused map[string]int
}

// loadPause is between two requests of a client.
const loadPause = 30 * time.Millisecond

// startLoad has a client at each gateway until finish is called.
func startLoad(t *testing.T, s Shape, name string, calm bool) *load {
	t.Helper()
	l := &load{t: t, name: name, calm: calm, texts: map[string]string{}, refused: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	l.stop = cancel
	t.Cleanup(func() { cancel(); l.clients.Wait() })
	for n, at := range s.URLs() {
		a := newAPI(t, at)
		l.clients.Go(func() { l.run(ctx, a, n) })
	}
	return l
}

func (l *load) run(ctx context.Context, a api, n int) {
	pause := time.NewTicker(loadPause)
	defer pause.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		switch i % 3 {
		case 0:
			l.upload(ctx, a, fmt.Sprintf("%s-%d-%d", l.name, n, i))
		case 1:
			l.ask(ctx, a)
		case 2:
			l.send(ctx, a, "/v1/search", map[string]any{"query": "lighthouse", "collections": []string{"load"}})
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

func (l *load) upload(ctx context.Context, a api, id string) {
	text := story(strings.ReplaceAll(id, "-", ""), 2)
	if status, _ := l.send(ctx, a, "/v1/documents", map[string]any{"id": id, "collection": "load", "text": text}); status == http.StatusAccepted {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.texts[id] = text
	}
}

func (l *load) ask(ctx context.Context, a api) {
	status, body := l.send(ctx, a, "/v1/chat", map[string]any{
		"question": "When was the lighthouse of Quellmar built?", "collections": []string{"replicas"}, "background": true,
	})
	if status != http.StatusAccepted {
		return
	}
	var chat struct{ ID string }
	if err := json.Unmarshal(body, &chat); err != nil || chat.ID == "" {
		l.t.Errorf("an accepted question is %s", body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.chats = append(l.chats, chat.ID)
}

// send posts a request. A refusal must say why; no answer at all is what a
// client of a gateway that was killed gets.
func (l *load) send(ctx context.Context, a api, path string, request any) (status int, body []byte) {
	resp, err := a.try(ctx, http.MethodPost, path, request, nil)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp.StatusCode, body
	}
	var problem struct{ Code, Detail string }
	if err := json.Unmarshal(body, &problem); err != nil || problem.Code == "" || problem.Code == "internal" || problem.Detail == "" {
		l.t.Errorf("%s: status %d without a code: %.300s", path, resp.StatusCode, body)
	}
	if known := resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusGatewayTimeout || resp.StatusCode == http.StatusTooManyRequests; l.calm || !known {
		l.t.Errorf("%s: status %d: %.300s", path, resp.StatusCode, body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[fmt.Sprint(resp.StatusCode, " ", problem.Code)]++
	return resp.StatusCode, body
}

// accepted waits until more documents and questions were accepted.
func (l *load) accepted() {
	l.t.Helper()
	const more = 10
	l.mu.Lock()
	texts, chats := len(l.texts)+more, len(l.chats)+more
	l.mu.Unlock()
	eventually(l.t, "requests are accepted", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.texts) >= texts && len(l.chats) >= chats
	})
}

// finish stops the clients and checks that every promise is kept.
func (l *load) finish(a api) {
	l.t.Helper()
	l.stop()
	l.clients.Wait()
	began := time.Now()
	for id, text := range l.texts {
		d := a.settled(id)
		if d.Status != "indexed" {
			l.t.Errorf("document %s is %s: %+v", id, d.Status, d.Error)
			continue
		}
		whole(l.t, d, text, a.chunks(id))
	}
	for _, id := range l.chats {
		r := a.finished(id)
		if r.Status != "completed" || !strings.Contains(r.Answer, "1847") {
			l.t.Errorf("chat %s is %s: %q %+v", id, r.Status, r.Answer, r.Error)
		}
	}
	l.t.Logf("%d documents and %d questions were accepted; all done %s later; refused: %v", len(l.texts), len(l.chats), time.Since(began).Round(time.Millisecond), l.refused)
}
