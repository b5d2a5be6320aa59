// Command storm runs package storm: `make storm` builds what it needs and starts it.
//
//	storm -tools .cache/e2e -seed 7 -documents 2000 -chats 2000 -duration 5m -fault-every 1s -mode replicas
//
// Its exit code is 1 when a promise was broken.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/storm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	cfg := storm.Config{Out: os.Stdout}
	flag.Uint64Var(&cfg.Seed, "seed", uint64(time.Now().UnixNano()), "what is sent and what is disturbed")
	flag.StringVar(&cfg.Mode, "mode", storm.ModeReplicas, "replicas or serve")
	flag.IntVar(&cfg.Documents, "documents", 2000, "how many documents")
	flag.IntVar(&cfg.Chats, "chats", 2000, "how many questions")
	flag.IntVar(&cfg.Tenants, "tenants", 3, "how many tenants share them; more than one have keys")
	flag.DurationVar(&cfg.Duration, "duration", 5*time.Minute, "how long documents and questions are sent")
	flag.DurationVar(&cfg.FaultEvery, "fault-every", time.Second, "the pause between two faults")
	flag.DurationVar(&cfg.Settle, "settle", 3*time.Minute, "how long everything may take to come to rest")
	flag.StringVar(&cfg.Tools, "tools", os.Getenv("RAGBUS_E2E_TOOLS"), "the folder of the programs")
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // clients of stores tell there what everybody knows
	err := storm.Run(ctx, cfg)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}
