package storm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
)

// settled waits until nothing more happens to a document by itself.
func (c *client) settled(ctx context.Context, gateway int, id string) (document, error) {
	for {
		r := c.do(ctx, gateway, http.MethodGet, "/v1/documents/"+id+"?wait=10s", nil)
		var d document
		if r.ok() {
			if err := r.into(&d); err != nil {
				return d, err
			}
			if d.Status == "indexed" || d.Status == "failed" || d.Status == "deleted" {
				return d, nil
			}
		}
		if !pause(ctx, 50*time.Millisecond) {
			return d, fmt.Errorf("%s is not settled: %s: %w", id, r, ctx.Err())
		}
	}
}

// settle waits until no document moves, no question waits and no queue holds
// anything. What is not at rest in time is a violation each.
func (s *storm) settle(ctx context.Context) error {
	st, err := s.shape.stores(ctx)
	if err != nil {
		return err
	}
	defer st.close()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Settle)
	defer cancel()
	var state string
	for {
		state, err = st.unrest(ctx)
		if err == nil && state == "" {
			return nil
		}
		if !pause(ctx, 500*time.Millisecond) {
			break
		}
	}
	s.found.violatef(5, nil, "after %s there is no rest: %s %v\n%s", s.cfg.Settle, state, errIfAny(err), st.waiting(context.WithoutCancel(ctx)))
	return nil
}

// waiting tells of each message that is left in a queue, and of the consumers
// that should have taken it, for whoever has to find out why.
func (st *stores) waiting(ctx context.Context) string {
	const most = 20
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var out strings.Builder
	left, err := st.queued(ctx)
	for name := range left {
		stream, openErr := st.js.Stream(ctx, name)
		if openErr != nil {
			err = errors.Join(err, openErr)
			continue
		}
		state := stream.CachedInfo().State
		fmt.Fprintf(&out, "%s: %d messages from %d to %d\n", name, state.Msgs, state.FirstSeq, state.LastSeq)
		consumers := stream.ListConsumers(ctx)
		for c := range consumers.Info() {
			fmt.Fprintf(&out, "  %s: delivered %d, floor %d, pending %d, unacknowledged %d, redelivered %d, pulls %d\n",
				c.Name, c.Delivered.Stream, c.AckFloor.Stream, c.NumPending, c.NumAckPending, c.NumRedelivered, c.NumWaiting)
		}
		err = errors.Join(err, consumers.Err())
		shown := 0
		for seq := state.FirstSeq; seq <= state.LastSeq && shown < most && ctx.Err() == nil; seq++ {
			m, getErr := stream.GetMsg(ctx, seq)
			if getErr != nil {
				continue // it is gone
			}
			shown++
			fmt.Fprintf(&out, "  %d %s, %s old, id %s: %.300s\n", seq, m.Subject, time.Since(m.Time).Round(time.Second), m.Header.Get("Nats-Msg-Id"), m.Data)
		}
	}
	if err != nil {
		fmt.Fprintf(&out, "  %v\n", err)
	}
	return out.String()
}

func errIfAny(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// unrest says what still moves, "" for nothing.
func (st *stores) unrest(ctx context.Context) (string, error) {
	var out []string
	for what, query := range map[string]string{
		"documents that move": "select count(*) from documents where status not in ('indexed', 'failed', 'deleted')",
		"questions that wait": "select count(*) from turns where status not in ('completed', 'failed', 'cancelled')",
	} {
		var n int
		if err := st.db.QueryRowContext(ctx, query).Scan(&n); err != nil {
			return "", fmt.Errorf("count %s: %w", what, err)
		}
		if n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, what))
		}
	}
	left, err := st.queued(ctx)
	if err != nil {
		return "", err
	}
	for stream, n := range left {
		out = append(out, fmt.Sprintf("%d messages in %s", n, stream))
	}
	return strings.Join(out, ", "), nil
}

// queued returns the work queues that are not empty.
func (st *stores) queued(ctx context.Context) (map[string]uint64, error) {
	out := map[string]uint64{}
	for _, name := range []string{broker.StreamChat, broker.StreamIngest, broker.StreamAdvisories} {
		s, err := st.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", name, err)
		}
		if n := s.CachedInfo().State.Msgs; n > 0 {
			out[name] = n
		}
	}
	return out, nil
}
