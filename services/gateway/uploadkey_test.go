package gateway

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
)

// gatheredCatalog lets uploads come to the record at one moment: the first
// ones wait for each other.
type gatheredCatalog struct {
	catalog.Store
	left   atomic.Int64
	gather sync.WaitGroup
}

func gathered(store catalog.Store, n int) *gatheredCatalog {
	c := &gatheredCatalog{Store: store}
	c.left.Store(int64(n))
	c.gather.Add(n)
	return c
}

func (c *gatheredCatalog) Accept(ctx context.Context, u catalog.Upload) (corpus.Document, catalog.Outcome, error) {
	if c.left.Add(-1) >= 0 {
		c.gather.Done()
		c.gather.Wait()
	}
	return c.Store.Accept(ctx, u)
}

// atOnce sends uploads that come to the record together, and returns their answers in order.
func (s *stack) atOnce(bodies []string, headers []header, tweaks ...tweak) []answered {
	s.t.Helper()
	g := s.serve(append(tweaks, func(_ *Config, d *Deps) { d.Catalog = gathered(s.docs, len(bodies)) })...)
	answers := make([]answered, len(bodies))
	var sending sync.WaitGroup
	for i := range bodies {
		h := header{"Content-Type": "application/json"}
		maps.Copy(h, headers[i])
		sending.Go(func() {
			var err error
			if answers[i], err = g.try(http.MethodPost, "/v1/documents", strings.NewReader(bodies[i]), h); err != nil {
				s.t.Error(err)
			}
		})
	}
	sending.Wait()
	return answers
}

func TestOfDifferentUploadsUnderOneKeyAtOnceOneIsAccepted(t *testing.T) {
	t.Parallel()
	const n = 8
	key := header{"Idempotency-Key": "k"}
	for name, fields := range map[string]func(i int) string{
		"without an id":    func(int) string { return "" },
		"with an id":       func(int) string { return `,"id":"d"` },
		"with another id":  func(i int) string { return fmt.Sprintf(`,"id":"d%d"`, i) },
		"with a source":    func(int) string { return `,"source":"https://example.com/"` },
		"with the same id": func(i int) string { return fmt.Sprintf(`,"id":"d","title":"%d"`, i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			bodies := make([]string, n)
			for i := range bodies {
				bodies[i] = fmt.Sprintf(`{"text":"text %d"%s}`, i, fields(i))
			}
			accepted := 0
			for i, got := range s.atOnce(bodies, slices.Repeat([]header{key}, n)) {
				if got.status != http.StatusAccepted {
					got.problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
					continue
				}
				accepted++
				if d := got.document(t, http.StatusAccepted); d.Bytes != int64(len("text 0")) || s.document(d.ID).SHA256 != d.SHA256 {
					t.Errorf("upload %d was accepted and is not there", i)
				}
			}
			if accepted != 1 || s.stored() != 1 {
				t.Errorf("%d were accepted, the bytes of %d are kept", accepted, s.stored())
			}
		})
	}
}

func TestAnUploadSentTwiceAtOnceIsDoneOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	key := header{"Idempotency-Key": "k"}
	body := `{"text":"one","id":"d"}`
	var statuses []int
	for _, got := range s.atOnce([]string{body, body, body}, []header{key, key, key}) {
		statuses = append(statuses, got.status)
	}
	slices.Sort(statuses)
	if !slices.Equal(statuses, []int{http.StatusOK, http.StatusOK, http.StatusAccepted}) || s.document("d").Generation != 1 || s.stored() != 1 {
		t.Errorf("%v, generation %d, %d files", statuses, s.document("d").Generation, s.stored())
	}
}

// document returns what the record has of one of the default tenant.
func (s *stack) document(id string) corpus.Document {
	s.t.Helper()
	doc, err := s.docs.Document(s.t.Context(), corpus.DefaultTenant, id)
	must(s.t, err)
	return doc
}

// uploadsUnderKeys send text under a key, as a document that has a name.
func uploadsUnderKeys() map[string]func(g *server, key, text string) answered {
	named := func(query string) func(g *server, key, text string) answered {
		return func(g *server, key, text string) answered {
			g.t.Helper()
			return g.do(http.MethodPost, "/v1/documents?"+query, strings.NewReader(text), header{"Content-Type": "text/plain", "Idempotency-Key": key})
		}
	}
	return map[string]func(g *server, key, text string) answered{
		"an id":    named("id=d"),
		"a source": named("source=https://example.com/d"),
	}
}

