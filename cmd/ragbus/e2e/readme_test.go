package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
)

// readmeAddr is where README's commands look for the server.
const readmeAddr = "127.0.0.1:8080"

// block is a fenced block of Markdown.
type block struct {
	info string
	text string
}

func blocks(markdown string) []block {
	var out []block
	var now *block
	for line := range strings.Lines(markdown) {
		fence, isFence := strings.CutPrefix(strings.TrimLeft(line, " \t-*>"), "```")
		switch {
		case isFence && now == nil:
			now = &block{info: strings.TrimSpace(fence)}
		case isFence:
			out = append(out, *now)
			now = nil
		case now != nil:
			now.text += line
		}
	}
	return out
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	got := blocks("a\n```sh\necho 1\necho 2\n```\n```sh notest\nrm x\n```\n- ```text\n  x\n  ```\n")
	same(t, "sh", got[0].text, "echo 1\necho 2\n")
	if len(got) != 3 || got[0].info != "sh" || got[1].info != "sh notest" {
		t.Errorf("the blocks are %+v", got)
	}
}

// TestREADME runs the commands of README as they are printed, in order, by
// one shell, in a folder like the repository beside a fresh server. Blocks
// marked "sh notest" are for people; "make run" is the server itself.
func TestREADME(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	must(t, err)
	addr := readmeAddr
	if ln, err := net.Listen("tcp", addr); err == nil {
		must(t, ln.Close())
	} else {
		addr = "127.0.0.1:0" // somebody has it: the commands are changed to ours
	}
	p := serve(t, filepath.Join(dir, "data"), []string{"--sample"}, "RAGBUS_HTTP_ADDR", addr)
	script := "set -e -o pipefail\n"
	n := 0
	for _, b := range blocks(string(readme)) {
		if b.info == "sh" {
			script += b.text
			n++
		}
	}
	if n < 4 {
		t.Fatalf("README has %d blocks to run", n)
	}
	script = strings.ReplaceAll(script, "make run\n", "")
	if !strings.HasSuffix(p.url, readmeAddr) {
		script = strings.ReplaceAll(script, readmeAddr, strings.TrimPrefix(p.url, "http://"))
		script = strings.ReplaceAll(script, "./bin/ragbus ", "./bin/ragbus --server "+p.url+" ")
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Env = dir, stack.Environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("README's commands: %v\n%s\n---\n%s", err, script, out)
	}
	// curl prints a problem and succeeds.
	if i := strings.Index(string(out), "urn:ragbus:problem"); i >= 0 {
		t.Errorf("README's commands were refused: …%s", out[max(0, i-200):min(len(out), i+600)])
	}
	for _, want := range []string{"documents are in", "[1]", "Sources", `"citations":[{`, "event: done", `"passages":[{`, "RAGBUS_DATA_DIR"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("README's commands print nothing of %q:\n%s", want, out)
		}
	}
	p.interrupt()
}

// TestLinks: what the documentation links to is there.
func TestLinks(t *testing.T) {
	t.Parallel()
	base := root(t)
	files, err := filepath.Glob(filepath.Join(base, "docs", "*.md"))
	must(t, err)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", filepath.Join("cmd", "ragbus", "sample", "README.md")} {
		files = append(files, filepath.Join(base, name))
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	quoted := regexp.MustCompile("`((?:docs|pkg|services|cmd|\\.ci)/[A-Za-z0-9_./-]*)`")
	fenced := regexp.MustCompile("(?s)```.*?```")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		name, err := filepath.Rel(base, file)
		must(t, err)
		prose := fenced.ReplaceAllString(string(text), "")
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path := file
			if target != "" {
				path = filepath.Join(filepath.Dir(file), filepath.FromSlash(target))
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			} else if fragment != "" && strings.HasSuffix(path, ".md") && !anchors(t, path)[fragment] {
				t.Errorf("%s links to %s, a heading that is not there", name, m[1])
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(prose, -1) {
			if _, err := os.Stat(filepath.Join(base, filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s names %s: %v", name, m[1], err)
			}
		}
	}
}

// anchors are the fragments of a file's headings, as code hosts make them.
func anchors(t testing.TB, file string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	out := map[string]bool{}
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(string(text)) {
		if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") {
			out[strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")] = true
		}
	}
	return out
}
