package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// form is a multipart body with a file and fields.
func form(a api, filename string, content []byte, fields map[string]string) (body io.Reader, contentType string) {
	a.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range fields {
		must(a.t, w.WriteField(name, value))
	}
	part, err := w.CreateFormFile("file", filename)
	must(a.t, err)
	_, err = part.Write(content)
	must(a.t, err)
	must(a.t, w.Close())
	return &b, w.FormDataContentType()
}

// uploads sends one text in each form; they must come to the same.
func uploads(a api, _ Shape) {
	text := story("uploadling", 3)
	sum := sha256.Sum256([]byte(text))
	send := map[string]func() reply{
		"up-form": func() reply {
			body, kind := form(a, "report.txt", []byte(text), map[string]string{
				"id": "up-form", "collection": "uploads", "title": "A report", "source": "https://example.com/report", "metadata": `{"year":2026,"draft":false,"team":"north"}`,
			})
			return a.do(http.MethodPost, "/v1/documents", body, "Content-Type", kind)
		},
		"up-raw": func() reply {
			return a.do(http.MethodPost, "/v1/documents?id=up-raw&collection=uploads&title=A+report&filename=report.txt&source=https%3A%2F%2Fexample.com%2Freport"+
				"&metadata=%7B%22year%22%3A2026%2C%22draft%22%3Afalse%2C%22team%22%3A%22north%22%7D", strings.NewReader(text), "Content-Type", "text/plain")
		},
		"up-json": func() reply {
			return a.do(http.MethodPost, "/v1/documents", map[string]any{
				"text": text, "id": "up-json", "collection": "uploads", "title": "A report", "filename": "report.txt", "source": "https://example.com/report",
				"metadata": map[string]any{"year": 2026, "draft": false, "team": "north"},
			})
		},
	}
	for id, upload := range send {
		r := upload().want(http.StatusAccepted)
		if at := r.header.Get("Location"); at != "/v1/documents/"+id {
			a.t.Errorf("%s is said to be at %q", id, at)
		}
		if d := decode[document](r); d.ID != id || d.settled() && d.Status != "indexed" {
			a.t.Errorf("the answer to the upload is %+v", d)
		}
		d := a.settled(id)
		if d.Status != "indexed" || d.Title != "A report" || d.Filename != "report.txt" || d.Source == nil || *d.Source != "https://example.com/report" ||
			d.Bytes != len(text) || d.SHA256 != hex.EncodeToString(sum[:]) || d.Collection != "uploads" || !strings.HasPrefix(d.MediaType, "text/plain") {
			a.t.Errorf("%s became %+v", id, d)
		}
		same(a.t, "metadata of "+id, d.Metadata, map[string]any{"year": 2026.0, "draft": false, "team": "north"})
		content := a.get("/v1/documents/" + id + "/content").want(http.StatusOK)
		if string(content.body) != text || !strings.Contains(content.header.Get("Content-Disposition"), "report.txt") {
			a.t.Errorf("the content of %s is not what was sent (%v)", id, content.header)
		}
		whole(a.t, d, text, a.chunks(id))
	}
	// A real file of each other format, from the sample library.
	for name, kind := range map[string]string{
		"travel-policy.md": "text/markdown", "incident-handbook.html": "text/html", "solar-report-2025.pdf": "application/pdf",
		"onboarding-guide.docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	} {
		d, content := sample(a, name, "uploads")
		if d.MediaType != kind || d.Title == "" || (d.Pages != nil) != (kind == "application/pdf") {
			a.t.Errorf("%s became %+v", name, d)
		}
		if got := a.get("/v1/documents/" + d.ID + "/content").want(http.StatusOK); !bytes.Equal(got.body, content) {
			a.t.Errorf("the content of %s is not what was sent", name)
		}
		if n := len(a.chunks(d.ID)); n != d.Progress.Chunks {
			a.t.Errorf("%s has %d chunks of %d", name, n, d.Progress.Chunks)
		}
	}
}

