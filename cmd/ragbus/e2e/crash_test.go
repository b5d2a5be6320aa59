package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// crash is one run of the program that is killed at a random moment while
// documents and questions come in.
type crash struct {
	t   *testing.T
	rnd *rand.Rand

	mu sync.Mutex
	// texts are those of the documents that were accepted, by id.
	texts map[string]string
	// chats are those that were accepted; true: in the background.
	chats map[string]bool
}

const crashDocuments = 30

// TestKilledAtAnyMoment kills the program while it ingests and answers,
// starts it again, and checks what was promised: everything accepted ends
// indexed, with exactly its chunks, or failed with a reason, and every chat ends.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("E2E_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("E2E_SEED=%d repeats the moments", seed)
	for round := range 4 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			c := &crash{t: t, rnd: rand.New(rand.NewPCG(seed, uint64(round))), texts: map[string]string{}, chats: map[string]bool{}}
			c.run(filepath.Join(t.TempDir(), "data"))
		})
	}
}

func (c *crash) run(dir string) {
	// The lease is short, so that the test need not wait for the sweeper.
	vars := []string{"RAGBUS_INGEST_LEASE", "3s", "RAGBUS_SWEEP_INTERVAL", "500ms", "RAGBUS_ACK_WAIT", "2s", "RAGBUS_PULL_WAIT", "1s"}
	// Killed up to three times before it may finish.
	for kill := range 1 + c.rnd.IntN(3) {
		p := serve(c.t, dir, nil, vars...)
		after := time.Duration(c.rnd.Int64N(int64(1500 * time.Millisecond)))
		ctx, stop := context.WithCancel(c.t.Context())
		var clients sync.WaitGroup
		a := newAPI(c.t, p.url)
		for w := range 3 {
			clients.Go(func() { c.upload(ctx, a, kill, w) })
		}
		clients.Go(func() { c.ask(ctx, a, false) })
		clients.Go(func() { c.ask(ctx, a, true) })
		moment := time.NewTimer(after)
		<-moment.C
		p.kill()
		stop()
		clients.Wait()
	}
	p := serve(c.t, dir, nil, vars...)
	c.t.Logf("%d documents and %d chats were accepted; ready again after %s", len(c.texts), len(c.chats), p.readyAfter.Round(time.Millisecond))
	c.check(newAPI(c.t, p.url))
	p.interrupt()
}

// upload sends documents until the server is gone; one of ten is broken.
func (c *crash) upload(ctx context.Context, a api, kill, worker int) {
	for i := worker; i < crashDocuments; i += 3 {
		// Some come again in another version, which replaces the first.
		id := fmt.Sprintf("crash-%d-%d", kill, i)
		text := story(fmt.Sprintf("crashling%dx%d", kill, i), 1+i%3)
		if i%10 == 9 {
			text = "%PDF-1.7\nthis is no PDF " + id
		}
		resp, err := a.try(ctx, http.MethodPost, "/v1/documents?"+url.Values{"id": {id}, "collection": {id}, "filename": {id + ".txt"}}.Encode(),
			strings.NewReader(text), header{"Content-Type", "text/plain"})
		if err != nil {
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			c.t.Errorf("the upload of %s: status %d", id, resp.StatusCode)
			continue
		}
		c.mu.Lock()
		c.texts[id] = text
		c.mu.Unlock()
	}
}

// ask sends questions until the server is gone.
func (c *crash) ask(ctx context.Context, a api, background bool) {
	for n := range 1000 {
		request := map[string]any{"question": fmt.Sprintf("Who carried the barrel, asked for the %d. time?", n), "deadline_ms": 5000}
		if background {
			request["background"] = true
		} else {
			request["stream"] = true
		}
		resp, err := a.try(ctx, http.MethodPost, "/v1/chat", request, nil)
		if err != nil {
			return
		}
		id := c.chat(resp, background)
		if id == "" {
			return
		}
		c.mu.Lock()
		c.chats[id] = background
		c.mu.Unlock()
	}
}

// chat returns the id of an accepted chat, "" when the server was gone before it told.
func (c *crash) chat(resp *http.Response, background bool) string {
	defer resp.Body.Close()
	var begun struct {
		ID string `json:"id"`
	}
	if background {
		if resp.StatusCode != http.StatusAccepted || json.NewDecoder(resp.Body).Decode(&begun) != nil {
			return ""
		}
		return begun.ID
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && begun.ID == "" && json.Unmarshal([]byte(data), &begun) != nil {
			return ""
		}
	}
	return begun.ID
}

func (c *crash) check(a api) {
	for id, text := range c.texts {
		doc := a.settled(id)
		if strings.HasPrefix(text, "%PDF") {
			if doc.Status != "failed" || doc.Error == nil || doc.Error.Code != "pdf_damaged" {
				c.t.Errorf("the broken %s is %s: %+v", id, doc.Status, doc.Error)
			}
			continue
		}
		if doc.Status != "indexed" {
			c.t.Errorf("%s is %s: %+v", id, doc.Status, doc.Error)
			continue
		}
		whole(c.t, doc, text, a.chunks(id))
		word := strings.ReplaceAll(strings.Replace(id, "crash-", "crashling", 1), "-", "x")
		exactly(a, word, id, doc)
	}
	// Whatever else is there was accepted though nobody was told.
	for _, doc := range all[document](a, "/v1/documents", 100) {
		if !doc.settled() {
			doc = a.settled(doc.ID)
		}
		if _, known := c.texts[doc.ID]; !known && doc.Status != "indexed" && doc.Status != "failed" {
			c.t.Errorf("%s, of which nobody was told, is %s", doc.ID, doc.Status)
		}
	}
	ends := map[string]int{}
	for id, background := range c.chats {
		r := a.finished(id)
		ends[fmt.Sprintf("%s, background %v", r.Status, background)]++
		if r.Status == "failed" && (r.Error == nil || r.Error.Code == "" || r.Error.Message == "") {
			c.t.Errorf("chat %s failed without a reason: %+v", id, r)
		}
		if r.Status == "completed" && r.Grounded {
			cited(a, r)
		}
	}
	c.t.Logf("chats ended as %v", ends)
}
