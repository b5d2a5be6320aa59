// Embedserver runs package embedserver as a process: embedding models for
// tests and load that know nothing and cost nothing.
//
//	embedserver -addr 127.0.0.1:9292 -key sk-test -behaviour '{"latency_ms":50}'
//
// It prints "listening on http://…" when it is ready, and ends on SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/ragbus/ragbus/pkg/embed/embedtest/embedserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embedserver:", err)
		stop()
		os.Exit(2) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("embedserver", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:0", "where to listen; port 0 takes a free one")
	key := flags.String("key", "", "the API key to ask for; none when empty")
	behaviour := flags.String("behaviour", "{}", "how to answer, as JSON; PUT /behaviour changes it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var b embedserver.Behaviour
	d := json.NewDecoder(strings.NewReader(*behaviour))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return fmt.Errorf("read -behaviour: %w", err)
	}
	s, err := embedserver.New(*key, b)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", *addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintf(out, "listening on http://%s\n", l.Addr())
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		// Batches in progress may hang on purpose: nobody waits for them.
		err = errors.Join(server.Close(), <-ended)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
