package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
)

// files returns how many files the blob store in a data directory has.
func files(t *testing.T, data string) int {
	t.Helper()
	n := 0
	must(t, filepath.WalkDir(filepath.Join(data, "blobs"), func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // removed while we look
			return nil
		}
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	}))
	return n
}

// TestNothingIsKeptThatNobodyNeeds: bytes on disk are those of documents that
// are there, however often they were sent, replaced, refused and deleted.
func TestNothingIsKeptThatNobodyNeeds(t *testing.T) {
	t.Parallel()
	s := start(t, server.Parts{Embedder: scripted(t)}, "RAGBUS_EXTRACT_SLOTS", "1", "RAGBUS_MAX_UPLOAD_BYTES", "64KiB")
	a := newAPI(t, s.URLs()[0])
	a.indexed("first", story("firstling", 1))
	each := files(t, s.vars["RAGBUS_DATA_DIR"]) // a document may be several files
	if each == 0 {
		t.Fatal("the blobs are elsewhere: mend this test")
	}
	holds := func(what string, documents int) {
		t.Helper()
		eventually(t, what, func() bool { return files(t, s.vars["RAGBUS_DATA_DIR"]) == documents*each })
	}
	a.upload("first", story("firstling", 1))
	holds("the same bytes again", 1)
	a.indexed("first", story("secondling", 1))
	holds("a new version", 1)
	a.do(http.MethodPost, "/v1/documents?id=large", strings.NewReader(strings.Repeat("large ", 20<<10)), "Content-Type", "text/plain").
		problem(http.StatusRequestEntityTooLarge, "body_too_large")
	a.do(http.MethodPost, "/v1/documents?id=first&collection=other", strings.NewReader("other"), "Content-Type", "text/plain").
		problem(http.StatusConflict, "collection_mismatch")
	holds("refused uploads", 1)

	path := filepath.Join(s.Inbox(), "nightly.txt")
	must(t, os.WriteFile(path, []byte(story("nightling", 1)), 0o600))
	for night := range 4 {
		a.do(http.MethodPost, "/v1/events", map[string]any{
			"specversion": "1.0", "id": fmt.Sprint("night-", night), "source": "/nightly", "type": "ragbus.document.uploaded.v1",
			"data": map[string]any{"id": "nightly", "dataref": "file://" + path, "title": "Nightly"},
		}, "Content-Type", "application/cloudevents+json").want(http.StatusAccepted)
	}
	// With one slot what comes after the events is done after them.
	a.indexed("last", story("lastling", 1))
	if d := a.settled("nightly"); d.Title != "Nightly" || d.Status != "indexed" {
		t.Errorf("after the last event the document is %+v", d)
	}
	holds("the same event every night", 3)
	for _, id := range []string{"first", "last", "nightly"} {
		a.do(http.MethodDelete, "/v1/documents/"+id, nil).want(http.StatusAccepted)
		a.settled(id)
	}
	holds("everything deleted", 0)
}
