package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
)

const (
	// strandedAfter is how long a message is seen below the floor of its
	// consumer before it counts as stranded: the server takes out what was
	// acknowledged a moment after it has noted so, in a cluster by a vote.
	strandedAfter = 20 * time.Second
	// strandedAtOnce bounds what one look reads for each consumer.
	strandedAtOnce = 100
)

// Stranded frees messages that a work queue holds and nobody will get, because
// their consumer counts them as done. A server that was killed can come back
// with such: the states of a queue and of its consumers are not written
// together. Whether one was worked on cannot be told from outside, but nothing
// is done twice: work is published once more, under another message id, and
// what the server says of work is settled on the spot. Then it is removed.
//
// It is for one goroutine of one process at a time; two do no harm.
type Stranded struct {
	js        jetstream.JetStream
	log       *slog.Logger
	stream    string
	consumers []string
	// free sees to it that what a message asks for is done, and says how.
	free func(ctx context.Context, m *jetstream.RawStreamMsg, now time.Time) (became string, err error)
	// since is when each message was first seen where it should not be.
	since map[stored]time.Time
}

// stored tells a message from another that got its number later.
type stored struct {
	sequence uint64
	at       int64
}

// NewStranded returns one for a queue of work and its consumers, which gives
// it out again. log may be nil.
func NewStranded(js jetstream.JetStream, log *slog.Logger, stream string, consumers ...string) *Stranded {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	publisher := broker.NewPublisher(js)
	return &Stranded{
		js: js, log: log, stream: stream, consumers: consumers, since: map[stored]time.Time{},
		free: func(ctx context.Context, m *jetstream.RawStreamMsg, now time.Time) (string, error) {
			return giveOutAgain(ctx, publisher, m, now)
		},
	}
}

// Stranded returns one for the queue of advisories.
func (f *Forsaken) Stranded() *Stranded {
	return &Stranded{
		js: f.js, log: f.log, stream: broker.StreamAdvisories, consumers: []string{broker.ConsumerForsaken}, since: map[stored]time.Time{},
		free: func(ctx context.Context, m *jetstream.RawStreamMsg, _ time.Time) (string, error) {
			return "was settled", f.bury(ctx, m.Subject, m.Data)
		},
	}
}

// Look looks once, and frees what an earlier look, at least 20 seconds before
// now, has seen already. It returns how many those were.
// Called every now and then it finds all; an empty or healthy queue costs it
// one request, and one for each consumer.
func (s *Stranded) Look(ctx context.Context, now time.Time) (int, error) {
	stream, err := s.js.Stream(ctx, s.stream)
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", s.stream, err)
	}
	seen := map[stored]time.Time{}
	given := 0
	if state := stream.CachedInfo().State; state.Msgs > 0 {
		for _, name := range s.consumers {
			consumer, err := stream.Consumer(ctx, name)
			if err != nil {
				return given, fmt.Errorf("look at %s of %s: %w", name, s.stream, err)
			}
			info := consumer.CachedInfo()
			for _, subject := range subjects(info.Config) {
				n, err := s.below(ctx, stream, subject, state.FirstSeq, info.AckFloor.Stream, now, seen)
				given += n
				if err != nil {
					return given, err
				}
			}
		}
	}
	s.since = seen
	return given, nil
}

func subjects(c jetstream.ConsumerConfig) []string {
	if len(c.FilterSubjects) > 0 {
		return c.FilterSubjects
	}
	return []string{cmp.Or(c.FilterSubject, ">")}
}

// below handles the messages of a subject from one sequence up to the floor of its consumer.
func (s *Stranded) below(
	ctx context.Context, stream jetstream.Stream, subject string, from, floor uint64, now time.Time, seen map[stored]time.Time,
) (given int, err error) {
	for range strandedAtOnce {
		if from > floor {
			return given, nil
		}
		m, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return given, nil
		}
		if err != nil {
			return given, fmt.Errorf("look into %s: %w", s.stream, err)
		}
		if m.Sequence > floor {
			return given, nil
		}
		from = m.Sequence + 1
		key := stored{m.Sequence, m.Time.UnixNano()}
		since, known := s.since[key]
		if !known {
			since = now
		}
		seen[key] = since
		if now.Sub(since) < strandedAfter {
			continue
		}
		if err := s.takeOut(ctx, stream, m, now); err != nil {
			return given, err
		}
		delete(seen, key)
		given++
	}
	return given, nil
}

// takeOut frees a message and takes it out of its place.
func (s *Stranded) takeOut(ctx context.Context, stream jetstream.Stream, m *jetstream.RawStreamMsg, now time.Time) error {
	became, err := s.free(ctx, m, now)
	if err != nil {
		return fmt.Errorf("free a stranded message: %w", err)
	}
	s.log.WarnContext(ctx, "its queue held a message that nobody would get", slog.String("became", became), slog.String("stream", s.stream),
		slog.String("subject", m.Subject), slog.Uint64("sequence", m.Sequence), slog.String("event_id", m.Header.Get(event.HeaderMsgID)))
	if err := stream.DeleteMsg(ctx, m.Sequence); err != nil && !gone(err) {
		return fmt.Errorf("take a stranded message out of its place: %w", err)
	}
	return nil
}

// giveOutAgain publishes a message once more. What is past its deadline is
// not, as the server would have dropped it.
func giveOutAgain(ctx context.Context, publisher *broker.Publisher, m *jetstream.RawStreamMsg, now time.Time) (became string, err error) {
	id := "stranded." + strconv.FormatUint(m.Sequence, 10) + "." + strconv.FormatInt(m.Time.UnixNano(), 36)
	deadline, _ := time.Parse(time.RFC3339Nano, m.Header.Get(event.HeaderDeadline))
	if !deadline.IsZero() && !now.Before(deadline) {
		return "was taken out, past its deadline", nil
	}
	h := Again(m.Header, id, deadline, now)
	if h.Get(HeaderFirstStored) == "" {
		h[HeaderFirstStored] = []string{m.Time.UTC().Format(time.RFC3339Nano)}
	}
	_, err = publisher.Store(ctx, &nats.Msg{Subject: m.Subject, Header: h, Data: m.Data})
	return "was given out again", err //nolint:wrapcheck // wrapped by the caller
}
