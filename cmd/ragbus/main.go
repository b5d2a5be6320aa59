// Command ragbus is Ragbus on one machine, and the operator's tool: it
// serves all four services in one process, feeds and asks a server, and looks
// after it.
package main

import (
	"context"
	"embed"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/cli"
	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/process"
	"github.com/ragbus/ragbus/services/ingestor"
)

// version is set by the linker.
var version = "dev"

//go:embed sample
var sample embed.FS

func main() {
	if ingestor.IsExtractionChild() {
		os.Exit(ingestor.ExtractionChild(os.Stdin, os.Stdout))
	}
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks to stop; from then on a second one kills.
	context.AfterFunc(ctx, stop)
	vars := config.Environ(os.Environ())
	std := cli.IO{
		Vars: vars, Out: os.Stdout, Err: os.Stderr,
		Colour: term.IsTerminal(int(os.Stdout.Fd())) && vars["NO_COLOR"] == "",
	}
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	return cli.Run(ctx, std, os.Args[1:], cli.Program{
		Version: version, Serve: serve,
		Settings: func(vars config.Vars) ([]config.Setting, error) { return server.Settings(vars, terminal) },
		Operator: server.Operator{Vars: vars, Log: os.Stderr, Terminal: terminal},
	})
}

func serve(ctx context.Context, vars config.Vars, out, log io.Writer, withSample bool) error {
	o := server.Options{Version: version, Out: out, Log: log, Terminal: term.IsTerminal(int(os.Stderr.Fd()))}
	if withSample {
		library, err := fs.Sub(sample, "sample")
		if err != nil {
			return err
		}
		o.Sample = library
	}
	defer process.TuneMemory(vars)()
	return server.Serve(ctx, vars, o)
}
