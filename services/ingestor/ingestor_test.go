package ingestor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/worker"
)

// book returns Markdown of many chunks with one word in all of them.
func book(word string, sections int) string {
	var b strings.Builder
	b.WriteString("# The book of " + word + "\n")
	for i := range sections {
		fmt.Fprintf(&b, "\n## Part %d\n\n%s\n", i, strings.Repeat(fmt.Sprintf("Sentence of part %d tells about %s and nothing else. ", i, word), 18))
	}
	return b.String()
}

func TestAnUploadedDocumentBecomesSearchable(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	doc := s.upload(t, "book", "book.md", book("herring", 150))
	s.whole(t, doc)
	if doc.Chunks <= 2*64 || doc.Title != "The book of herring" || doc.MediaType != "text/markdown" || doc.IndexedAt.IsZero() {
		t.Errorf("got %+v", doc)
	}
	hits := s.search(t, "herring")
	if len(hits) != 100 {
		t.Errorf("%d hits", len(hits))
	}
}

func TestANewVersionReplacesTheOldOne(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.upload(t, "book", "book.md", book("herring", 80))
	first := s.embedder.Texts()
	doc := s.upload(t, "book", "book.md", book("herring", 79)+"\n## Part 79\n\nHere it is about salmon instead.\n")
	s.whole(t, doc)
	if doc.Generation != 2 || len(s.search(t, "salmon")) != 1 {
		t.Errorf("generation %d, %d hits for the new word", doc.Generation, len(s.search(t, "salmon")))
	}
	for _, h := range s.search(t, "herring") {
		if h.Ref.Version != doc.SHA256 {
			t.Fatalf("a hit of version %s", h.Ref.Version)
		}
	}
	if again := s.embedder.Texts() - first; again != 1 {
		t.Errorf("%d texts were embedded again, want the one that changed", again)
	}
	if keys := s.blobKeys(t); len(keys) != 1 {
		t.Errorf("bytes left: %v", keys)
	}
}

func TestADeletedDocumentLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.upload(t, "book", "book.md", book("herring", 20))
	scope, err := corpus.SystemScope(corpus.DefaultTenant)
	check(t, err)
	doc, err := s.catalog.Delete(t.Context(), scope, "book")
	check(t, err)
	s.publish(t, event.DocumentDeleted{ID: "book", Generation: doc.Generation})
	if kind := s.fact(t, "book", doc.Generation); kind != event.KindDocumentRemoved {
		t.Fatalf("the end is %s", kind)
	}
	doc, err = s.catalog.Document(t.Context(), corpus.DefaultTenant, "book")
	check(t, err)
	if doc.Status != corpus.Deleted || len(s.search(t, "herring")) > 0 || len(s.blobKeys(t)) > 0 {
		t.Errorf("left: %+v, %d hits, bytes %v", doc, len(s.search(t, "herring")), s.blobKeys(t))
	}
	// A late job of the deleted generation must not bring it back.
	s.publish(t, event.ChunksReady{ID: "book", Generation: 1, Version: doc.SHA256, From: 0, To: 20})
	back := s.upload(t, "book", "book.md", book("herring", 3))
	s.whole(t, back)
	if back.Generation != 3 {
		t.Errorf("generation %d", back.Generation)
	}
}

func TestABrokenDocumentFailsWithItsReasonAndHurtsNoOther(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	for name, c := range map[string]struct{ file, content, code string }{
		"picture":   {"a.pdf", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "unsupported_media_type"},
		"truncated": {"b.pdf", "%PDF-1.7\n1 0 obj\n<< /Type /Cat", ""},
		"zip":       {"c.docx", "PK\x03\x04 and then nothing", ""},
		"blank":     {"d.txt", "   \n\n\t  ", ""},
	} {
		doc := s.upload(t, name, c.file, c.content)
		if doc.Status != corpus.Failed || doc.Failure == nil || doc.Failure.Message == "" || doc.Failure.Retryable {
			t.Errorf("%s: %+v", name, doc)
			continue
		}
		if c.code != "" && doc.Failure.Code != c.code {
			t.Errorf("%s: code %s, want %s", name, doc.Failure.Code, c.code)
		}
	}
	s.whole(t, s.upload(t, "good", "good.md", book("herring", 2)))
	if letters := s.dead(t); letters != 0 {
		t.Errorf("%d dead letters", letters)
	}
}

func TestADocumentWithoutATitleIsCalledAfterItsFile(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	if doc := s.upload(t, "notes", "my notes.v2.txt", "The herring swims in large schools."); doc.Title != "my notes.v2" {
		t.Errorf("it is called %q", doc.Title)
	}
}

