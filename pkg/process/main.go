package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/fault"
)

// The exit codes of a service.
const (
	exitOK       = 0
	exitFailed   = 1
	exitSettings = 2
)

// Environment is what a program gets from the outside.
type Environment struct {
	Vars config.Vars
	// Log is where logs go; Terminal says whether a person reads them there.
	Log      io.Writer
	Terminal bool
}

// Main calls run with a context that ends at SIGINT or SIGTERM and returns
// the exit code: 0 when run returned nil, 2 when it failed on what an
// operator has to look at (settings, credentials, a permission, a part that
// cannot be used at the start), 1 when it failed otherwise. What went wrong is
// one message on standard error. A second signal kills.
func Main(run func(ctx context.Context, env Environment) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	env := Environment{Vars: config.Environ(os.Environ()), Log: os.Stderr, Terminal: term.IsTerminal(int(os.Stderr.Fd()))}
	defer TuneMemory(env.Vars)()
	return exit(run(ctx, env), os.Stderr)
}

func exit(err error, to io.Writer) int {
	if err == nil || errors.Is(err, context.Canceled) {
		return exitOK
	}
	if errors.Is(err, ErrSettings) {
		fmt.Fprintf(to, "%v\n", err)
	} else {
		fmt.Fprintf(to, "%s\n", line(err))
	}
	if NeedsOperator(err) {
		return exitSettings
	}
	return exitFailed
}

// NeedsOperator reports whether a program failed on what an operator has to
// look at before it can succeed.
func NeedsOperator(err error) bool {
	return errors.Is(err, ErrSettings) || fault.Is(err, fault.Invalid) || backing.IsUnusable(err)
}

// line returns the text of an error in one line: drivers write several.
func line(err error) string {
	return strings.NewReplacer("\n\t", " ", ":\n", ": ", "\n", "; ", "\t", " ").Replace(err.Error())
}

// ErrSettings marks problems that the operator's settings have.
var ErrSettings = errors.New("the settings cannot be used")

// Settings loads the settings of a service. The error names every variable
// that is missing, unknown or wrong.
func Settings[T any](vars config.Vars) (T, error) {
	cfg, err := config.Load[T](vars)
	if err != nil {
		return cfg, fmt.Errorf("%w:\n%w", ErrSettings, err)
	}
	return cfg, nil
}
