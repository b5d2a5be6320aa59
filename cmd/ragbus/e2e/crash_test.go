package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	// known are the documents that were sent, by id.
	known map[string]*sentDocument
	// chats are those that were accepted; true: in the background.
	chats map[string]bool
}

// sentDocument is what clients know of a document. A text is a version, ""
// stands for its deletion.
type sentDocument struct {
	// accepted is the last that the server said it has.
	accepted string
	// some is true when it said so at all.
	some bool
	// tried are those sent since: when it was killed before its answer, the
	// server may have any of them.
	tried []string
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
			c := &crash{t: t, rnd: rand.New(rand.NewPCG(seed, uint64(round))), known: map[string]*sentDocument{}, chats: map[string]bool{}}
			c.run(filepath.Join(t.TempDir(), "data"))
		})
	}
}

func (c *crash) run(dir string) {
	// The lease is short, so that the test need not wait for the sweeper.
	vars := []string{"RAGBUS_INGEST_LEASE", "3s", "RAGBUS_SWEEP_INTERVAL", "500ms", "RAGBUS_ACK_WAIT", "2s", "RAGBUS_PULL_WAIT", "1s"}
	// Killed up to three times, now and then interrupted, before it may finish.
	for range 1 + c.rnd.IntN(3) {
		p := serve(c.t, dir, nil, vars...)
		after := time.Duration(c.rnd.Int64N(int64(1500 * time.Millisecond)))
		politely := c.rnd.IntN(4) == 0
		ctx, stop := context.WithCancel(c.t.Context())
		var clients sync.WaitGroup
		a := newAPI(c.t, p.url)
		for worker := range 3 {
			rnd := rand.New(rand.NewPCG(c.rnd.Uint64(), 0))
			clients.Go(func() { c.send(ctx, a, rnd, worker) })
		}
		clients.Go(func() { c.ask(ctx, a, false) })
		clients.Go(func() { c.ask(ctx, a, true) })
		moment := time.NewTimer(after)
		<-moment.C
		if politely {
			c.t.Logf("interrupted after %s, ended after %s", after.Round(time.Millisecond), p.interrupt().Round(time.Millisecond))
		} else {
			p.kill()
		}
		stop()
		clients.Wait()
	}
	p := serve(c.t, dir, nil, vars...)
	c.t.Logf("%d documents and %d chats were accepted; ready again after %s", len(c.known), len(c.chats), p.readyAfter.Round(time.Millisecond))
	c.check(newAPI(c.t, p.url))
	c.t.Logf("%d files of bytes are kept", files(c.t, dir))
	p.interrupt()
}

// send uploads documents, new versions of them, and deletes some, until the
// server is gone; one of ten is broken. Each document is one client's.
func (c *crash) send(ctx context.Context, a api, rnd *rand.Rand, worker int) {
	for range 4 * crashDocuments {
		i := worker + 3*rnd.IntN(crashDocuments/3)
		id := fmt.Sprintf("crash-%d", i)
		text, method, path := story(crashWord(id), 1+rnd.IntN(3)), http.MethodPost, "/v1/documents?"
		c.mu.Lock()
		if c.known[id] == nil {
			c.known[id] = &sentDocument{}
		}
		d := c.known[id]
		switch {
		case d.some && rnd.IntN(6) == 0:
			text, method, path = "", http.MethodDelete, "/v1/documents/"+id+"?"
		case i%10 == 9:
			text = fmt.Sprintf("%%PDF-1.7\nthis is no PDF %d", rnd.IntN(3))
		}
		d.tried = append(d.tried, text)
		c.mu.Unlock()
		if method == http.MethodPost {
			path += url.Values{"id": {id}, "collection": {id}, "filename": {id + ".txt"}}.Encode()
		} else {
			path = strings.TrimSuffix(path, "?")
		}
		resp, err := a.try(ctx, method, path, strings.NewReader(text), header{"Content-Type", "text/plain"})
		if err != nil {
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable { // it is stopping
			return
		}
		if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusOK {
			c.t.Errorf("%s %s: status %d", method, path, resp.StatusCode)
			return
		}
		c.mu.Lock()
		d.accepted, d.some, d.tried = text, true, nil
		c.mu.Unlock()
	}
}

// became returns what the document should be, given what the server says it
// is: the last that was accepted, or one that was sent after that.
func (d *sentDocument) became(doc document) string {
	for _, text := range d.tried {
		sum := sha256.Sum256([]byte(text))
		if text == "" && doc.Status == "deleted" || text != "" && doc.Status != "deleted" && doc.Version == hex.EncodeToString(sum[:]) {
			return text
		}
	}
	return d.accepted
}

// crashWord is in every sentence of a document and in no other document.
func crashWord(id string) string {
	return strings.ReplaceAll(strings.Replace(id, "crash-", "crashling", 1), "-", "x")
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
	states := map[string]int{}
	for id, d := range c.known {
		if !d.some && a.get("/v1/documents/"+id).status == http.StatusNotFound {
			continue // killed before it was accepted
		}
		doc := a.settled(id)
		states[doc.Status]++
		text := d.became(doc)
		sum := sha256.Sum256([]byte(text))
		switch {
		case text == "":
			if doc.Status != "deleted" {
				c.t.Errorf("the deleted %s is %s", id, doc.Status)
			}
			if got := a.search(map[string]any{"query": crashWord(id), "collections": []string{id}}); len(got.Passages) > 0 {
				c.t.Errorf("the deleted %s is found", id)
			}
			continue
		case strings.HasPrefix(text, "%PDF"):
			if doc.Status != "failed" || doc.Error == nil || doc.Error.Code != "pdf_damaged" {
				c.t.Errorf("the broken %s is %s: %+v", id, doc.Status, doc.Error)
			}
			continue
		case doc.Status != "indexed" || doc.Version != hex.EncodeToString(sum[:]):
			c.t.Errorf("%s is %s as version %.8s, not %.8x: %+v", id, doc.Status, doc.Version, sum, doc.Error)
			continue
		}
		whole(c.t, doc, text, a.chunks(id))
		exactly(a, crashWord(id), id, doc)
	}
	c.t.Logf("documents ended as %v", states)
	ends := map[string]int{}
	for id, background := range c.chats {
		r := a.finished(id)
		ends[fmt.Sprintf("%s, background %v", r.Status, background)]++
		if r.Status == "failed" && (r.Error == nil || r.Error.Code == "" || r.Error.Message == "") {
			c.t.Errorf("chat %s failed without a reason: %+v", id, r)
		}
		if r.Status == "completed" && current(a, r) {
			cited(a, r)
		}
	}
	c.t.Logf("chats ended as %v", ends)
}

// current reports whether what an answer cites has not been replaced or deleted since.
func current(a api, r answer) bool {
	a.t.Helper()
	for _, c := range r.Citations {
		if d := decode[document](a.get("/v1/documents/" + c.DocumentID).want(http.StatusOK)); d.Status != "indexed" || d.Version != c.Version {
			return false
		}
	}
	return true
}
