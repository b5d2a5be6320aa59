package worker

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// The payloads by which a delivery is settled (NATS ADR-13, ADR-15). They
// are written here because deliveries come over subscriptions of our own.
const (
	wireAck        = "+ACK"
	wireInProgress = "+WPI"
	wireNak        = "-NAK "
	wireTerm       = "+TERM "
)

// delivered is what the broker says about a delivery.
type delivered struct {
	sequence uint64
	attempt  int
	storedAt time.Time
}

func readDelivered(m *nats.Msg) (delivered, error) {
	meta, err := m.Metadata()
	if err != nil {
		return delivered{}, fmt.Errorf("read the delivery's metadata: %w", err)
	}
	attempt := int(min(meta.NumDelivered, 1<<30))
	return delivered{sequence: meta.Sequence.Stream, attempt: attempt, storedAt: meta.Timestamp}, nil
}

// confirm settles a delivery and waits until the broker has it.
func confirm(ctx context.Context, nc *nats.Conn, m *nats.Msg, payload string) error {
	if _, err := nc.RequestWithContext(ctx, m.Reply, []byte(payload)); err != nil {
		return fmt.Errorf("confirm %.5q: %w", payload, err)
	}
	return nil
}

// nak gives a delivery back. There is no form without a delay: that one
// comes back at once and burns every attempt within milliseconds.
func nak(nc *nats.Conn, m *nats.Msg, delay time.Duration) error {
	payload := wireNak + `{"delay": ` + strconv.FormatInt(int64(max(delay, minDelay)), 10) + "}"
	if err := nc.Publish(m.Reply, []byte(payload)); err != nil {
		return fmt.Errorf("give back: %w", err)
	}
	return nil
}
