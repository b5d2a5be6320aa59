package worker

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/ragbus/ragbus/pkg/event"
)

// panicked is a panic as an error; the stack is for the log alone.
type panicked struct {
	what  string
	stack string
}

func (p *panicked) Error() string { return "panic: " + p.what }

// protect turns a panic into an error. Its value is named only when it is an
// error of the runtime or of ours, for it might hold content.
func protect(run func() ([]event.Event, error)) (results []event.Event, err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		p := &panicked{what: fmt.Sprintf("a %T", r), stack: trimmedStack(string(debug.Stack()))}
		if e, ok := r.(error); ok {
			p.what = e.Error()
		}
		results, err = nil, p
	}()
	return run()
}

// trimmedStack drops the frames of the recovery and keeps at most 4 KiB.
func trimmedStack(stack string) string {
	if i := strings.Index(stack, "panic("); i >= 0 {
		stack = stack[i:]
	}
	if len(stack) > 4096 {
		stack = stack[:4096]
	}
	return stack
}
