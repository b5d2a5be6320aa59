package reply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// replayIdle is after how long without a reader the broker forgets a replay.
const replayIdle = 30 * time.Second

// Reader reads the frames of one request from the stream.
type Reader struct {
	messages jetstream.MessagesContext
	nc       *nats.Conn
	breaks   uint64
}

// Replay returns a reader of every frame that the broker still has of a
// request, from the first on, whichever gateway it was meant for, and then of
// those to come. Frames are kept for five minutes. Close the reader.
func Replay(ctx context.Context, js jetstream.JetStream, request string) (*Reader, error) {
	if err := corpus.CheckToken("request", request); err != nil {
		return nil, err //nolint:wrapcheck // says what is wrong
	}
	breaks := js.Conn().Stats().Reconnects
	consumer, err := js.OrderedConsumer(ctx, broker.StreamFrames, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{Subject("*", request)}, DeliverPolicy: jetstream.DeliverAllPolicy,
		InactiveThreshold: replayIdle, MaxResetAttempts: 3,
	})
	if err != nil {
		return nil, fault.Transientf("broker_unavailable", "the message broker cannot be reached").
			WithCause(fmt.Errorf("replay: %w", err))
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, fault.Transientf("broker_unavailable", "the message broker cannot be reached").
			WithCause(fmt.Errorf("replay: %w", err))
	}
	return &Reader{messages, js.Conn(), breaks}, nil
}

// Next returns the next frame. It waits for one until ctx ends. What is on
// the subject and no frame is skipped. After a broken connection it returns
// [ErrMissed], once ctx has ended if nothing comes: frames are kept in the
// broker's memory, which may have begun to count anew.
func (r *Reader) Next(ctx context.Context) (Frame, error) {
	for {
		m, err := r.messages.Next(jetstream.NextContext(ctx))
		switch {
		case r.nc.Stats().Reconnects != r.breaks:
			return Frame{}, ErrMissed
		case err == nil:
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return Frame{}, ErrClosed
		case ctx.Err() != nil:
			return Frame{}, fmt.Errorf("wait for a frame: %w", context.Cause(ctx))
		default:
			return Frame{}, fault.Transientf("broker_unavailable", "the message broker cannot be reached").
				WithCause(fmt.Errorf("replay: %w", err))
		}
		if f, err := readFrame(m.Subject(), m.Headers(), m.Data()); err == nil {
			return f, nil
		}
	}
}

// Close ends the reader. It may be called more than once.
func (r *Reader) Close() { r.messages.Stop() }

// Source is where frames come from: an [Inbox] or a [Reader].
type Source interface {
	Next(ctx context.Context) (Frame, error)
}

var (
	_ Source = (*Inbox)(nil)
	_ Source = (*Reader)(nil)
)

// discard is the logger of those who were given none.
func discard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
