package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
)

// part is one part of a form: a file when it has a file name.
type part struct{ name, filename, body string }

func form(t testing.TB, parts ...part) (io.Reader, header) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		var dst io.Writer
		var err error
		if p.filename != "" {
			dst, err = w.CreateFormFile(p.name, p.filename)
		} else {
			dst, err = w.CreateFormField(p.name)
		}
		must(t, err)
		_, err = io.WriteString(dst, p.body)
		must(t, err)
	}
	must(t, w.Close())
	return &b, header{"Content-Type": w.FormDataContentType()}
}

func (g *server) upload(parts ...part) answered {
	g.t.Helper()
	body, h := form(g.t, parts...)
	return g.do(http.MethodPost, "/v1/documents", body, h)
}

func (a answered) document(t testing.TB, status int) document {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %.400s", a.status, status, a.body)
	}
	var d document
	a.decode(t, &d)
	return d
}

// work returns the events waiting in the ingestion queue, in order.
func (s *stack) ingestWork() []event.Event {
	s.t.Helper()
	stream, err := s.bus.JS.Stream(s.t.Context(), broker.StreamIngest)
	must(s.t, err)
	info, err := stream.Info(s.t.Context())
	must(s.t, err)
	var out []event.Event
	for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(s.t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		must(s.t, err)
		e, err := event.Decode(event.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
		must(s.t, err)
		out = append(out, e)
	}
	return out
}

// stored returns how many blobs there are, half-written ones included.
func (s *stack) stored() int {
	s.t.Helper()
	n := 0
	must(s.t, filepath.WalkDir(filepath.Join(s.dir, "blobs"), func(_ string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	}))
	return n
}

// settle moves a document to indexed and tells, as an ingestor does.
func (s *stack) settle(id string) { s.settleOf("default", id, "chunk") }

func (s *stack) settleOf(tenant, id, word string) {
	s.t.Helper()
	doc, err := s.docs.Document(s.t.Context(), tenant, id)
	must(s.t, err)
	ref := catalog.Ref{Tenant: tenant, ID: id, Generation: doc.Generation}
	_, _, err = s.docs.Begin(s.t.Context(), ref)
	must(s.t, err)
	chunks := make([]corpus.Chunk, 3)
	for i := range chunks {
		chunks[i] = corpus.Chunk{
			ChunkRef: corpus.ChunkRef{Tenant: tenant, Document: id, Version: doc.SHA256, Ordinal: i},
			Text:     fmt.Sprintf("%s %d", word, i), CharStart: i * 8, CharEnd: i*8 + 7, Page: 1,
		}
	}
	must(s.t, s.docs.PutChunks(s.t.Context(), ref, chunks))
	_, open, err := s.docs.Extracted(s.t.Context(), ref, catalog.Extraction{MediaType: "text/plain", Chunks: 3, Pages: 1})
	must(s.t, err)
	for _, b := range open {
		_, err = s.docs.FinishBatch(s.t.Context(), ref, b.Number)
		must(s.t, err)
	}
	_, err = s.docs.GoLive(s.t.Context(), ref)
	must(s.t, err)
	must(s.t, s.bus.Publisher.Publish(s.t.Context(), event.New(tenant, time.Now(), event.DocumentIndexed{ID: id, Generation: doc.Generation})))
}

func TestADocumentIsTakenInThreeForms(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	body := "Ragbus answers questions."
	sum := sha256.Sum256([]byte(body))
	digest := hex.EncodeToString(sum[:])
	// The fields come after the file, which no parser of whole forms would notice.
	got := g.upload(part{"file", `C:\dir\notes.md`, body}, part{"title", "", "Notes"}, part{"id", "", "a1"},
		part{"metadata", "", `{"year":2024,"draft":false,"tag":"x"}`}, part{"source", "", "https://example.com/notes"})
	d := got.document(t, http.StatusAccepted)
	if d.ID != "a1" || d.Title != "Notes" || d.Filename != "notes.md" || d.SHA256 != digest || d.Version != digest || d.Bytes != int64(len(body)) ||
		d.Status != corpus.Accepted || d.Collection != "default" || *d.Source != "https://example.com/notes" || len(d.Metadata) != 3 || d.ACL != nil ||
		got.header.Get("Location") != "/v1/documents/a1" {
		t.Fatalf("%s %v", got.body, got.header)
	}
	raw := g.do(http.MethodPost, "/v1/documents?id=b2&collection=other&filename=x.txt&acl=%5B%22group%3Ax%22,%22*%22%5D", strings.NewReader(body),
		header{"Content-Type": "text/plain; charset=koi8-r"}).document(t, http.StatusAccepted)
	if raw.ID != "b2" || raw.Collection != "other" || raw.Filename != "x.txt" || raw.MediaType != "text/plain; charset=koi8-r" || len(raw.ACL) != 2 {
		t.Fatalf("%+v", raw)
	}
	text := g.postJSON("/v1/documents", `{"text":"Ragbus answers questions.","title":"T","id":"c3","metadata":{"a":1}}`).document(t, http.StatusAccepted)
	if text.ID != "c3" || text.SHA256 != digest || text.Metadata["a"] != 1.0 {
		t.Fatalf("%+v", text)
	}
	work := s.ingestWork()
	if len(work) != 3 {
		t.Fatalf("%d events", len(work))
	}
	for i, id := range []string{"a1", "b2", "c3"} {
		if u, ok := work[i].Data.(event.DocumentUploaded); !ok || u.ID != id || u.Generation < 1 {
			t.Fatalf("%+v", work[i])
		}
	}
	content := g.get("/v1/documents/a1/content")
	if string(content.body) != body || content.header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.Contains(content.header.Get("Content-Security-Policy"), "sandbox") ||
		content.header.Get("Content-Disposition") != `attachment; filename=notes.md` || content.header.Get("ETag") != `"`+digest+`"` {
		t.Fatalf("%v %s", content.header, content.body)
	}
	if got := g.do(http.MethodGet, "/v1/documents/a1/content", nil, header{"If-None-Match": `"` + digest + `"`}); got.status != http.StatusNotModified {
		t.Fatal(got.status)
	}
	if got := g.do(http.MethodGet, "/v1/documents/a1/content", nil, header{"If-None-Match": `"x", W/"` + digest + `"`}); got.status != http.StatusNotModified {
		t.Fatal(got.status)
	}
	if got := g.do(http.MethodHead, "/v1/documents/b2/content", nil, nil); got.status != http.StatusOK || got.header.Get("Content-Type") != "text/plain; charset=koi8-r" ||
		got.header.Get("Content-Length") != fmt.Sprint(len(body)) {
		t.Fatalf("%d %v", got.status, got.header)
	}
}

func TestTheSameDocumentAgainDoesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	send := func(title, body string) answered {
		return g.upload(part{"file", "a.txt", body}, part{"title", "", title}, part{"id", "", "a"})
	}
	send("T", "one").document(t, http.StatusAccepted)
	send("T", "one").document(t, http.StatusOK)
	if n := s.stored(); n != 1 || len(s.ingestWork()) != 1 {
		t.Fatalf("%d blobs, %d events", n, len(s.ingestWork()))
	}
	if d := send("Other", "one").document(t, http.StatusOK); d.Title != "Other" {
		t.Fatalf("%+v", d)
	}
	work := s.ingestWork()
	if _, ok := work[len(work)-1].Data.(event.DocumentChanged); !ok || len(work) != 2 || s.stored() != 1 {
		t.Fatalf("%+v, %d blobs", work, s.stored())
	}
	// A filename describes too, and none says nothing.
	if d := g.postJSON("/v1/documents", `{"text":"one","id":"a","title":"Other","filename":"b.txt"}`).document(t, http.StatusOK); d.Filename != "b.txt" {
		t.Fatalf("%+v", d)
	}
	if d := g.postJSON("/v1/documents", `{"text":"one","id":"a","title":"Other"}`).document(t, http.StatusOK); d.Filename != "b.txt" {
		t.Fatalf("%+v", d)
	}
	send("Other", "two").document(t, http.StatusAccepted)
	g.upload(part{"file", "a.txt", "two"}, part{"id", "", "a"}, part{"collection", "", "elsewhere"}).problem(t, http.StatusConflict, "collection_mismatch")
	if n := s.stored(); n != 2 { // the superseded one is the ingestor's to remove
		t.Fatalf("%d blobs", n)
	}
	// Without an id the bytes are the identity, or the source.
	a, b := g.upload(part{"file", "x", "same"}).document(t, http.StatusAccepted), g.upload(part{"file", "y", "same"})
	if a.ID != b.document(t, http.StatusOK).ID {
		t.Fatal("the same bytes are two documents")
	}
	src := part{"source", "", "https://example.com/page"}
	c, d := g.upload(part{"file", "x", "v1"}, src).document(t, http.StatusAccepted), g.upload(part{"file", "x", "v2"}, src).document(t, http.StatusAccepted)
	if c.ID != d.ID || c.Version == d.Version {
		t.Fatalf("%+v %+v", c, d)
	}
}

func TestADocumentsIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	send := func(body string) answered {
		return g.do(http.MethodPost, "/v1/documents", strings.NewReader(body), header{"Content-Type": "text/plain", "Idempotency-Key": "k"})
	}
	a, b := send("one").document(t, http.StatusAccepted), send("one").document(t, http.StatusOK)
	if a.ID != b.ID {
		t.Fatal("two documents")
	}
	send("two").problem(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	if s.stored() != 1 {
		t.Fatalf("%d blobs", s.stored())
	}
}

func TestADocumentIsListedPatchedAndDeleted(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	for i := range 5 {
		g.postJSON("/v1/documents", fmt.Sprintf(`{"text":"text %d","id":"d%d"}`, i, i)).document(t, http.StatusAccepted)
	}
	var seen []string
	for cursor := ""; ; {
		var page list[document]
		g.get("/v1/documents?collection=default&status=accepted&limit=2&cursor="+cursor).decode(t, &page)
		for _, d := range page.Data {
			seen = append(seen, d.ID)
		}
		if page.NextCursor == nil {
			break
		}
		cursor = *page.NextCursor
	}
	if got := strings.Join(seen, " "); got != "d4 d3 d2 d1 d0" {
		t.Fatal(got)
	}
	if got := g.get("/v1/documents?status=indexed"); string(got.body) != `{"data":[],"next_cursor":null}` {
		t.Fatalf("%s", got.body)
	}
	patch := func(body string) answered {
		return g.do(http.MethodPatch, "/v1/documents/d1", strings.NewReader(body), header{"Content-Type": "application/json"})
	}
	d := patch(`{"title":"New","source":"https://example.com","metadata":{"k":"v"},"acl":["*"]}`).document(t, http.StatusOK)
	if d.Title != "New" || d.Source == nil || d.Metadata["k"] != "v" || len(d.ACL) != 1 {
		t.Fatalf("%+v", d)
	}
	if d := patch(`{"source":null,"acl":null}`).document(t, http.StatusOK); d.Source != nil || d.ACL != nil || d.Title != "New" {
		t.Fatalf("%+v", d)
	}
	patch(`{}`).problem(t, http.StatusBadRequest, "empty_patch")
	patch(`{"acl":[]}`).problem(t, http.StatusBadRequest, "invalid_acl")
	patch(`{"collection":"x"}`).problem(t, http.StatusBadRequest, "unknown_field")
	g.do(http.MethodPost, "/v1/documents/d1/retry", nil, nil).problem(t, http.StatusConflict, "not_failed")
	if d := g.do(http.MethodDelete, "/v1/documents/d1", nil, nil).document(t, http.StatusAccepted); d.Status != corpus.Deleting {
		t.Fatalf("%+v", d)
	}
	g.do(http.MethodDelete, "/v1/documents/d1", nil, nil).document(t, http.StatusAccepted)
	g.get("/v1/documents/d1/content").problem(t, http.StatusNotFound, "document_not_found")
	var deleted int
	for _, e := range s.ingestWork() {
		if e.Kind() == event.KindDocumentDeleted {
			deleted++
		}
	}
	if deleted != 1 {
		t.Fatalf("%d deletions", deleted)
	}
	for _, path := range []string{"", "/content", "/chunks"} {
		g.get("/v1/documents/unknown"+path).problem(t, http.StatusNotFound, "document_not_found")
	}
}

func TestAFailedDocumentIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	d := g.postJSON("/v1/documents", `{"text":"x"}`).document(t, http.StatusAccepted)
	doc, err := s.docs.Document(t.Context(), "default", d.ID)
	must(t, err)
	_, err = s.docs.Fail(t.Context(), catalog.Ref{Tenant: "default", ID: d.ID, Generation: doc.Generation},
		corpus.Failure{Code: "encrypted_pdf", Message: "the PDF is encrypted"})
	must(t, err)
	if d := g.get("/v1/documents/"+d.ID).document(t, http.StatusOK); d.Error == nil || d.Error.Code != "encrypted_pdf" || d.Status != corpus.Failed {
		t.Fatalf("%+v", d)
	}
	if d := g.do(http.MethodPost, "/v1/documents/"+d.ID+"/retry", nil, nil).document(t, http.StatusAccepted); d.Status != corpus.Accepted {
		t.Fatalf("%+v", d)
	}
	if work := s.ingestWork(); len(work) != 2 || work[1].Data.(event.DocumentUploaded).Generation <= doc.Generation {
		t.Fatalf("%+v", work)
	}
}

func TestAWaitEndsWithTheNews(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	d := g.postJSON("/v1/documents", `{"text":"x"}`).document(t, http.StatusAccepted)
	started := time.Now()
	if d := g.get("/v1/documents/"+d.ID+"?wait=300ms").document(t, http.StatusOK); d.Status != corpus.Accepted || time.Since(started) < 300*time.Millisecond {
		t.Fatalf("%+v after %s", d, time.Since(started))
	}
	type result struct {
		doc document
		at  time.Time
	}
	const n = 20
	results := make(chan result, n)
	for range n {
		go func() {
			doc := g.get("/v1/documents/"+d.ID+"?wait=30s").document(t, http.StatusOK)
			results <- result{doc, time.Now()}
		}()
	}
	eventually(t, "all wait", func() bool { return g.svc.waits.inUse() == n })
	s.settle(d.ID)
	told := time.Now()
	for range n {
		r := <-results
		if r.doc.Status != corpus.Indexed || r.doc.Progress.Embedded != 3 || r.doc.IndexedAt == nil {
			t.Fatalf("%+v", r.doc)
		}
		if late := r.at.Sub(told); late > time.Second { // 50 ms on a machine of one's own
			t.Errorf("told after %s", late)
		}
	}
	var chunks list[chunk]
	g.get("/v1/documents/"+d.ID+"/chunks?limit=2").decode(t, &chunks)
	if len(chunks.Data) != 2 || chunks.NextCursor == nil || chunks.Data[1].Text != "chunk 1" || *chunks.Data[0].Page != 1 {
		t.Fatalf("%+v", chunks)
	}
	g.get("/v1/documents/"+d.ID+"/chunks?limit=2&cursor="+*chunks.NextCursor).decode(t, &chunks)
	if len(chunks.Data) != 1 || chunks.NextCursor != nil || chunks.Data[0].Ordinal != 2 {
		t.Fatalf("%+v", chunks)
	}
	g.get("/v1/documents/"+d.ID+"?wait=61s").problem(t, http.StatusBadRequest, "invalid_wait")
	g.get("/v1/documents/"+d.ID+"?wait=soon").problem(t, http.StatusBadRequest, "invalid_wait")
}

