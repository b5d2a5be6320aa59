package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// Range selects messages of a stream for [Browse].
type Range struct {
	Stream string
	// Subjects are filters that do not overlap; none is everything.
	Subjects []string
	// After is the sequence after which to begin; 0 begins with Since.
	After uint64
	// Since is when the first message was stored at the earliest; it counts when After is 0.
	Since time.Time
}

// Leaf is a message without its body.
type Leaf struct {
	Subject  string
	Header   nats.Header
	Sequence uint64
	StoredAt time.Time
	// Bytes is the size of the body.
	Bytes int
}

const (
	// browseBatch is how many messages are asked for at once.
	browseBatch = 256
	// browseIdle is after which the server forgets a reader that died.
	browseIdle = 30 * time.Second
	// browseWait bounds the wait for one batch.
	browseWait = 5 * time.Second
)

// headerSize is where the server writes the size of a body that it leaves out.
const headerSize = "Nats-Msg-Size"

// Browse shows visit the headers of messages, oldest first, until it returns
// false or there are no more. Nothing is taken from the stream, nothing is
// settled, and messages that come meanwhile may or may not be seen. A stream
// that does not answer is Transient.
func Browse(ctx context.Context, js jetstream.JetStream, r Range, visit func(Leaf) bool) (err error) {
	after := r.After
	if after == 0 && !r.Since.IsZero() {
		if after, err = before(ctx, js, r); err != nil {
			return err
		}
	}
	cfg := browser()
	cfg.FilterSubjects = r.Subjects
	if after > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, after+1
	}
	consumer, err := js.CreateConsumer(ctx, r.Stream, cfg)
	if err != nil {
		return fmt.Errorf("read %s: %w", r.Stream, unavailable(err))
	}
	defer forget(ctx, js, r.Stream, cfg.Name)
	for left := consumer.CachedInfo().NumPending; left > 0; {
		n, more, err := browse(ctx, consumer, visit)
		if err != nil {
			return fmt.Errorf("read %s: %w", r.Stream, unavailable(err))
		}
		if !more || n == 0 {
			return nil
		}
		left -= min(left, uint64(n))
	}
	return nil
}

// browser returns a consumer that settles nothing and is soon forgotten.
func browser() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name: "browse-" + corpus.NewID(), AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: browseIdle,
	}
}

// forget removes a consumer. Left behind, the server forgets it by itself.
func forget(ctx context.Context, js jetstream.JetStream, stream, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), browseWait)
	defer cancel()
	_ = js.DeleteConsumer(ctx, stream, name)
}

// before returns the sequence of the last message that was stored before
// r.Since. It is asked for without filters: with a start time and several
// filters nats-server 2.15.2 leaves out messages that belong to the answer.
func before(ctx context.Context, js jetstream.JetStream, r Range) (uint64, error) {
	cfg := browser()
	cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.Since
	consumer, err := js.CreateConsumer(ctx, r.Stream, cfg)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", r.Stream, unavailable(err))
	}
	forget(ctx, js, r.Stream, cfg.Name)
	return consumer.CachedInfo().Delivered.Stream, nil
}

// browse shows one batch and returns how many messages it had, and whether visit wants more.
func browse(ctx context.Context, consumer jetstream.Consumer, visit func(Leaf) bool) (n int, more bool, err error) {
	batch, err := consumer.FetchNoWait(browseBatch)
	if err != nil {
		return 0, false, err //nolint:wrapcheck // Browse wraps
	}
	more = true
	timer := time.NewTimer(browseWait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return n, false, ctx.Err() //nolint:wrapcheck // Browse wraps
		case <-timer.C:
			return n, false, errors.New("the broker does not answer")
		case m, ok := <-batch.Messages():
			if !ok {
				return n, more, batch.Error() //nolint:wrapcheck // Browse wraps
			}
			n++
			if !more {
				continue
			}
			leaf, err := leafOf(m)
			if err != nil {
				return n, false, err
			}
			more = visit(leaf)
		}
	}
}

func leafOf(m jetstream.Msg) (Leaf, error) {
	meta, err := m.Metadata()
	if err != nil {
		return Leaf{}, fmt.Errorf("read a message's metadata: %w", err)
	}
	l := Leaf{Subject: m.Subject(), Header: m.Headers(), Sequence: meta.Sequence.Stream, StoredAt: meta.Timestamp}
	// The header says it when the body was left out.
	if _, err := fmt.Sscan(m.Headers().Get(headerSize), &l.Bytes); err != nil {
		l.Bytes = len(m.Data())
	}
	return l, nil
}
