package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
)

// escape is what colours look like.
const escape = "\x1b["

func TestCommands(t *testing.T) {
	t.Parallel()
	s := start(t, server.Parts{Embedder: scripted(t)})
	dir := t.TempDir()
	library := filepath.Join(dir, "library")
	must(t, os.MkdirAll(filepath.Join(library, "deep", "deeper"), 0o755))
	for name, text := range map[string]string{
		"library/lighthouse.txt":       facts,
		"library/deep/fables.md":       "# Fables\n\nThe fox of Commandia eats nineteen grapes a day.\n",
		"library/deep/deeper/bad.pdf":  "%PDF-1.4 this is none",
		"library/deep/deeper/.hidden":  "not to be read",
		"library/.git/config":          "not to be read",
		"library/deep/deeper/fine.txt": story("commandling", 1),
		"library/deep/noise.bin":       "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00\x01\x00\x00\x00",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	must(t, os.Symlink(library, filepath.Join(dir, "link")))
	ragbus := func(t *testing.T, code int, args ...string) (out, errs string) {
		t.Helper()
		out, errs, got := run(t, dir, append(args, "--server", s.URLs()[0]))
		if got != code {
			t.Fatalf("ragbus %q: exit code %d, want %d\n%s\n%s", args, got, code, out, errs)
		}
		if strings.Contains(out+errs, escape) {
			t.Errorf("ragbus %q prints colours to a file", args)
		}
		return out, errs
	}
	has := func(t *testing.T, text string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in:\n%s", want, text)
			}
		}
	}

	out, errs := ragbus(t, 1, "ingest", "library")
	has(t, out, "3 of 5 documents are in.", "FAILED", "CODE", "WHY", filepath.Join("library", "deep", "deeper", "bad.pdf"), "pdf_damaged",
		filepath.Join("library", "deep", "noise.bin"), "unsupported_media_type")
	has(t, errs, "[5/5]", "lighthouse.txt: indexed, 1 chunks")
	if strings.Contains(out+errs, "hidden") || strings.Contains(out+errs, ".git") {
		t.Errorf("hidden files were read:\n%s", errs)
	}
	// Again, by file and by a link to the folder: the good ones are there, unchanged.
	_, errs = ragbus(t, 0, "ingest", filepath.Join("library", "lighthouse.txt"))
	has(t, errs, "indexed, 1 chunks, unchanged")
	out, _ = ragbus(t, 0, "ingest", filepath.Join("library", "deep", "deeper", "fine.txt"), filepath.Join("library", "deep", "fables.md"))
	has(t, out, "2 of 2 documents are in.")
	must(t, os.Remove(filepath.Join(library, "deep", "deeper", "bad.pdf")))
	must(t, os.Remove(filepath.Join(library, "deep", "noise.bin")))
	out, _ = ragbus(t, 0, "ingest", "link", "--collection", "linked", "--json")
	var results []struct {
		Path     string
		Document document
		New      bool
		Error    string
	}
	must(t, json.Unmarshal([]byte(out), &results))
	if len(results) != 3 || results[0].Document.Status != "indexed" || results[0].Document.Collection != "linked" || !results[0].New {
		t.Errorf("by a link: %s", out)
	}

	out, _ = ragbus(t, 0, "ask", "when was the lighthouse of Quellmar built?", "--collection", "default")
	has(t, out, "1847", "[1]", "Sources", "lighthouse", "“", "conversation ")
	conversation := regexp.MustCompile(`conversation ([a-z0-9]+)`).FindStringSubmatch(out)
	out, _ = ragbus(t, 0, "ask", "--json", "--conversation", conversation[1], "how", "tall", "is", "it?")
	if r := parse[map[string]any](t, out); r["conversation_id"] != conversation[1] || !strings.Contains(r["answer"].(string), "41 metres") {
		t.Errorf("the follow-up is %s", out)
	}
	out, _ = ragbus(t, 0, "ask", "which vitamins does broccoli contain?")
	if strings.Contains(out, "[1]") {
		t.Errorf("an answer to what is in no document:\n%s", out)
	}
	out, _ = ragbus(t, 0, "search", "--limit", "2", "grapes", "Commandia")
	has(t, out, "1. Fables (", "nineteen grapes")
	if out, _ = ragbus(t, 0, "search", "xyzzyplugh", "--mode", "keyword"); strings.TrimSpace(out) != "Nothing matches." {
		t.Errorf("a search for nothing prints %q", out)
	}
	out, _ = ragbus(t, 0, "search", "--json", "--collection", "linked", "commandling")
	if r := parse[map[string]any](t, out); len(r["passages"].([]any)) == 0 {
		t.Errorf("the search found nothing: %s", out)
	}

	out, _ = ragbus(t, 0, "documents", "ls")
	has(t, out, "ID", "STATUS", "WHY", "indexed", "failed", "linked")
	out, _ = ragbus(t, 0, "documents", "ls", "--status", "failed", "--json")
	failed := parse[[]document](t, out)
	if len(failed) != 2 {
		t.Fatalf("%d documents failed, not 2: %s", len(failed), out)
	}
	out, _ = ragbus(t, 0, "documents", "show", failed[0].ID)
	has(t, out, failed[0].ID, `"failed"`, failed[0].Error.Code)
	ragbus(t, 0, "documents", "retry", failed[0].ID)
	out, _ = ragbus(t, 0, "documents", "ls", "--collection", "linked", "--json")
	linked := parse[[]document](t, out)
	_, errs = ragbus(t, 1, "documents", "retry", linked[0].ID)
	has(t, errs, "not_failed")
	out, _ = ragbus(t, 0, "documents", "rm", linked[0].ID)
	has(t, out, linked[0].ID)
	newAPI(t, s.URLs()[0]).settled(linked[0].ID)
	_, errs = ragbus(t, 1, "documents", "show", "nowhere")
	has(t, errs, "document_not_found")

	out, _ = ragbus(t, 0, "status")
	has(t, out, "is healthy", "broker", "QUEUE", "ingestor-embed")
	out, _ = ragbus(t, 0, "status", "--json")
	has(t, out, `"status": "healthy"`, `"queues"`)
}

func TestCommandsWithoutAServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte("a"), 0o600))
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"ask", "why?", "--server", "http://127.0.0.1:1"}, 1, []string{"no answer from 127.0.0.1:1", "ragbus serve"}},
		{[]string{"search", "x", "--server", "http://127.0.0.1:1"}, 1, []string{"no answer from 127.0.0.1:1"}},
		{[]string{"documents", "ls", "--server", "http://127.0.0.1:1"}, 1, []string{"no answer from 127.0.0.1:1"}},
		{[]string{"status", "--server", "http://127.0.0.1:1"}, 1, []string{"no answer from 127.0.0.1:1"}},
		{[]string{"ingest", "a.txt", "--server", "http://127.0.0.1:1"}, 1, []string{"no answer from 127.0.0.1:1"}},
		{[]string{"status", "--server", "127.0.0.1:8080"}, 2, []string{"http://host:port"}},
		{[]string{"ingest", "nowhere"}, 2, []string{"nowhere"}},
		{[]string{"ingest"}, 2, []string{"requires at least 1 arg"}},
		{[]string{"ask"}, 2, []string{"requires at least 1 arg"}},
		{[]string{"documents", "show"}, 2, []string{"accepts 1 arg"}},
		{[]string{"documents", "destroy"}, 2, []string{"destroy"}},
		{[]string{"serve", "now"}, 2, []string{"now"}},
		{[]string{"dance"}, 2, []string{"dance"}},
		{[]string{"search", "x", "--limit", "many"}, 2, []string{"--limit"}},
		{[]string{"search", "x", "--colour", "red"}, 2, []string{"--colour"}},
		{[]string{"version"}, 0, []string{"v0.0.0-e2e"}},
		{[]string{"version", "--json"}, 0, []string{`"version": "v0.0.0-e2e"`}},
		{[]string{"help", "ingest"}, 0, []string{"ragbus ingest ./handbook", "Exits with 1"}},
		{[]string{"--help"}, 0, []string{"serve", "ingest", "ask", "documents", "status", "config"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			out, errs, code := run(t, dir, c.args)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(out+errs, want) {
					t.Errorf("%q is missing in:\n%s%s", want, out, errs)
				}
			}
			if c.code > 0 && (!strings.Contains(errs, "ragbus: ") && !strings.Contains(out, "FAILED")) {
				t.Errorf("nothing says what is wrong:\n%s\n%s", out, errs)
			}
		})
	}
}

func TestConfigRedactsSecrets(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"config"}, {"config", "--json"}} {
		out, errs, code := run(t, t.TempDir(), args, "GOOGLE_API_KEY", "very-secret-value", "RAGBUS_LOG_LEVEL", "debug", "NO_COLOR", "1")
		if code != 0 || errs != "" || strings.Contains(out, "very-secret-value") {
			t.Errorf("ragbus %q: exit code %d\n%s\n%s", args, code, out, errs)
		}
		for _, want := range []string{"GEMINI_API_KEY", "redacted", "RAGBUS_LOG_LEVEL", "debug", "RAGBUS_DATA_DIR", "./data", "GOOGLE_API_KEY"} {
			if !strings.Contains(out, want) {
				t.Errorf("ragbus %q does not print %q:\n%s", args, want, out)
			}
		}
	}
}
