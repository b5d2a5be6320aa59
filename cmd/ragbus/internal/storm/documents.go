package storm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// library is what clients know of their documents. It is safe for concurrent use.
type library struct {
	mu   sync.Mutex
	docs map[int]*paper
}

func newLibrary() *library { return &library{docs: map[int]*paper{}} }

func (l *library) put(p *paper) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.docs[p.number] = p
}

func (l *library) all() []*paper {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*paper, 0, len(l.docs))
	for _, p := range l.docs {
		out = append(out, p)
	}
	return out
}

// paper is what its client knows of one document. One client changes it;
// everybody may ask since when it must not be seen.
type paper struct {
	number     int
	id         string
	collection string
	tenant     int
	hostile    *hostile
	paragraphs int
	history    *timeline

	mu sync.Mutex
	// text is the last that was accepted, "" when it was deleted; accepted is
	// false until anything was.
	text     string
	accepted bool
	deleted  bool
	version  int
	// maybe are the contents whose requests had no clear answer. A gateway
	// that was paused may do them at any later time.
	maybe []content
	// hidden is when its acl was changed to one that its client does not meet; removed when its deletion was accepted.
	hidden, removed time.Time
}

// row is the document's name in the stores.
func (p *paper) row() string { return tenantName(p.tenant) + "/" + p.id }

// content is a state that a document may be in: a text, or deleted.
type content struct {
	text    string
	deleted bool
}

// unseenSince returns since when no search may show the document, zero when one may.
func (p *paper) unseenSince() (time.Time, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.maybe) > 0 {
		return time.Time{}, ""
	}
	if !p.hidden.IsZero() {
		return p.hidden, "hidden"
	}
	return p.removed, "deleted"
}

func versionOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// attempts bounds how often a client repeats a request that had no clear answer.
const attempts = 12

// clear repeats a request, at one gateway after the other, until it is
// answered with success or a refusal that is no fault of the server's.
// unclear is called before the first repetition.
func (c *client) clear(ctx context.Context, history *timeline, gateway int, unclear func(), method, path string, body any, h ...string) response {
	var r response
	for n := range attempts {
		r = c.do(ctx, gateway+n, method, path, body, h...)
		history.addf("%s %s at gateway %d: %s", method, path, (gateway+n)%len(c.shape.gateways())+1, brief(r))
		if r.ok() || r.refused() && r.status != http.StatusTooManyRequests {
			return r
		}
		if n == 0 && unclear != nil {
			unclear()
		}
		if !pause(ctx, time.Duration(100+rand.IntN(400))*time.Millisecond<<min(n, 3)) { //nolint:gosec // jitter
			break
		}
	}
	return r
}

func brief(r response) string {
	if r.err != nil {
		return "no answer: " + r.err.Error()
	}
	if r.ok() {
		var d struct{ Status, Version string }
		if r.into(&d) == nil && d.Status != "" {
			return fmt.Sprintf("%d %s %.8s", r.status, d.Status, d.Version)
		}
		return fmt.Sprint(r.status)
	}
	return r.String()
}

// upload sends a text under the document's id.
func (c *client) upload(ctx context.Context, gateway int, p *paper, text string) {
	filename, kind, body := p.id+".txt", "text/plain", []byte(text)
	if p.hostile != nil {
		filename, kind, body = p.hostile.filename, p.hostile.kind, p.hostile.body
		text = string(body)
	}
	q := url.Values{"id": {p.id}, "collection": {p.collection}, "filename": {filename}, "title": {"The " + canary(p.tenant, p.number)}}
	p.mu.Lock()
	p.removed = time.Time{} // from now on it may be there again
	p.mu.Unlock()
	r := c.clear(ctx, p.history, gateway, func() { p.doubt(content{text: text}) }, http.MethodPost, "/v1/documents?"+q.Encode(), body, "Content-Type", kind)
	switch {
	case r.ok():
		p.mu.Lock()
		p.text, p.accepted, p.deleted = text, true, false
		p.mu.Unlock()
		c.found.count("uploads accepted")
	case r.refused() && p.hostile != nil:
		c.found.count("hostile uploads refused at once")
	case r.refused() && r.status != http.StatusTooManyRequests:
		c.found.violatef(1, p.history, "the upload of %s is refused: %s", p.id, r)
	default:
		c.found.count("uploads without a clear answer")
		p.doubt(content{text: text})
	}
}

func (p *paper) doubt(s content) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.maybe = append(p.maybe, s)
}

// remove deletes the document.
func (c *client) remove(ctx context.Context, gateway int, p *paper) {
	r := c.clear(ctx, p.history, gateway, func() { p.doubt(content{deleted: true}) }, http.MethodDelete, "/v1/documents/"+p.id, nil)
	switch {
	case r.ok():
		p.mu.Lock()
		p.text, p.deleted, p.removed = "", true, time.Now()
		p.mu.Unlock()
		c.found.count("deletions accepted")
	case r.refused():
		c.found.violatef(1, p.history, "the deletion of %s is refused: %s", p.id, r)
	}
}