func TestNoDocumentHasANameWhileItIsRead(t *testing.T) {
	t.Parallel()
	s := prepare(t, scriptembed.Config{})
	doc, _ := s.accept(t, "notes", "notes.txt", "The herring swims in large schools.")
	key, err := s.catalog.BlobKey(t.Context(), mustScope(t), "notes")
	check(t, err)
	file, err := s.fetch(t.Context(), doc, key)
	check(t, err)
	left, err := os.ReadDir(s.cfg.TempDir)
	check(t, err)
	if len(left) != 0 {
		t.Errorf("a crash now would leave %v", left)
	}
	s.discard(t.Context(), file)
}

func mustScope(t *testing.T) corpus.Scope {
	t.Helper()
	scope, err := corpus.SystemScope(corpus.DefaultTenant)
	check(t, err)
	return scope
}

func (s *stack) dead(t *testing.T) uint64 {
	t.Helper()
	stream, err := s.broker.JS.Stream(t.Context(), broker.StreamDead)
	check(t, err)
	return stream.CachedInfo().State.Msgs
}

func TestAnEventWithADatarefIsTakenIn(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	path := filepath.Join(s.prefix, "report.md")
	check(t, os.WriteFile(path, []byte(book("mackerel", 2)), 0o600))
	s.publish(t, event.DocumentUploaded{ID: "report", DataRef: "file://" + path, Metadata: map[string]any{"year": 2026.0}})
	doc := s.settled(t, "report", 1)
	s.whole(t, doc)
	if doc.Filename != "report.md" || doc.Metadata["year"] != 2026.0 {
		t.Errorf("got %+v", doc)
	}
	// The same bytes by another event change nothing; a deletion by event works without a generation.
	s.publish(t, event.DocumentDeleted{ID: "report"})
	if kind := s.fact(t, "report", 2); kind != event.KindDocumentRemoved {
		t.Errorf("the end is %s", kind)
	}
}

func TestAnEventWithAForbiddenDatarefEndsAsDeadLetter(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.publish(t, event.DocumentUploaded{ID: "secret", DataRef: "file:///etc/hostname"})
	if l := s.letter(t); l.Get(worker.HeaderDeadCode) != "dataref_not_allowed" {
		t.Errorf("the letter tells %v", l)
	}
}

func TestChangedAttributesReachTheIndexWithoutEmbedding(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{})
	s.upload(t, "book", "book.md", book("herring", 2))
	before := s.embedder.Calls()
	s.publish(t, event.DocumentChanged{ID: "book", ACL: []string{"crew"}})
	deadline := time.Now().Add(bound)
	for len(s.search(t, "herring")) > 0 {
		if time.Now().After(deadline) {
			t.Fatal("the public still finds a document of the crew")
		}
	}
	scope, err := corpus.NewScope(corpus.DefaultTenant, "crew")
	check(t, err)
	if _, err := s.catalog.Get(t.Context(), scope, "book"); err != nil || s.embedder.Calls() != before {
		t.Errorf("crew: %v; %d calls to embed", err, s.embedder.Calls()-before)
	}
}

func TestTheSweeperFindsWhatWasNeverPublished(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{}, func(cfg *Config, _ *Deps) {
		cfg.Lease, cfg.SweepInterval = time.Second, 100*time.Millisecond
	})
	doc, _ := s.accept(t, "book", "book.md", book("herring", 2))
	s.whole(t, s.settled(t, "book", doc.Generation))
	scope, err := corpus.SystemScope(corpus.DefaultTenant)
	check(t, err)
	doc, err = s.catalog.Delete(t.Context(), scope, "book")
	check(t, err)
	if kind := s.fact(t, "book", doc.Generation); kind != event.KindDocumentRemoved {
		t.Errorf("the end is %s", kind)
	}
}

func TestAnEmbedderThatFailsForAWhileCostsOnlyTime(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{Fail: func(call int, _ embed.Purpose, _ []string) error {
		if call <= 2 {
			return fault.ThrottledFor(10*time.Millisecond, errors.New("quota"))
		}
		return nil
	}})
	s.whole(t, s.upload(t, "book", "book.md", book("herring", 2)))
}

func TestAnEmbedderThatRefusesFailsTheDocument(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{Fail: func(int, embed.Purpose, []string) error {
		return fault.Permanentf("model_gone", "the embedding model does not exist any more")
	}})
	doc := s.upload(t, "book", "book.md", book("herring", 2))
	if doc.Status != corpus.Failed || doc.Failure.Code != "model_gone" {
		t.Errorf("got %+v", doc)
	}
}