// sample ingests a file of the sample library.
func sample(a api, name, collection string) (doc document, content []byte) {
	a.t.Helper()
	content, err := os.ReadFile(filepath.Join(root(a.t), "cmd", "ragbus", "sample", name))
	must(a.t, err)
	id := collection + "-" + strings.TrimSuffix(name, filepath.Ext(name))
	body, contentType := form(a, name, content, map[string]string{"id": id, "collection": collection})
	a.do(http.MethodPost, "/v1/documents", body, "Content-Type", contentType).want(http.StatusAccepted)
	doc = a.settled(id)
	if doc.Status != "indexed" || doc.Progress.Chunks == 0 {
		a.t.Fatalf("%s became %+v %+v", name, doc, doc.Error)
	}
	return doc, content
}

func documentLists(a api, _ Shape) {
	var want []string
	for i := range 7 {
		id := fmt.Sprintf("listed-%d", i)
		a.indexed(id, story(id, 1), "collection", "lists")
		want = append(want, id)
	}
	for _, limit := range []int{1, 3, 7, 100} {
		var got []string
		for _, d := range all[document](a, "/v1/documents?collection=lists&status=indexed", limit) {
			got = append(got, d.ID)
		}
		slices.Sort(got)
		same(a.t, fmt.Sprintf("documents in pages of %d", limit), got, want)
	}
	if got := all[document](a, "/v1/documents?collection=lists&status=failed", 5); len(got) > 0 {
		a.t.Errorf("%d documents failed", len(got))
	}
	a.get("/v1/documents?cursor=nonsense").problem(http.StatusBadRequest, "invalid_cursor")
}

func sameBytes(a api, _ Shape) {
	text := story("sameling", 2)
	first := a.indexed("same", text, "collection", "sames", "title", "Same")
	again := a.do(http.MethodPost, "/v1/documents?id=same&collection=sames&title=Same&filename=same.txt", strings.NewReader(text), "Content-Type", "text/plain")
	again.want(http.StatusOK)
	same(a.t, "a document sent twice", decode[document](again), first)
	same(a.t, "a document sent twice, later", a.settled("same"), first)
	// Without an id the bytes are the identity.
	post := func() reply {
		return a.do(http.MethodPost, "/v1/documents?collection=sames", strings.NewReader("Nameless samelings are known by their bytes alone."), "Content-Type", "text/plain")
	}
	one, two := decode[document](post().want(http.StatusAccepted)), decode[document](post().want(http.StatusOK))
	if one.ID != two.ID || one.ID == "" {
		a.t.Errorf("the same bytes became %q and %q", one.ID, two.ID)
	}
	// Another collection under the same id is a mistake, not a move.
	a.do(http.MethodPost, "/v1/documents?id=same&collection=others", strings.NewReader(text), "Content-Type", "text/plain").
		problem(http.StatusConflict, "collection_mismatch")
}

func newVersion(a api, _ Shape) {
	old, fresh := story("oldling", 5), story("newling", 2)
	first := a.indexed("versioned", old, "collection", "versions")
	second := a.indexed("versioned", fresh, "collection", "versions")
	if first.Version == second.Version || !second.CreatedAt.Equal(first.CreatedAt) {
		a.t.Errorf("the versions are %+v and %+v", first, second)
	}
	whole(a.t, second, fresh, a.chunks("versioned"))
	if got := a.search(map[string]any{"query": "oldling", "mode": "keyword", "collections": []string{"versions"}}); len(got.Passages) > 0 {
		a.t.Errorf("the old version is still found: %+v", got.Passages)
	}
	exactly(a, "newling", "versions", second)
	if got := a.get("/v1/documents/versioned/content").want(http.StatusOK); string(got.body) != fresh {
		a.t.Error("the content is not the new version's")
	}
	// And back: what was swept can come again.
	third := a.indexed("versioned", old, "collection", "versions")
	if third.Version != first.Version {
		a.t.Errorf("the same bytes have the versions %s and %s", first.Version, third.Version)
	}
	exactly(a, "oldling", "versions", third)
}

// exactly checks that a search for a word that is in every chunk of one
// document, the only one of its collection that has it, finds each chunk once and nothing else.
func exactly(a api, word, collection string, doc document) {
	a.t.Helper()
	var got, want []string
	for _, p := range a.search(map[string]any{"query": word, "mode": "keyword", "collections": []string{collection}, "limit": 100}).Passages {
		got = append(got, p.ID)
	}
	for _, c := range a.chunks(doc.ID) {
		want = append(want, c.ID)
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) != doc.Progress.Chunks || len(want) == 0 {
		a.t.Errorf("document %s has %d chunks of %d", doc.ID, len(want), doc.Progress.Chunks)
	}
	same(a.t, "chunks found of "+doc.ID, got, want)
}

