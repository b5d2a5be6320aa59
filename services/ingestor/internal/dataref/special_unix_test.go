//go:build unix

package dataref

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

// TestWhatIsNoFileIsRefusedAtOnce: a pipe without a writer would otherwise
// hold up whoever opens it for good.
func TestWhatIsNoFileIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "ref") // a socket's path has to be short
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	must(t, os.Symlink("pipe", filepath.Join(dir, "link")))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "socket"))
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	in, err := New([]string{"file://" + dir, "file:///dev"})
	must(t, err)
	for _, ref := range []string{"file://" + dir + "/pipe", "file://" + dir + "/link", "file://" + dir + "/socket", "file:///dev/null", "file:///dev/zero"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		done := make(chan error, 1)
		go func() {
			_, _, err := in.Open(ctx, ref)
			done <- err
		}()
		select {
		case err := <-done:
			if code, message := fault.Public(err); code != "dataref_not_found" || !strings.Contains(message, "not a regular file") || !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", ref, err)
			}
		case <-ctx.Done():
			t.Errorf("%s is waited for", ref)
		}
		cancel()
	}
}
