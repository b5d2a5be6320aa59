package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/services/ingestor"
)

// program is the binary under test, built once, by the first test that needs it.
type program struct {
	once sync.Once
	dir  string
	err  error
}

var built program

func TestMain(m *testing.M) {
	// A server in this process reads documents in a child that is this program again.
	if ingestor.IsExtractionChild() {
		os.Exit(ingestor.ExtractionChild(os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m,
		// The HTTP server writes the date from one goroutine that it starts once and never ends,
		// and another of its sees only every 10 s that its server is gone.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.Cleanup(func(code int) {
			if built.dir != "" {
				if err := os.RemoveAll(built.dir); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
			os.Exit(code)
		}))
}

// root is the repository's.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..")) // a test runs where its package is
	must(t, err)
	return dir
}

// binary returns the path of the program, built as `make build` does.
func binary(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(root(t), "cmd", "ragbus")
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "ragbus-e2e-"); built.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-X main.version=v0.0.0-e2e", "-o", filepath.Join(built.dir, "ragbus"), ".")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	must(t, built.err)
	return filepath.Join(built.dir, "ragbus")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
