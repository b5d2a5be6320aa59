package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Child is a program that is started, stopped, killed and started again. Set
// the exported fields before [Child.Launch]. Its methods may be called from
// several goroutines, but only one at a time may change whether it runs.
type Child struct {
	Name string
	Path string
	Args []string
	// Vars are environment variables, as name, value, name, value… Nothing
	// else is inherited but PATH, HOME and TMPDIR.
	Vars []string
	Dir  string
	// Probe is a URL that answers 200 when the program is ready, or a TCP
	// address that accepts connections then.
	Probe string
	Log   Tail

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// Environment is what a program inherits: nothing of ours.
func Environment(vars ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	for i := 0; i+1 < len(vars); i += 2 {
		env = append(env, vars[i]+"="+vars[i+1])
	}
	return env
}

// Launch starts the program. Nothing is waited for.
func (c *Child) Launch() error {
	cmd := exec.Command(c.Path, c.Args...) //nolint:noctx,gosec // it outlives every context: Kill and Stop end it
	cmd.Dir = c.Dir
	cmd.Env = Environment(c.Vars...)
	cmd.Stdout, cmd.Stderr = &c.Log, &c.Log
	cmd.WaitDelay = 5 * time.Second
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.Name, err)
	}
	ended := make(chan struct{})
	c.mu.Lock()
	c.cmd, c.ended, c.err = cmd, ended, nil
	c.mu.Unlock()
	go func() {
		err := cmd.Wait()
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		close(ended)
	}()
	return nil
}

// Ended is closed when the program that was launched last has ended; nil before the first launch.
func (c *Child) Ended() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Err says how the program ended, nil for exit code 0.
func (c *Child) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Running reports whether the program was launched and has not ended.
func (c *Child) Running() bool {
	ended := c.Ended()
	if ended == nil {
		return false
	}
	select {
	case <-ended:
		return false
	default:
		return true
	}
}

// lookAgain is the pause between two looks at a program that starts.
const lookAgain = 20 * time.Millisecond

// Ready waits until the program answers, or has ended, which is an error.
func (c *Child) Ready(ctx context.Context) error {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		if c.Answers(ctx) {
			return nil
		}
		select {
		case <-c.Ended():
			return fmt.Errorf("%s ended: %w\n%s", c.Name, errors.Join(c.Err(), errEnded), &c.Log)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", c.Name, context.Cause(ctx), &c.Log)
		case <-again.C:
		}
	}
}

var errEnded = errors.New("it is not running")

// Answers asks the program's probe once.
func (c *Child) Answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !strings.HasPrefix(c.Probe, "http") {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.Probe)
		return err == nil && conn.Close() == nil
	}
	status, _ := Look(ctx, c.Probe, "")
	return status == http.StatusOK
}

// Signal sends a signal; a program that does not run gets none.
func (c *Child) Signal(s syscall.Signal) error {
	c.mu.Lock()
	cmd := c.cmd
	c.mu.Unlock()
	if cmd == nil || !c.Running() {
		return nil
	}
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", c.Name, err)
	}
	return nil
}

// Kill ends the program at once, as a crash of its machine does.
func (c *Child) Kill() {
	if err := c.Signal(syscall.SIGKILL); err == nil && c.Ended() != nil {
		<-c.Ended()
	}
}

// Stop asks the program to end, and waits until it has.
func (c *Child) Stop(ctx context.Context) error {
	if err := c.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if c.Ended() == nil {
		return nil
	}
	select {
	case <-c.Ended():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s goes on after SIGTERM: %w", c.Name, context.Cause(ctx))
	}
}

// PID returns the process's id, 0 when none was launched.
func (c *Child) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil || c.cmd.Process == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

// Look asks a URL, with a key when it is not "", and returns what it says, 0
// when nobody answers.
func Look(ctx context.Context, at, key string) (status int, body []byte) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, nil
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

// Ports that no system gives to outgoing connections by default: a program
// that is killed finds its own free when it comes back.
const (
	firstPort = 12_000
	lastPort  = 30_000
)

// FreeAddress returns an address on the loopback that nobody listens on.
func FreeAddress(ctx context.Context) (string, error) {
	var last error
	for range 200 {
		at := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort))) //nolint:gosec // no secret
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at)
		if err != nil {
			last = err
			continue
		}
		return at, l.Close()
	}
	return "", fmt.Errorf("find a free port: %w", last)
}

// Tail keeps the end of what a program printed. The zero value is ready to
// use; it is safe for concurrent use.
type Tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const maxTail = 256 << 10

// Write implements [io.Writer].
func (l *Tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	if l.buf.Len() > 2*maxTail {
		l.buf.Next(l.buf.Len() - maxTail)
	}
	return len(p), nil
}

// Lines returns the lines that hold a word, oldest first.
func (l *Tail) Lines(word string) []string {
	var found []string
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, word) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func (l *Tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buf.Bytes()
	return string(b[max(0, len(b)-maxTail):])
}