// flips replaces a document again and again while others search: each search
// sees one version, whole.
func flips(a api, _ Shape) {
	texts := []string{story("flipling alphaling", 6), story("flipling betaling", 9)}
	counts := map[string]int{}
	doc := a.indexed("flipped", texts[0], "collection", "flips")
	counts[doc.Version] = doc.Progress.Chunks
	var mu sync.Mutex
	type seen struct {
		version string
		ids     map[string]bool
		all     int
	}
	var sightings []seen
	ctx, stop := context.WithCancel(a.t.Context())
	defer stop()
	var searchers sync.WaitGroup
	var searched atomic.Int64
	for range 3 {
		searchers.Go(func() {
			for ctx.Err() == nil {
				resp, err := a.try(ctx, http.MethodPost, "/v1/search", map[string]any{"query": "flipling", "mode": "keyword", "collections": []string{"flips"}, "limit": 100}, nil)
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					a.t.Error(err)
					return
				}
				var f found
				err = json.NewDecoder(resp.Body).Decode(&f)
				_ = resp.Body.Close()
				if ctx.Err() != nil {
					return
				}
				if err != nil || resp.StatusCode != http.StatusOK {
					a.t.Errorf("a search during a change: status %d, %v", resp.StatusCode, err)
					return
				}
				s := seen{ids: map[string]bool{}, all: len(f.Passages)}
				for _, p := range f.Passages {
					if s.version != "" && s.version != p.Version {
						a.t.Errorf("one search saw the versions %s and %s", s.version, p.Version)
					}
					s.version, s.ids[p.ID] = p.Version, true
				}
				searched.Add(1)
				mu.Lock()
				sightings = append(sightings, s)
				mu.Unlock()
			}
		})
	}
	for i := range 6 {
		doc = a.indexed("flipped", texts[(i+1)%2], "collection", "flips")
		counts[doc.Version] = doc.Progress.Chunks
		// Once indexed, no search sees the one before.
		got := a.search(map[string]any{"query": "flipling", "mode": "keyword", "collections": []string{"flips"}, "limit": 100})
		for _, p := range got.Passages {
			if p.Version != doc.Version {
				a.t.Errorf("after change %d a search found version %s, not %s", i, p.Version, doc.Version)
			}
		}
	}
	stop()
	searchers.Wait()
	for _, s := range sightings {
		if s.all != len(s.ids) || counts[s.version] != s.all {
			a.t.Errorf("a search saw %d chunks (%d different) of version %.8s, which has %d", s.all, len(s.ids), s.version, counts[s.version])
		}
	}
	if len(counts) != 2 || searched.Load() < 6 {
		a.t.Errorf("%d versions and %d searches prove nothing", len(counts), searched.Load())
	}
}

func patches(a api, _ Shape) {
	text := story("patchling", 3) + "\nThe patchling festival of Overbrook begins on the ninth of May.\n"
	doc := a.indexed("patched", text, "collection", "patches", "title", "Before")
	patched := decode[document](a.do(http.MethodPatch, "/v1/documents/patched", map[string]any{
		"title": "After", "source": "https://example.com/after", "metadata": map[string]any{"stage": "late"},
	}).want(http.StatusOK))
	if patched.Title != "After" || patched.Version != doc.Version || patched.Status != "indexed" {
		a.t.Errorf("the document became %+v", patched)
	}
	query := map[string]any{"query": "patchling", "collections": []string{"patches"}, "limit": 50, "filter": map[string]any{"metadata.stage": "late"}}
	var got found
	eventually(a.t, "the change is in the index", func() bool {
		got = a.search(query)
		return len(got.Passages) == doc.Progress.Chunks
	})
	for _, p := range got.Passages {
		if p.Title != "After" || p.Source == nil || *p.Source != "https://example.com/after" {
			a.t.Errorf("a passage still is of %q, %v", p.Title, p.Source)
		}
	}
	r := a.ask(map[string]any{"question": "When does the patchling festival of Overbrook begin?", "collections": []string{"patches"}})
	cited(a, r)
	if !r.Grounded || len(r.Citations) == 0 || r.Citations[0].Title != "After" || r.Citations[0].Source == nil {
		a.t.Errorf("the answer cites %+v", r.Citations)
	}
	a.do(http.MethodPatch, "/v1/documents/patched", map[string]any{}).problem(http.StatusBadRequest, "empty_patch")
	a.do(http.MethodPatch, "/v1/documents/nowhere", map[string]any{"title": "x"}).problem(http.StatusNotFound, "document_not_found")
}

