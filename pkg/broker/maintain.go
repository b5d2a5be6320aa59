package broker

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// maintainTimeout bounds one round of restoring the topology.
const maintainTimeout = 30 * time.Second

// maintainPause is how long after a failed round the next one begins.
const maintainPause = 5 * time.Second

// Maintain applies the topology, and again whenever the connection comes
// back, until ctx ends: a server that stands alone has lost its memory streams
// when it restarts, and nobody else would make them again. It must not run
// where another owner creates the resources. It returns nil.
func Maintain(ctx context.Context, conn *Conn, t Topology, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	back := conn.nats.StatusChanged(nats.CONNECTED)
	defer conn.nats.RemoveStatusListener(back)
	for {
		var again <-chan time.Time
		if err := restore(ctx, conn, t); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "restore streams and consumers", slog.Any("error", err))
			again = time.After(maintainPause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-back:
		case <-again:
		}
	}
}

func restore(ctx context.Context, conn *Conn, t Topology) error {
	ctx, cancel := context.WithTimeout(ctx, maintainTimeout)
	defer cancel()
	return Ensure(ctx, conn.js, t)
}