func TestOneWaiterTooManyIs503AndAStopEndsWaits(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(func(c *Config, _ *Deps) { c.MaxWaits = 1 })
	d := g.postJSON("/v1/documents", `{"text":"x"}`).document(t, http.StatusAccepted)
	first := make(chan answered, 1)
	go func() { first <- g.get("/v1/documents/" + d.ID + "?wait=60s") }()
	eventually(t, "one waits", func() bool { return g.svc.waits.inUse() == 1 })
	g.get("/v1/documents/"+d.ID+"?wait=60s").problem(t, http.StatusServiceUnavailable, "too_many_waits")
	g.cancel()
	(<-first).document(t, http.StatusOK)
	g.stop()
}

// Nobody is asked who they are: whoever uploads for others looks after it.
func TestWithoutKeysDocumentsForOthersCanBeManaged(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	const path = "/v1/documents/theirs"
	g.postJSON("/v1/documents", `{"text":"for the board","id":"theirs","acl":["group:board"]}`).document(t, http.StatusAccepted)
	if d := g.get(path).document(t, http.StatusOK); !slices.Equal(d.ACL, []string{"group:board"}) {
		t.Errorf("acl %q", d.ACL)
	}
	if list := g.get("/v1/documents"); !strings.Contains(string(list.body), `"theirs"`) {
		t.Errorf("not listed: %s", list.body)
	}
	if got := g.get(path + "/content"); string(got.body) != "for the board" {
		t.Errorf("content %q", got.body)
	}
	g.do(http.MethodPatch, path, strings.NewReader(`{"acl":["group:legal"]}`), header{"Content-Type": "application/json"}).document(t, http.StatusOK)
	if got := g.do(http.MethodDelete, path, nil, nil); got.status != http.StatusAccepted {
		t.Errorf("delete: %d %s", got.status, got.body)
	}
}