// describe changes what describes the document, which embeds nothing.
func (c *client) describe(ctx context.Context, gateway int, p *paper, n int) {
	patch := map[string]any{"metadata": map[string]any{"edition": n}, "acl": nil}
	r := c.clear(ctx, p.history, gateway, nil, http.MethodPatch, "/v1/documents/"+p.id, patch)
	if r.ok() {
		c.found.count("patches accepted")
	} else if r.refused() {
		c.found.violatef(1, p.history, "the patch of %s is refused: %s", p.id, r)
	}
}

// hide gives the document to principals that its client is none of.
func (c *client) hide(ctx context.Context, gateway int, p *paper) {
	r := c.clear(ctx, p.history, gateway, nil, http.MethodPatch, "/v1/documents/"+p.id, map[string]any{"acl": []string{othersOnly}})
	// A repetition finds it hidden already.
	if r.ok() || r.status == http.StatusNotFound {
		p.mu.Lock()
		p.hidden = time.Now()
		p.mu.Unlock()
		c.found.count("documents hidden from their client by acl")
	}
}

// write is the life of a client who writes documents: new ones until the
// quota is met, and now and then another version, a patch, a deletion of one
// that is there.
func (c *client) write(ctx context.Context, rnd *rand.Rand, numbers []int, every time.Duration, bad []hostile) {
	var mine []*paper
	beat := time.NewTicker(every)
	defer beat.Stop()
	for i, number := range numbers {
		// Tenants use the same ids.
		same := number / clients
		p := &paper{
			number: number, id: fmt.Sprintf("storm-%d-%d", number%clients/c.shape.among(), same), collection: fmt.Sprintf("storm-%d", same%7), tenant: c.tenant,
			paragraphs: 1 + rnd.IntN(5), history: &timeline{},
		}
		switch {
		case rnd.IntN(12) == 0:
			p.hostile = &bad[rnd.IntN(len(bad))]
		case rnd.IntN(60) == 0:
			p.paragraphs = 130 // more than one batch
		}
		c.docs.put(p)
		gateway := rnd.IntN(2)
		c.upload(ctx, gateway, p, story(canary(c.tenant, number), p.paragraphs, 0))
		if p.hostile == nil {
			mine = append(mine, p)
		}
		if len(mine) > 0 && i%2 == 1 {
			c.change(ctx, rnd, gateway, mine[rnd.IntN(len(mine))])
		}
		if rnd.IntN(3) == 0 && len(mine) > 0 {
			c.searchFor(ctx, gateway, mine[rnd.IntN(len(mine))])
		}
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
	}
}

// change does something to a document that is there.
func (c *client) change(ctx context.Context, rnd *rand.Rand, gateway int, p *paper) {
	p.mu.Lock()
	usable, text := p.accepted && p.hidden.IsZero(), p.text
	deleted := p.deleted
	p.mu.Unlock()
	if !usable {
		return
	}
	action := rnd.IntN(10)
	switch {
	case deleted || action < 4:
		p.version++
		c.upload(ctx, gateway, p, story(canary(c.tenant, p.number), p.paragraphs, p.version))
	case action < 6:
		c.remove(ctx, gateway, p)
	case action < 8:
		c.describe(ctx, gateway, p, rnd.IntN(100))
	case action < 9:
		c.upload(ctx, gateway, p, text)
	default:
		c.hide(ctx, gateway, p)
	}
}

// searchFor asks for a document by its word, whatever has become of it.
func (c *client) searchFor(ctx context.Context, gateway int, p *paper) {
	gone, why := p.unseenSince()
	r := c.do(ctx, gateway, http.MethodPost, "/v1/search", map[string]any{"query": canary(c.tenant, p.number), "collections": []string{p.collection}, "limit": 50})
	switch {
	case r.ok():
		c.found.count("searches answered")
		var out struct {
			Passages []chunk `json:"passages"`
		}
		if err := r.into(&out); err != nil {
			c.found.violatef(7, p.history, "a search is answered with %v", err)
			return
		}
		versions := map[string]bool{}
		for _, hit := range out.Passages {
			if hit.DocumentID == p.id {
				versions[hit.Version] = true
			}
		}
		// The search began after that; the document is this client's alone to bring back.
		if !gone.IsZero() && len(versions) > 0 {
			c.found.violatef(7, p.history, "a search, begun %s after %s was %s, shows it", time.Since(gone), p.id, why)
		}
		if len(versions) > 1 {
			c.found.violatef(1, p.history, "one search shows %d versions of %s", len(versions), p.id)
		}
	default:
		c.found.count("searches without an answer")
	}
}