func deletion(a api, _ Shape) {
	text := story("deadling", 3)
	doc := a.indexed("removed", text, "collection", "deletions")
	kept := a.indexed("kept", story("keptling deadling", 2), "collection", "deletions")
	r := a.do(http.MethodDelete, "/v1/documents/removed", nil).want(http.StatusAccepted)
	if d := decode[document](r); d.Status != "deleting" && d.Status != "deleted" {
		a.t.Errorf("the deleted document is %q", d.Status)
	}
	if d := a.settled("removed"); d.Status != "deleted" {
		a.t.Errorf("the deleted document ended as %q", d.Status)
	}
	for _, mode := range []string{"hybrid", "keyword", "dense"} {
		for _, p := range a.search(map[string]any{"query": "deadling", "mode": mode, "collections": []string{"deletions"}, "limit": 50}).Passages {
			if p.DocumentID != "kept" {
				a.t.Errorf("a %s search finds %s", mode, p.ID)
			}
		}
	}
	a.get("/v1/documents/removed/content").want(http.StatusNotFound)
	if r := a.get("/v1/documents/removed/chunks"); r.status != http.StatusNotFound && len(decode[list[chunk]](r).Data) > 0 {
		a.t.Errorf("chunks are left: %s", r.body)
	}
	for _, d := range all[document](a, "/v1/documents?collection=deletions&status=indexed", 10) {
		if d.ID == "removed" {
			a.t.Error("the deleted document is listed as indexed")
		}
	}
	exactly(a, "deadling", "deletions", kept)
	// Deleting twice is no error, and the id can be used again.
	a.do(http.MethodDelete, "/v1/documents/removed", nil).want(http.StatusAccepted)
	again := a.indexed("removed", text, "collection", "deletions")
	whole(a.t, again, text, a.chunks("removed"))
	if again.Version != doc.Version {
		a.t.Errorf("the document came back as version %s", again.Version)
	}
}

func failures(a api, _ Shape) {
	a.indexed("fine", story("fineling", 1), "collection", "failures")
	for id, content := range map[string]string{
		"broken-pdf": "%PDF-1.7\n1 0 obj\n<< /Type /Catalog", "noise": "\x00\x01\x02\x7fELF\x00\xff\xfe noise", "blank": "  \n\t\n ",
	} {
		body, kind := form(a, id, []byte(content), map[string]string{"id": id, "collection": "failures"})
		a.do(http.MethodPost, "/v1/documents", body, "Content-Type", kind).want(http.StatusAccepted)
		d := a.settled(id)
		if d.Status != "failed" || d.Error == nil || d.Error.Code == "" || len(d.Error.Message) < 15 || d.IndexedAt != nil {
			a.t.Errorf("%s became %+v %+v", id, d, d.Error)
			continue
		}
		r := a.do(http.MethodPost, "/v1/documents/"+id+"/retry", nil)
		if d.Error.Retryable || r.status == http.StatusAccepted {
			r.want(http.StatusAccepted)
			if again := a.settled(id); again.Status != "failed" || again.Error == nil || again.Error.Code != d.Error.Code {
				a.t.Errorf("%s, tried again, became %+v %+v", id, again, again.Error)
			}
		}
	}
	a.do(http.MethodPost, "/v1/documents/fine/retry", nil).problem(http.StatusConflict, "not_failed")
	if got := all[document](a, "/v1/documents?collection=failures&status=failed", 2); len(got) != 3 {
		a.t.Errorf("%d documents failed, not 3", len(got))
	}
	// New bytes heal it.
	text := story("healling", 1)
	whole(a.t, a.indexed("broken-pdf", text, "collection", "failures"), text, a.chunks("broken-pdf"))
}
