package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/fault"
)

// LostSubject begins the subject of what is told of a message whose own
// subject nobody knows any more; the stream's name follows.
const LostSubject = "lost."

// forsakenPull is how long one look for advisories waits for one.
const forsakenPull = 20 * time.Second

// removedReason is what the server says of a delivery whose message is gone:
// its time was over (Nats-TTL), it was acknowledged just before a crash of the
// server that only the queue remembers, or somebody purged the queue. Nobody
// gave that work up, and there is nothing left of it to keep.
const removedReason = "Unacknowledged message was deleted"

// Forsaken buries the work that the server gave up on instead of a worker:
// messages that reached a limit of deliveries which somebody set on their
// consumer, and messages that another client ended. The server says so once,
// in an advisory; a stream keeps those, so that none is lost while nobody
// listens. Any number of replicas share the work.
//
// A message at its limit stays in its queue, where no worker gets it any
// more: it is moved into a dead letter, bytes and all. One that was ended is
// gone; its letter tells the story only, and no tenant, for the advisory has none.
type Forsaken struct {
	js      jetstream.JetStream
	nc      *nats.Conn
	letters *broker.Publisher
	log     *slog.Logger
	cfg     Config
}

// NewForsaken returns one that does not listen yet. log may be nil.
func NewForsaken(js jetstream.JetStream, name string, log *slog.Logger) *Forsaken {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Forsaken{
		js: js, nc: js.Conn(), letters: broker.NewPublisher(js), log: log, cfg: Config{Name: place(name)}.WithDefaults(),
	}
}

// Run listens until ctx ends, and returns nil then. While the broker is away
// it tries again.
func (f *Forsaken) Run(ctx context.Context) error {
	for failures := 0; ctx.Err() == nil; {
		err := f.listen(ctx)
		if err == nil || ctx.Err() != nil {
			failures = 0
			continue
		}
		failures++
		f.log.WarnContext(ctx, "advisories cannot be read now", slog.Any("error", err))
		timer := time.NewTimer(retryDelay(failures, f.cfg, drawEvenly))
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
	return nil
}

// listen handles advisories until one look finds none or something fails.
func (f *Forsaken) listen(ctx context.Context) error {
	consumer, err := f.js.Consumer(ctx, broker.StreamAdvisories, broker.ConsumerForsaken)
	if err != nil {
		return fmt.Errorf("find the consumer of advisories: %w", err)
	}
	for {
		look, cancel := context.WithTimeout(ctx, forsakenPull)
		m, err := consumer.Next(jetstream.FetchContext(look))
		cancel()
		switch {
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoMessages), errors.Is(err, context.DeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("look for an advisory: %w", err)
		}
		if err := f.settle(context.WithoutCancel(ctx), m); err != nil {
			return err
		}
	}
}

// settle handles one advisory and acknowledges it, or gives it back.
func (f *Forsaken) settle(ctx context.Context, m jetstream.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.SettleTimeout)
	defer cancel()
	if err := f.bury(ctx, m.Subject(), m.Data()); err != nil {
		attempt := 1
		if meta, bad := m.Metadata(); bad == nil {
			attempt = int(min(meta.NumDelivered, 1<<10))
		}
		return errors.Join(err, m.NakWithDelay(retryDelay(attempt, f.cfg, drawEvenly)))
	}
	if err := m.DoubleAck(ctx); err != nil {
		return fmt.Errorf("acknowledge an advisory: %w", err)
	}
	return nil
}

// advisory is what the server says; see its JSConsumerDeliveryExceededAdvisory
// and JSConsumerDeliveryTerminatedAdvisory.
type advisory struct {
	Stream     string    `json:"stream"`
	Consumer   string    `json:"consumer"`
	Sequence   uint64    `json:"stream_seq"`
	Deliveries int       `json:"deliveries"`
	Reason     string    `json:"reason"`
	Time       time.Time `json:"timestamp"`
}

func readAdvisory(data []byte) (a advisory, ok bool) {
	err := json.Unmarshal(data, &a)
	return a, err == nil && a.Stream != "" && a.Consumer != "" && a.Sequence != 0
}

// bury stores the dead letter first and then takes the message out of its
// queue: whatever happens in between, the advisory comes again and there is
// still one letter.
func (f *Forsaken) bury(ctx context.Context, subject string, data []byte) error {
	a, ok := readAdvisory(data)
	if !ok {
		f.log.WarnContext(ctx, "an advisory that cannot be read is dropped", slog.String("subject", subject))
		return nil
	}
	ended := strings.HasPrefix(subject, broker.AdvisoryTerminated)
	if ended && strings.HasPrefix(a.Reason, buriedReason) {
		return nil // a worker did, and wrote its letter before
	}
	if ended && a.Reason == removedReason {
		f.log.InfoContext(ctx, "work that was still being done is no longer in its queue", slog.String("stream", a.Stream),
			slog.String("consumer", a.Consumer), slog.Uint64("sequence", a.Sequence))
		return nil
	}
	s := story{
		stream: a.Stream, consumer: a.Consumer, sequence: a.Sequence, attempts: a.Deliveries, stored: a.Time, worker: f.cfg.Name,
		class: fault.Permanent, code: "attempts_exhausted", message: "the work did not succeed as often as its consumer allows",
		reason: "the server gave up after MaxDeliver deliveries",
	}
	if ended {
		s.code, s.message, s.reason = "terminated", "the work was ended by another program", "ended by a client: "+a.Reason
	}
	stream, err := f.js.Stream(ctx, a.Stream)
	if err != nil {
		return fmt.Errorf("find the stream of an advisory: %w", err)
	}
	m := &nats.Msg{Subject: LostSubject + a.Stream}
	stored, err := stream.GetMsg(ctx, a.Sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound) && !ended:
		return nil // it was done after all, or buried already
	case errors.Is(err, jetstream.ErrMsgNotFound):
		s.reason += "; its bytes are gone"
	case err != nil:
		return fmt.Errorf("read a message that the server gave up on: %w", err)
	default:
		m, s.stored = &nats.Msg{Subject: stored.Subject, Header: stored.Header, Data: stored.Data}, stored.Time
	}
	if _, err := f.letters.Store(ctx, deadLetter(m, s, f.nc.MaxPayload())); err != nil {
		return fmt.Errorf("store the dead letter: %w", err)
	}
	f.log.ErrorContext(ctx, "given up by the server", slog.String("stream", a.Stream), slog.String("consumer", a.Consumer),
		slog.Uint64("sequence", a.Sequence), slog.String("code", s.code))
	if err := stream.DeleteMsg(ctx, a.Sequence); err != nil && !gone(err) {
		return fmt.Errorf("take the message out of its queue: %w", err)
	}
	return nil
}

func gone(err error) bool {
	return errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful)
}
