// Package cli is the command line of Ragbus: everything but serving goes
// through the public HTTP API of a running server.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/process"
)

// Exit codes of every command.
const (
	ExitOK    = 0
	ExitError = 1
	ExitUsage = 2
)

// callerVariable holds the credential that commands send to the server: as an
// argument every process of the machine could read it.
const callerVariable = "RAGBUS_API_KEY"

// errFailed ends a command with [ExitError] after it has said why.
var errFailed = errors.New("failed")

// UsageError is an error of the caller's: it ends with [ExitUsage].
type UsageError struct{ Err error }

// Error returns the cause's text.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e UsageError) Unwrap() error { return e.Err }

// IO is what a command reads and writes.
type IO struct {
	Vars   config.Vars
	Out    io.Writer
	Err    io.Writer
	Colour bool
}

// app is what the commands share.
type app struct {
	io     IO
	server string
	json   bool
}

// Program is what main gives the command line, which does not know the services.
type Program struct {
	Version string
	// Serve runs the server.
	Serve func(ctx context.Context, vars config.Vars, out, log io.Writer, sample bool) error
	// Settings lists the effective settings, with the problem that they have.
	Settings func(config.Vars) ([]config.Setting, error)
	Operator Operator
}

// Run executes one command line and returns the exit code.
func Run(ctx context.Context, std IO, args []string, p Program) int {
	out := &output{to: std.Out}
	std.Out = out
	a := &app{io: std}
	root := &cobra.Command{
		Use:   "ragbus",
		Short: "Answers from your documents, with citations that hold",
		Long: `Ragbus answers questions from your own documents, with citations that hold.

Start a server with "ragbus serve", then feed it and ask it:

  ragbus ingest ./handbook
  ragbus ask "how many days of leave do I have?"

A server with RAGBUS_AUTH=keys or jwt is sent the credential in RAGBUS_API_KEY.`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetArgs(args)
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return UsageError{err} })
	root.PersistentFlags().StringVar(&a.server, "server", "http://127.0.0.1:8080", "address of the server")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON instead of text")
	root.AddCommand(a.serveCommand(p.Serve), a.ingestCommand(), a.askCommand(), a.searchCommand(), a.documentsCommand(), a.deadCommand(),
		a.statusCommand(), a.topologyCommand(p.Operator), a.migrateCommand(p.Operator), a.reindexCommand(p.Operator), a.verifyCommand(p.Operator), a.keysCommand(p.Operator), a.configCommand(p.Settings),
		a.versionCommand(p.Version))
	root.SetHelpCommand(helpCommand())
	return exit(root.ExecuteContext(ctx), out, std.Err)
}

// exit says what went wrong and returns the exit code.
func exit(err error, out *output, errs io.Writer) int {
	unprinted := out.finish()
	if unprinted != nil && (err == nil || errors.Is(err, errFailed)) {
		err = fmt.Errorf("print: %w", unprinted)
	}
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errFailed):
		return ExitError
	}
	fmt.Fprintln(errs, "ragbus:", plain(err.Error()))
	if isUsage(err) || process.NeedsOperator(err) {
		return ExitUsage
	}
	return ExitError
}

// isUsage reports whether the caller has to write something else: what a
// command or the server refused, or cobra, whose complaints have no type.
func isUsage(err error) bool {
	if _, ok := errors.AsType[UsageError](err); ok {
		return true
	}
	if p, ok := errors.AsType[*client.Problem](err); ok {
		return p.Status == http.StatusBadRequest
	}
	for _, start := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires at least"} {
		if len(err.Error()) >= len(start) && err.Error()[:len(start)] == start {
			return true
		}
	}
	return false
}

// helpCommand replaces cobra's, which takes a misspelt command for success.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about a command", Example: "  ragbus help ask",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return UsageError{err}
			}
			if len(rest) > 0 {
				return UsageError{fmt.Errorf("unknown command %q for %q", rest[0], about.CommandPath())}
			}
			return about.Help() //nolint:wrapcheck // what could not be printed is reported at the end
		},
	}
}

// onlyWith makes a command that has others below it runnable, so that a
// misspelt one is an error and not help.
func onlyWith(names string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return UsageError{fmt.Errorf("unknown command %q for %q; it has %s", args[0], cmd.CommandPath(), names)}
		}
		return cmd.Help() //nolint:wrapcheck // what could not be printed is reported at the end
	}
}

// call runs do with a client of the chosen server.
func (a *app) call(do func(*client.Client) error) error {
	c, err := client.New(a.server)
	if err != nil {
		return UsageError{err}
	}
	defer c.Close()
	c.Authorize(a.io.Vars[callerVariable])
	return do(c)
}

// print writes v as JSON when asked for, else as text.
func (a *app) print(v any, text func(io.Writer)) error {
	if !a.json {
		text(a.io.Out)
		return nil
	}
	enc := json.NewEncoder(a.io.Out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// dim and bold mark text on a terminal that shows it.
func (a *app) dim(s string) string  { return a.mark("2", s) }
func (a *app) bold(s string) string { return a.mark("1", s) }

func (a *app) mark(code, s string) string {
	if !a.io.Colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (a *app) serveCommand(serve func(ctx context.Context, vars config.Vars, out, log io.Writer, sample bool) error) *cobra.Command {
	var sample bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run all four services in this process, on embedded parts",
		Long: `Run gateway, retriever, generator and ingestor in this process. Without settings everything is embedded: the
message broker, the database, the index, the embedding model. "ragbus config" lists the settings.`,
		Example: "  ragbus serve\n  RAGBUS_HTTP_ADDR=127.0.0.1:9000 RAGBUS_DATA_DIR=/var/lib/ragbus ragbus serve",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), a.io.Vars, a.io.Out, a.io.Err, sample)
		},
	}
	c.Flags().BoolVar(&sample, "sample", false, "on an empty data directory, ingest a small sample library and ask it a question")
	return c
}

func (a *app) versionCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  ragbus version --json", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.print(map[string]string{"version": version}, func(w io.Writer) { fmt.Fprintln(w, "ragbus", version) })
		},
	}
}

func (a *app) configCommand(settings func(config.Vars) ([]config.Setting, error)) *cobra.Command {
	return &cobra.Command{
		Use: "config", Short: "Print the effective settings, secrets redacted", Example: "  ragbus config", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			list, problem := settings(a.io.Vars)
			err := a.print(list, func(w io.Writer) {
				for _, s := range list {
					value := s.Value
					if value == "" {
						value = a.dim("(not set)")
					}
					line := fmt.Sprintf("%-32s %s", s.Name, value)
					if s.Source != "default" && s.Source != s.Name {
						line += a.dim(" from " + s.Source)
					}
					fmt.Fprintln(w, line)
				}
			})
			if problem != nil {
				return UsageError{problem}
			}
			return err
		},
	}
}
