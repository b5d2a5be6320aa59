// Command qdrant-standin serves the stand-in of package qdranttest, for
// end-to-end tests on machines without a Qdrant server:
//
//	qdrant-standin -listen 127.0.0.1:6334 -journal /tmp/standin.journal
//
// It prints "listening on ADDRESS" once it answers, and stops on SIGTERM.
// QDRANT_API_KEY, when set, is the key that clients must send.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "qdrant-standin:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	listen := flag.String("listen", "127.0.0.1:6334", "address to listen on")
	journal := flag.String("journal", "", "file that keeps every change; none when empty")
	version := flag.String("version", qdranttest.Version, "release to behave as")
	flag.Parse()
	s, err := qdranttest.New(qdranttest.Options{Version: *version, APIKey: os.Getenv("QDRANT_API_KEY"), Journal: *journal})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Println("listening on", l.Addr())
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err = <-served:
		return err
	case <-ctx.Done():
	}
	if err := s.Stop(); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return <-served
}
