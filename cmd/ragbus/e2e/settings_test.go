package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettingsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		vars []string
		want []string
	}{
		{"an unknown one", []string{"RAGBUS_HTTP_ADR", "x"}, []string{"RAGBUS_HTTP_ADR", "did you mean RAGBUS_HTTP_ADDR?"}},
		{"several at once", []string{
			"RAGBUS_NONSENSE_SETTING", "1", "RAGBUS_SEARCH_TIMEOUT", "soon", "RAGBUS_AUTH", "magic", "RAGBUS_LLM", "gemini",
			"RAGBUS_LOG_LEVEL", "loud", "RAGBUS_EMBED_SLOTS", "-3", "RAGBUS_EMBEDDER", "gemini",
		}, []string{
			"RAGBUS_NONSENSE_SETTING", "RAGBUS_SEARCH_TIMEOUT", `"soon" is not a duration`, "RAGBUS_AUTH", "GEMINI_API_KEY", "RAGBUS_LOG_LEVEL", "RAGBUS_EMBED_SLOTS",
			"RAGBUS_EMBEDDER",
		}},
		{"an address for everybody", []string{"RAGBUS_HTTP_ADDR", "0.0.0.0:0"}, []string{"RAGBUS_HTTP_ADDR", "RAGBUS_AUTH=none", "127.0.0.1"}},
		{"no host at all", []string{"RAGBUS_HTTP_ADDR", ":8080"}, []string{"RAGBUS_HTTP_ADDR", "RAGBUS_AUTH=none"}},
		{"no port", []string{"RAGBUS_HTTP_ADDR", "127.0.0.1"}, []string{"RAGBUS_HTTP_ADDR", "host:port"}},
		{"a port that is none", []string{"PORT", "eighty"}, []string{"PORT", "eighty"}},
		{"a model for the extractive writer", []string{"RAGBUS_LLM_MODEL", "x"}, []string{"RAGBUS_LLM_MODEL"}},
		{"a folder for events that is everything", []string{"RAGBUS_DATAREF_PREFIXES", "file:///"}, []string{"RAGBUS_DATAREF_PREFIXES"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			_, errs, code := run(t, t.TempDir(), []string{"serve"}, append([]string{"RAGBUS_DATA_DIR", data}, c.vars...)...)
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			for _, want := range c.want {
				if !strings.Contains(errs, want) {
					t.Errorf("the message does not hold %q:\n%s", want, errs)
				}
			}
			if _, err := os.Stat(data); err == nil {
				t.Error("a server that cannot start made its data directory")
			}
			// `ragbus config` says the same, with the settings.
			out, errs, code := run(t, t.TempDir(), []string{"config"}, c.vars...)
			if code != 2 || !strings.Contains(errs, c.want[0]) || !strings.Contains(out, "RAGBUS_DATA_DIR") {
				t.Errorf("ragbus config: exit code %d\n%s\n%s", code, errs, out)
			}
		})
	}
}

func TestDataDirectoriesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	used := serve(t, filepath.Join(t.TempDir(), "data"), nil)
	folders := map[string]struct{ dir, want string }{
		"in use": {used.dir, "in use by another ragbus"},
		"a file": {file, "not a directory"},
		// Not even root can make a folder there.
		"not writable": {"/proc/ragbus", "cannot be created"},
	}
	if os.Getuid() != 0 {
		locked := t.TempDir()
		must(t, os.Chmod(locked, 0o500))
		folders["read-only"] = struct{ dir, want string }{locked, "permission denied"}
	}
	for name, c := range folders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, errs, code := run(t, t.TempDir(), []string{"serve"}, "RAGBUS_DATA_DIR", c.dir, "RAGBUS_HTTP_ADDR", "127.0.0.1:0")
			if code != 2 || !strings.Contains(errs, c.dir) || !strings.Contains(errs, c.want) || !strings.Contains(errs, "RAGBUS_DATA_DIR") {
				t.Errorf("exit code %d: %s", code, errs)
			}
			if strings.Count(strings.TrimSpace(errs), "\n") > 1 {
				t.Errorf("more than a message:\n%s", errs)
			}
		})
	}
	t.Cleanup(func() { used.interrupt() })
}
