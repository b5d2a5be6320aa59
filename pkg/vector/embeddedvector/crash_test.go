package embeddedvector_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
	"github.com/ragbus/ragbus/pkg/vector/vectortest"
)

// crashDir names the directory in which the test binary, run again by
// TestKilledWhileWriting, writes until it is killed.
const crashDir = "RAGBUS_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := writeForEver(context.Background(), dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

const (
	crashBatches = 3
	crashBatch   = 8
)

// crashDocument returns a version of the n-th document.
func crashDocument(n int, generation int64) vector.Document {
	return vector.Document{
		Tenant: "t", Collection: "c", ID: fmt.Sprintf("d%d", n), Version: fmt.Sprintf("v%d", generation), Generation: generation,
	}
}

// crashWord is in every chunk of the document and in no other.
func crashWord(n int) string { return fmt.Sprintf("unique%dword", n) }

// writeForEver writes documents, replaces each third and deletes each fifth,
// and tells each finished step on out: "v1 7", "v2 9", "gone 10".
func writeForEver(ctx context.Context, dir string, out io.Writer) error {
	s, err := embeddedvector.Open(ctx, embeddedvector.Config{
		Path: filepath.Join(dir, "index.db"), Dimensions: vectortest.Dimensions, ProfileKey: "test", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		generations := int64(1)
		if n%3 == 0 {
			generations = 2
		}
		for g := int64(1); g <= generations; g++ {
			doc := crashDocument(n, g)
			if err := writeCrashDocument(ctx, s, doc, crashWord(n)); err != nil {
				return err
			}
			fmt.Fprintf(out, "%s %d\n", doc.Version, n)
		}
		if n%5 == 0 {
			if err := s.Delete(ctx, "t", crashDocument(n, 0).ID, generations); err != nil {
				return err
			}
			fmt.Fprintf(out, "gone %d\n", n)
		}
	}
}

func writeCrashDocument(ctx context.Context, s *embeddedvector.Store, doc vector.Document, word string) error {
	for batch := range crashBatches {
		points := make([]vector.Point, crashBatch)
		for i := range points {
			text := fmt.Sprintf("%s %d %d", word, batch, i)
			points[i] = vector.Point{Ordinal: batch*crashBatch + i, Text: text, Dense: vectortest.Vector(text)}
		}
		if err := s.Upsert(ctx, doc, points); err != nil {
			return err
		}
	}
	if err := s.Activate(ctx, doc); err != nil {
		return err
	}
	return s.Sweep(ctx, doc)
}

func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 3 {
		folder := filepath.Join(dir, fmt.Sprint(round))
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		told := killAfter(t, folder, 40+round*17)
		s := open(t, folder, vectortest.Dimensions)
		for n := range len(told) + 1 {
			hits := crashHits(t, s, n)
			last := told[n]
			switch {
			case last == "gone":
				if len(hits) > 0 {
					t.Errorf("document %d was deleted and has %d chunks", n, len(hits))
				}
			case len(hits) == 0 && (last == "" || n%5 == 0):
				// Never live as far as anybody was told, or its deletion was not told any more.
			case len(hits) != crashBatches*crashBatch:
				t.Errorf("document %d has %d chunks of %d, last told %q", n, len(hits), crashBatches*crashBatch, last)
			case hits[0].Ref.Version != hits[len(hits)-1].Ref.Version || hits[0].Ref.Version < last:
				t.Errorf("document %d is shown in %q to %q, last told %q", n, hits[0].Ref.Version, hits[len(hits)-1].Ref.Version, last)
			}
		}
		if err := writeCrashDocument(t.Context(), s, crashDocument(0, 9), crashWord(0)); err != nil {
			t.Errorf("writing after the crash: %v", err)
		}
		if n := len(crashHits(t, s, 0)); n != crashBatches*crashBatch {
			t.Errorf("%d chunks written after the crash", n)
		}
	}
}

// killAfter runs the writer, kills it after that many lines, in the middle of
// whatever it does then, and returns what it told last of each document.
func killAfter(t *testing.T, dir string, lines int) map[int]string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.run=^$")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	told := make(map[int]string)
	read := bufio.NewScanner(out)
	for count := 0; read.Scan(); count++ {
		if count == lines {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		var what string
		var n int
		if _, err := fmt.Sscanf(read.Text(), "%s %d", &what, &n); err != nil {
			continue // cut by the kill
		}
		told[n] = what
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	if len(told) < lines/3 {
		t.Fatalf("only %d documents were written", len(told))
	}
	return told
}

func crashHits(t *testing.T, s vector.Store, n int) []vector.Hit {
	t.Helper()
	scope, err := corpus.NewScope("t")
	if err != nil {
		t.Fatal(err)
	}
	hits, err := s.Search(t.Context(), vector.Query{Scope: scope, Mode: vector.Keyword, Text: crashWord(n), Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return hits
}
