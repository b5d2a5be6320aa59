//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAPipeHoldsUpNothing: no writer ever comes.
func TestAPipeHoldsUpNothing(t *testing.T) {
	t.Parallel()
	server, dir := refusing(t), t.TempDir()
	good, pipe := filepath.Join(dir, "good.txt"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(good, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("pipe", filepath.Join(dir, "tube")); err != nil {
		t.Fatal(err)
	}
	out, errs, code := command(t, false, "ingest", "--server", server, pipe, "/dev/zero", good)
	if code != ExitError || !strings.Contains(out, "1 of 3 documents are in") || strings.Count(out, "not a regular file") != 2 {
		t.Errorf("named: exit code %d: %s%s", code, out, errs)
	}
	out, errs, code = command(t, false, "ingest", "--server", server, dir)
	if code != ExitOK || !strings.Contains(out, "1 of 1 documents are in") || strings.Count(errs, "skipped") != 2 || !strings.Contains(errs, pipe+": not a regular file") {
		t.Errorf("in a folder: exit code %d: %s%s", code, out, errs)
	}
}
