package cli

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// output is standard output. Commands print without looking at the outcome:
// it remembers what went wrong, for the end, and whether a line is open.
type output struct {
	to io.Writer

	mu   sync.Mutex
	err  error
	open bool
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.to.Write(p)
	if n > 0 {
		o.open = p[n-1] != '\n'
	}
	if o.err == nil {
		o.err = err
	}
	return n, err //nolint:wrapcheck // a writer adds nothing to another's error
}

// finish ends an open line, so that what follows on standard error begins its
// own, and returns the first error, nil when the reader has merely gone away.
func (o *output) finish() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open && o.err == nil {
		_, o.err = io.WriteString(o.to, "\n")
		o.open = false
	}
	if errors.Is(o.err, syscall.EPIPE) || errors.Is(o.err, io.ErrClosedPipe) {
		return nil
	}
	return o.err
}
