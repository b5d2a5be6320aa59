package broker_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
)

func TestMemoryStreamsComeBackWithTheServer(t *testing.T) {
	t.Parallel()
	b := brokertest.StartTCP(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	conn := b.Connect()
	go func() { done <- broker.Maintain(ctx, conn, b.Topology, slog.New(slog.NewTextHandler(t.Output(), nil))) }()
	b.Restart()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for broker.Verify(t.Context(), b.JS, b.Topology) != nil {
		select {
		case <-poll.C:
		case <-limit.C:
			t.Fatal(broker.Verify(t.Context(), b.JS, b.Topology))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
