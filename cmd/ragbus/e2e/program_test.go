package e2e

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
)

// process is the built binary, serving.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	dir string
	url string
	// out is what it printed for people until it listened.
	out string
	log *tail
	// readyAfter is the time from the start of the process to its being ready.
	readyAfter time.Duration

	ended chan struct{}
	err   error
}

// listening is what the program prints when it is ready.
var listening = regexp.MustCompile(`Ragbus listens on (http://[^ ]+) `)

// serve starts the binary over a data directory and waits until it has told
// people all it has to say.
func serve(t *testing.T, dir string, args []string, vars ...string) *process {
	t.Helper()
	p := &process{t: t, dir: dir, log: &tail{}, ended: make(chan struct{})}
	p.cmd = exec.Command(binary(t), append([]string{"serve"}, args...)...)
	p.cmd.Dir = filepath.Dir(dir)
	p.cmd.Env = stack.Environment(append([]string{"RAGBUS_DATA_DIR", dir, "RAGBUS_HTTP_ADDR", "127.0.0.1:0", "RAGBUS_LOG_LEVEL", "warn"}, vars...)...)
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	must(t, err)
	began := time.Now()
	must(t, p.cmd.Start())
	said := make(chan string, 1)
	go func() {
		defer close(p.ended)
		var text strings.Builder
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
			if strings.HasPrefix(lines.Text(), "Ctrl-C") {
				said <- text.String()
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the end of the program's log:\n%s", p.log)
		}
	})
	select {
	case p.out = <-said:
		p.readyAfter = time.Since(began)
	case <-p.ended:
		t.Fatalf("the program ended: %v\n%s", p.err, p.log)
	case <-time.After(patience):
		t.Fatalf("the program is not ready after %s\n%s", patience, p.log)
	}
	found := listening.FindStringSubmatch(p.out)
	if found == nil {
		t.Fatalf("the program does not say where it listens:\n%s", p.out)
	}
	p.url = found[1]
	return p
}

// kill ends it at once, as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// interrupt asks it to stop, as Ctrl-C does, and checks that it does so cleanly.
func (p *process) interrupt() time.Duration {
	p.t.Helper()
	began := time.Now()
	must(p.t, p.cmd.Process.Signal(syscall.SIGINT))
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("the program goes on after Ctrl-C\n%s", p.log)
	}
	if p.err != nil {
		p.t.Errorf("after Ctrl-C the program ended with: %v\n%s", p.err, p.log)
	}
	return time.Since(began)
}

// run executes the binary with arguments until it ends.
func run(t *testing.T, dir string, args []string, vars ...string) (out, errs string, code int) {
	t.Helper()
	return execute(t, binary(t), dir, args, vars...)
}

// execute runs a program until it ends.
func execute(t *testing.T, path, dir string, args []string, vars ...string) (out, errs string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var o, e strings.Builder
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, stack.Environment(vars...), &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s %q does not end\n%s", filepath.Base(path), args, &e)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// shell runs a line as a person types it, in a folder where ./bin/ragbus is the program.
func shell(t *testing.T, dir, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -e -o pipefail\n"+line)
	cmd.Dir, cmd.Env = dir, stack.Environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", line, err, out)
	}
	return string(out)
}

// checkout is a folder like the repository, as far as commands need it.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	must(t, os.Symlink(binary(t), filepath.Join(dir, "bin", "ragbus")))
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "README.md"), readme, 0o644))
	must(t, os.CopyFS(filepath.Join(dir, "docs"), os.DirFS(filepath.Join(root(t), "docs"))))
	must(t, os.CopyFS(filepath.Join(dir, "cmd", "ragbus", "sample"), os.DirFS(filepath.Join(root(t), "cmd", "ragbus", "sample"))))
	return dir
}

