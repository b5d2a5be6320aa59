package e2e

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// toolsVariable names the folder of the programs that the tests of many
// processes start: ours, and nats-server. `make e2e` builds them and sets it.
const toolsVariable = "RAGBUS_E2E_TOOLS"

// needTools skips a test that starts a dozen processes, unless it is asked for.
func needTools(t *testing.T) {
	t.Helper()
	if os.Getenv(toolsVariable) == "" {
		t.Skipf("this test starts a dozen processes: run `make e2e`, which sets %s", toolsVariable)
	}
}

// tool returns the path of a program.
func tool(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(os.Getenv(toolsVariable), name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s: %v; `make e2e` builds it", toolsVariable, err)
	}
	return path
}

// child is a program that is started, stopped, killed and started again.
type child struct {
	name string
	path string
	args []string
	vars []string
	// probe is a URL that answers 200 when the program is ready, or a TCP
	// address that accepts connections then.
	probe string
	log   tail

	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// launch starts the program. Nothing is waited for.
func (c *child) launch(t testing.TB) {
	t.Helper()
	c.cmd = exec.Command(c.path, c.args...)
	c.cmd.Env = environment(c.vars...)
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.WaitDelay = 5 * time.Second
	dieWithUs(c.cmd)
	must(t, c.cmd.Start())
	ended := make(chan struct{})
	c.ended = ended
	cmd := c.cmd
	go func() {
		defer close(ended)
		c.err = cmd.Wait()
	}()
}

// ready waits until the program answers.
func (c *child) ready(t *testing.T) {
	t.Helper()
	eventually(t, c.name+" is ready", func() bool {
		select {
		case <-c.ended:
			t.Fatalf("%s ended: %v\n%s", c.name, c.err, &c.log)
		default:
		}
		return c.answers(t.Context())
	})
}

func (c *child) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !strings.HasPrefix(c.probe, "http") {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.probe)
		return err == nil && conn.Close() == nil
	}
	status, _ := look(ctx, c.probe)
	return status == http.StatusOK
}

// kill ends the program at once, as a crash of its machine does.
func (c *child) kill() {
	if c.cmd != nil {
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// stop asks the program to end, and waits until it has.
func (c *child) stop(t *testing.T) {
	t.Helper()
	must(t, c.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-c.ended:
	case <-time.After(patience):
		t.Fatalf("%s goes on after SIGTERM\n%s", c.name, &c.log)
	}
}

// freeAddress returns an address on the loopback that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}
