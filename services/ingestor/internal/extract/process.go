package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

const (
	// memoryEvery is how often the parent looks at a child's memory.
	memoryEvery = 20 * time.Millisecond
	// exitGrace is how long a child that said its last may take to exit, and
	// how long its pipes may stay open after that.
	exitGrace = 5 * time.Second
	// stderrHead is how much of a child's last words is kept for the log.
	stderrHead = 4 << 10
)

// process is a running child.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	stderr *words
}

// start starts a child with an empty environment (a document that takes a
// child over finds no secret in it) and the document as its one extra file.
// It is killed when ctx ends.
func (e *Extractor) start(ctx context.Context, src Source) (*process, error) {
	c := &process{stderr: &words{}}
	c.cmd = exec.CommandContext(ctx, e.program, childArg) //nolint:gosec // the own program
	c.cmd.Env = []string{
		"GOMEMLIMIT=" + strconv.FormatInt(e.limits.Memory/3*2, 10),
		"GOMAXPROCS=2",
		"GOTRACEBACK=single",
	}
	c.cmd.Dir = os.TempDir()
	c.cmd.ExtraFiles = []*os.File{src.File}
	c.cmd.Stderr = c.stderr
	c.cmd.SysProcAttr = ownGroup()
	c.cmd.WaitDelay = exitGrace
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("open a pipe to the extractor: %w", err)
	}
	if c.stdout, err = c.cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("open a pipe from the extractor: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the extractor: %w", err)
	}
	return c, nil
}

// ask sends the request. The pipe stays open: its end is the child's signal to go.
func (c *process) ask(req request) error {
	frames := newFrameWriter(c.stdin)
	if err := frames.write(frameRequest, req); err != nil {
		return err
	}
	if err := frames.flush(); err != nil {
		return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	return nil
}

// watch kills the child when its memory exceeds limit, until the returned function is called.
func (c *process) watch(ctx context.Context, limit int64, kill context.CancelCauseFunc) (stop func()) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if size, ok := resident(c.cmd.Process.Pid); ok && size > limit {
				kill(errMemory)
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// wait reaps the child, killing it if it does not go by itself in time.
func (c *process) wait(kill context.CancelCauseFunc) error {
	timer := time.AfterFunc(exitGrace, func() { kill(errOver) })
	defer timer.Stop()
	err := c.cmd.Wait()
	if err != nil {
		return fmt.Errorf("extractor: %w", err)
	}
	return nil
}

// breachError is the end of a child that broke a limit or crashed.
type breachError struct {
	code string
	// words complete "page 7 could not be read: …" and "the document could not be read: …".
	words string
	cause error
}

func (b *breachError) Error() string { return b.words }
func (b *breachError) Unwrap() error { return b.cause }

// fault returns the breach as the document's fault.
func (b *breachError) fault() error {
	return fault.Permanentf(b.code, "the document could not be read: %s", b.words).WithCause(b.cause)
}

func limitBreach(cause error, l Limits) error {
	b := &breachError{code: "extraction_timeout", cause: cause}
	switch {
	case errors.Is(cause, errMemory):
		b.code = "extraction_memory"
		b.words = fmt.Sprintf("it needs more than %d MB of memory", l.Memory>>20)
	case errors.Is(cause, errPageTime):
		b.words = fmt.Sprintf("it takes longer than %s", l.PageTime)
	default:
		b.words = fmt.Sprintf("the whole takes longer than %s", l.Time)
	}
	return b
}

// errGone says that a child ended without its last frame.
var errGone = errors.New("the extractor ended early")

// crash tells why a child ended without its last frame and without being killed by us.
func (c *process) crash(exit error, l Limits) error {
	last := c.stderr.String()
	cause := fmt.Errorf("%w; last words: %s", errors.Join(errGone, exit), last)
	code := c.cmd.ProcessState.ExitCode()
	overtime, byOthers := killed(c.cmd.ProcessState)
	switch {
	case code == exitMemory || strings.Contains(last, "out of memory") || strings.Contains(last, "cannot allocate memory"):
		return limitBreach(errors.Join(errMemory, cause), l)
	case overtime:
		return limitBreach(errors.Join(errTime, cause), l)
	case byOthers:
		// Someone else's doing, such as the kernel short of memory: not the document's fault until it happens again and again.
		return fault.Transientf("extraction_killed", "reading the document was interrupted; it will be tried again").WithCause(cause)
	}
	return crashBreach(cause)
}

func crashBreach(cause error) error {
	return &breachError{code: "extraction_crashed", words: "it is built in a way that breaks the reader", cause: cause}
}

// words keeps the first bytes written to it: a crash says why at the
// beginning of its trace.
type words struct {
	mu    sync.Mutex
	first bytes.Buffer
}

func (t *words) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := stderrHead - t.first.Len(); room > 0 {
		t.first.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (t *words) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.first.String())
}