func TestALateRetryDoesNotRollADocumentBack(t *testing.T) {
	t.Parallel()
	for name, send := range uploadsUnderKeys() {
		s := newStack(t)
		g := s.serve()
		first := send(g, "RB1", "version one").document(t, http.StatusAccepted)
		second := send(g, "RB2", "version two").document(t, http.StatusAccepted)
		if again := send(g, "RB1", "version one").document(t, http.StatusOK); again.ID != first.ID || again.SHA256 != second.SHA256 {
			t.Errorf("with %s the retry is answered %+v", name, again)
		}
		if doc := s.document(first.ID); doc.SHA256 != second.SHA256 || doc.Generation != 2 || s.stored() != 2 {
			t.Errorf("with %s the retry made it %+v, %d files", name, doc, s.stored())
		}
	}
}

func TestAKeyIsForOneRequest(t *testing.T) {
	t.Parallel()
	base := `{"text":"one","id":"d","title":"A","source":"https://example.com/","metadata":{"a":1,"b":2},"acl":["x","y"],"filename":"a.txt"}`
	for name, c := range map[string]struct{ first, again string }{
		"other bytes":                {base, strings.Replace(base, "one", "two", 1)},
		"another id":                 {base, strings.Replace(base, `"d"`, `"e"`, 1)},
		"no id":                      {base, strings.Replace(base, `"id":"d",`, ``, 1)},
		"another title":              {base, strings.Replace(base, `"A"`, `"B"`, 1)},
		"another source":             {base, strings.Replace(base, ".com", ".org", 1)},
		"other metadata":             {base, strings.Replace(base, `"b":2`, `"b":3`, 1)},
		"another acl":                {base, strings.Replace(base, `"x",`, ``, 1)},
		"no acl":                     {base, strings.Replace(base, `"acl":["x","y"],`, ``, 1)},
		"another filename":           {base, strings.Replace(base, "a.txt", "b.txt", 1)},
		"another collection":         {base, strings.Replace(base, `{`, `{"collection":"c",`, 1)},
		"another media type":         {base, strings.Replace(base, `{`, `{"media_type":"text/markdown",`, 1)},
		"a title where was none":     {`{"text":"one"}`, `{"text":"one","title":"B"}`},
		"an id where was none":       {`{"text":"one"}`, `{"text":"one","id":"e"}`},
		"the source as the title":    {`{"text":"one","title":"urn:x"}`, `{"text":"one","source":"urn:x"}`},
		"the title as the file name": {`{"text":"one","title":"a"}`, `{"text":"one","filename":"a"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			g := s.serve()
			key := header{"Idempotency-Key": "k"}
			first := g.postJSON("/v1/documents", c.first, key).document(t, http.StatusAccepted)
			before := s.document(first.ID)
			g.postJSON("/v1/documents", c.again, key).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
			var page list[document]
			g.get("/v1/documents").decode(t, &page)
			if after := s.document(first.ID); len(page.Data) > 1 || !after.UpdatedAt.Equal(before.UpdatedAt) || s.stored() != 1 {
				t.Errorf("%d documents, %+v, %d files", len(page.Data), after, s.stored())
			}
			g.postJSON("/v1/documents", c.first, key).document(t, http.StatusOK)
		})
	}
}

func TestTheSameRequestMayBeWrittenInAnotherWay(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve()
	key := header{"Idempotency-Key": "k"}
	g.postJSON("/v1/documents", `{"text":"one","metadata":{"a":1,"b":"x"},"acl":["x","y"]}`, key).document(t, http.StatusAccepted)
	g.postJSON("/v1/documents", `{"acl":["y","x"],"collection":"default","metadata":{"b":"x","a":1.0},"text":"one"}`, key).document(t, http.StatusOK)
}

func TestARepeatedUploadIsAnsweredWithTheDocumentAsItIsNow(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	for name, body := range map[string]string{"an id": `{"text":"one","id":"d"}`, "nothing": `{"text":"one"}`, "a source": `{"text":"one","source":"urn:x"}`} {
		key := header{"Idempotency-Key": "with " + name}
		id := g.postJSON("/v1/documents", body, key).document(t, http.StatusAccepted).ID
		g.do(http.MethodPatch, "/v1/documents/"+id, strings.NewReader(`{"title":"New"}`), header{"Content-Type": "application/json"}).document(t, http.StatusOK)
		if d := g.postJSON("/v1/documents", body, key).document(t, http.StatusOK); d.ID != id || d.Title != "New" {
			t.Errorf("changed: %+v", d)
		}
		g.do(http.MethodDelete, "/v1/documents/"+id, nil, nil).document(t, http.StatusAccepted)
		got := g.postJSON("/v1/documents", body, key)
		if d := got.document(t, http.StatusOK); d.ID != id || d.Status != corpus.Deleting || got.header.Get("Location") != "/v1/documents/"+id {
			t.Errorf("deleted: %+v", d)
		}
	}
}

// What was refused has not happened: its key is as good as new.
func TestARefusedUploadDoesNotSpendItsKey(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(s.withKeys())
	board, staff := s.key(access.Key{Principals: []string{"group:board"}}), s.key(access.Key{Owner: "staff", Principals: []string{"group:staff"}})
	g.postJSON("/v1/documents", `{"text":"the merger","id":"plan","acl":["group:board"]}`, board).document(t, http.StatusAccepted)
	key := header{"Idempotency-Key": "k"}
	g.postJSON("/v1/documents", `{"text":"mine","id":"plan"}`, staff, key).problem(t, http.StatusConflict, "id_taken")
	g.postJSON("/v1/documents", `{"text":"mine","id":"other"}`, staff, key).document(t, http.StatusAccepted)
}

// A document that only its key names gets no other bytes under it, even when
// the record has forgotten the key, or has it from before it kept keys.
func TestAForgottenKeyDoesNotReplaceTheDocumentItNames(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	key := header{"Idempotency-Key": "k"}
	first := g.postJSON("/v1/documents", `{"text":"one"}`, key).document(t, http.StatusAccepted)
	fence, err := s.docs.TakeFence(t.Context())
	must(t, err)
	if n, err := s.docs.ForgetUploads(t.Context(), fence, time.Now().Add(time.Minute), 10); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	g.postJSON("/v1/documents", `{"text":"two"}`, key).problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	if again := g.postJSON("/v1/documents", `{"text":"one"}`, key).document(t, http.StatusOK); again.ID != first.ID {
		t.Errorf("%+v", again)
	}
}

func TestAKeyIsCheckedWhateverNamesTheDocument(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	for name, send := range uploadsUnderKeys() {
		for _, key := range []string{strings.Repeat("k", 300), "\x80"} {
			t.Log(name)
			send(g, key, "x").problem(t, http.StatusBadRequest, "invalid_idempotency_key")
		}
	}
	if s.stored() != 0 {
		t.Errorf("%d files are left", s.stored())
	}
}

// A retry tells its sender nothing that reading the document would not.
func TestARepeatedUploadDoesNotShowWhatItsSenderMayNoLongerSee(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(s.withKeys())
	board, staff := s.key(access.Key{Principals: []string{"group:board", "group:staff"}}), s.key(access.Key{Owner: "staff", Principals: []string{"group:staff"}})
	key := header{"Idempotency-Key": "k"}
	for _, body := range []string{`{"text":"one","id":"plan"}`, `{"text":"two","source":"urn:x"}`, `{"text":"three"}`} {
		id := g.postJSON("/v1/documents", body, staff, key).document(t, http.StatusAccepted).ID
		h := header{"Content-Type": "application/json"}
		maps.Copy(h, board)
		g.do(http.MethodPatch, "/v1/documents/"+id, strings.NewReader(`{"title":"Secret","acl":["group:board"]}`), h).document(t, http.StatusOK)
		got := g.postJSON("/v1/documents", body, staff, key)
		if got.problem(t, http.StatusNotFound, "document_not_found"); strings.Contains(string(got.body), "Secret") {
			t.Errorf("%s", got.body)
		}
		key = header{"Idempotency-Key": key["Idempotency-Key"] + "k"}
	}
	if s.stored() != 3 {
		t.Errorf("%d files", s.stored())
	}
}

func TestWhoCreatesADocumentAtTheSameMomentIsNotReplaced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body    string
		derived bool
	}{
		"by id":     {`{"text":"of %s","id":"plan","acl":[%q]}`, false},
		"by source": {`{"text":"of %s","source":"https://example.com/plan","acl":[%q]}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			board, staff := s.key(access.Key{Principals: []string{"group:board"}}), s.key(access.Key{Owner: "staff", Principals: []string{"group:staff"}})
			answers := s.atOnce([]string{fmt.Sprintf(c.body, "board", "group:board"), fmt.Sprintf(c.body, "staff", "group:staff")}, []header{board, staff}, s.withKeys())
			ids := map[string]bool{}
			for _, got := range answers {
				if got.status != http.StatusAccepted {
					got.problem(t, http.StatusConflict, "id_taken")
					continue
				}
				d := got.document(t, http.StatusAccepted)
				ids[d.ID] = true
				if now := s.document(d.ID); now.SHA256 != d.SHA256 || !slices.Equal(now.ACL, d.ACL) {
					t.Errorf("accepted %+v, and it is %+v", d, now)
				}
			}
			if want := map[bool]int{false: 1, true: 2}[c.derived]; len(ids) != want {
				t.Errorf("%d documents, want %d", len(ids), want)
			}
		})
	}
}
