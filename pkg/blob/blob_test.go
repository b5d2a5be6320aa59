package blob_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/blob/blobtest"
	"github.com/ragbus/ragbus/pkg/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, url string) *blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openDir(t *testing.T, dir string) *blob.Store {
	t.Helper()
	url, err := blob.FileURL(dir)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, url)
}

func TestMemory(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) *blob.Store { return open(t, "mem://") })
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) *blob.Store {
		dir := filepath.Join(t.TempDir(), "a dir #1 100% ü")
		t.Cleanup(func() { wantNoTemporaries(t, dir) })
		return openDir(t, dir)
	})
}

// wantNoTemporaries checks that every writer that ended has cleaned up.
func wantNoTemporaries(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(path, ".tmp") || strings.Contains(path, ".attrs") {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"", "data", "file://", "file://relative/dir", "ftp://user:secret@host/dir", "://", "file://" + file, "file:///dev/null/x"} {
		_, err := blob.Open(t.Context(), url)
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password", url)
		}
	}
}

func TestTheDirectoryIsPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "blobs")
	s := openDir(t, dir)
	put(t, s, "documents/t/d/u")
	for _, path := range []string{dir, filepath.Join(dir, "documents", "t", "d")} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
}

func put(t *testing.T, s *blob.Store, key string) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreWhoseDirectoryVanishedIsNotReady(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "blobs")
	s := openDir(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); !fault.Is(err, fault.Transient) {
		t.Errorf("got %v", err)
	}
}

func TestWhatKilledWritersLeftIsTidied(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "blobs")
	s := openDir(t, dir)
	put(t, s, "documents/t/d/whole")
	const key = "documents/t/d/begun"
	stalled, resume := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := s.Put(t.Context(), key, &stalling{stalled: stalled, resume: resume}, blob.PutOptions{})
		done <- err
	}()
	<-stalled
	wantTidied := func(before time.Time, want int) {
		t.Helper()
		if n, err := s.Tidy(t.Context(), before); err != nil || n != want {
			t.Errorf("%d files are tidied, %v; want %d", n, err, want)
		}
	}
	// A living writer is spared; one that began long ago counts as killed.
	wantTidied(time.Now().Add(-time.Hour), 0)
	wantTidied(time.Now().Add(time.Hour), 1)
	wantTidied(time.Now().Add(time.Hour), 0)
	close(resume)
	if err := <-done; err == nil {
		t.Error("a writer whose file was taken away succeeded")
	}
	var keys []string
	for item, err := range s.List(t.Context(), "documents/") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, item.Key)
	}
	if len(keys) != 1 || keys[0] != "documents/t/d/whole" {
		t.Errorf("listed: %v", keys)
	}
}

// stalling is a body that waits in its middle.
type stalling struct{ stalled, resume chan struct{} }

func (s *stalling) Read(p []byte) (int, error) {
	if s.stalled != nil {
		close(s.stalled)
		s.stalled = nil
		return copy(p, "half"), nil
	}
	<-s.resume
	return 0, io.EOF
}

func TestAPlaceThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "blobs")
	s := openDir(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "documents", "t"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "documents", "t", "d"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Put(t.Context(), "documents/t/d/u", strings.NewReader("x"), blob.PutOptions{})
	if err == nil || !fault.Retryable(err) {
		t.Errorf("got %v", err)
	}
}

func FuzzKey(f *testing.F) {
	for _, seed := range [][3]string{{"t", "d", "u"}, {"", "d", "u"}, {"..", "d", "u"}, {"a/b", "c", "d"}, {"__0x2f__", "__.0x", "u"}} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, tenant, document, upload string) {
		key, err := blob.Key(tenant, document, upload)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("got %v", err)
			}
			return
		}
		if key != "documents/"+tenant+"/"+document+"/"+upload || strings.Count(key, "/") != 3 || strings.Contains(key, "..") {
			t.Fatalf("the key is %q", key)
		}
		prefix, err := blob.Prefix(tenant, document)
		if err != nil || !strings.HasPrefix(key, prefix) {
			t.Fatalf("the prefix is %q, %v", prefix, err)
		}
	})
}