// TestTheFirstMinute is what a stranger sees: an answer with citations,
// commands that work as they are printed, an end, and a second start.
func TestTheFirstMinute(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	data := filepath.Join(dir, "data")
	p := serve(t, data, []string{"--sample"})
	t.Logf("first start, with the sample library and its answer: %s", p.readyAfter.Round(time.Millisecond))
	for _, want := range []string{"solar-report-2025.pdf", "travel-policy.md", "Q: ", "A: ", "668,400", "[1] ", "page 1", "Ctrl-C ends it."} {
		if !strings.Contains(p.out, want) {
			t.Errorf("the program does not print %q:\n%s", want, p.out)
		}
	}
	var commands []string
	for line := range strings.Lines(p.out) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "./bin/ragbus") || strings.HasPrefix(line, "curl") {
			commands = append(commands, line)
		}
	}
	if len(commands) != 3 {
		t.Fatalf("the program prints %d commands, not 3:\n%s", len(commands), p.out)
	}
	wants := []string{"six months", "documents are in", "Oslo"}
	for i, command := range commands {
		out := shell(t, dir, command)
		if !strings.Contains(out, wants[i]) {
			t.Errorf("%s\nprints nothing of %q:\n%s", command, wants[i], out)
		}
	}
	a := newAPI(t, p.url)
	documents := all[document](a, "/v1/documents", 100)
	chats := all[conversation](a, "/v1/conversations", 100)
	before := a.search(map[string]any{"query": "hotel in Oslo"})
	t.Logf("stopped in %s", p.interrupt().Round(time.Millisecond))

	again := serve(t, data, []string{"--sample"})
	t.Logf("second start: %s", again.readyAfter.Round(time.Millisecond))
	if strings.Contains(again.out, "Ingesting") || strings.Contains(again.out, "Q: ") {
		t.Errorf("the second start begins anew:\n%s", again.out)
	}
	if again.readyAfter > 10*time.Second {
		t.Errorf("the second start took %s", again.readyAfter)
	}
	a = newAPI(t, again.url)
	same(t, "documents after a restart", all[document](a, "/v1/documents", 100), documents)
	same(t, "conversations after a restart", all[conversation](a, "/v1/conversations", 100), chats)
	same(t, "passages after a restart", a.search(map[string]any{"query": "hotel in Oslo"}).Passages, before.Passages)
	again.interrupt()
}

// TestAFirstStartThatFailedIsNoFirstStart: the port was taken, and after that
// is mended the sample library must still come.
func TestAFirstStartThatFailedIsNoFirstStart(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	other := serve(t, filepath.Join(t.TempDir(), "data"), nil)
	addr := strings.TrimPrefix(other.url, "http://")
	_, errs, code := run(t, t.TempDir(), []string{"serve", "--sample"}, "RAGBUS_DATA_DIR", data, "RAGBUS_HTTP_ADDR", addr)
	if code != 2 || !strings.Contains(errs, "RAGBUS_HTTP_ADDR") || !strings.Contains(errs, addr) || !strings.Contains(errs, "in use") {
		t.Errorf("on a taken port: exit code %d, %s", code, errs)
	}
	p := serve(t, data, []string{"--sample"})
	if !strings.Contains(p.out, "668,400") {
		t.Errorf("the sample library is not shown:\n%s", p.out)
	}
	newAPI(t, other.url).get("/readyz").want(http.StatusOK)
}

func TestPortIsHonoured(t *testing.T) {
	t.Parallel()
	p := serve(t, filepath.Join(t.TempDir(), "data"), nil, "RAGBUS_HTTP_ADDR", "", "PORT", "0")
	if !strings.HasPrefix(p.url, "http://127.0.0.1:") || strings.HasSuffix(p.url, ":8080") {
		t.Errorf("with PORT=0 the server listens on %s", p.url)
	}
	newAPI(t, p.url).get("/readyz").want(http.StatusOK)
	if took := p.interrupt(); took > 20*time.Second {
		t.Errorf("stopping took %s", took)
	}
}
