// Serve runs a small real language model on this machine and prints how to
// use it:
//
//	go run ./internal/localmodel/serve -addr 127.0.0.1:8081
//
// The first time it downloads 127 MB into -cache.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/localmodel"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	addr := flags.String("addr", "127.0.0.1:8081", "where to listen")
	dir := flags.String("cache", filepath.Join(cache, "ragbus", "localmodel"), "where server and model are kept")
	key := flags.String("key", "", "the API key to ask for; none when empty")
	threads := flags.Int("threads", 1, "threads that compute")
	verbose := flags.Bool("v", false, "show what llama.cpp says")
	if err := flags.Parse(args); err != nil {
		return err
	}
	files, err := localmodel.Fetch(ctx, *dir, log)
	if err != nil {
		return err
	}
	said := log
	if !*verbose {
		said = io.Discard
	}
	p, err := localmodel.Start(ctx, files, localmodel.Options{Addr: *addr, Key: *key, Threads: *threads, Log: said})
	if err != nil {
		return err
	}
	defer p.Stop()
	if err := p.Ready(ctx); err != nil {
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
	fmt.Fprintf(out, "RAGBUS_LLM=openai RAGBUS_OPENAI_BASE_URL=%s RAGBUS_LLM_MODEL=%s\n", p.BaseURL, localmodel.ModelName)
	select {
	case <-ctx.Done():
		return nil
	case <-p.Ended():
		return localmodel.ErrEnded
	}
}
