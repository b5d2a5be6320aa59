package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ensureAttempts bounds the tries of one resource. Several are needed: ten
// replicas that start together create the same streams, and a leader may be
// in election.
const ensureAttempts = 8

// ensureTimeout bounds one try: a request that a restarting server has
// swallowed is never answered.
const ensureTimeout = 4 * time.Second

// Ensure creates what of the topology is missing and updates what differs.
// It may be called by any number of replicas at once and as often as liked;
// what is right already is not touched. A setting that the server cannot
// change in place is an error that names the stream.
func Ensure(ctx context.Context, js jetstream.JetStream, t Topology) error {
	for _, s := range t.Streams {
		if err := repeat(ctx, func(ctx context.Context) error { return ensureStream(ctx, js, s.StreamConfig) }); err != nil {
			return fmt.Errorf("ensure stream %s: %w", s.Name, err)
		}
		for _, c := range s.Consumers {
			if err := repeat(ctx, func(ctx context.Context) error { return ensureConsumer(ctx, js, s.Name, c) }); err != nil {
				return fmt.Errorf("ensure consumer %s of %s: %w", c.Durable, s.Name, err)
			}
		}
	}
	return nil
}

// Verify compares and changes nothing. The error joins every difference, or
// is nil when the broker has what the topology says.
func Verify(ctx context.Context, js jetstream.JetStream, t Topology) error {
	var problems []error
	for _, s := range t.Streams {
		have, err := streamConfig(ctx, js, s.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			problems = append(problems, fmt.Errorf("stream %s is missing", s.Name))
			continue
		}
		if err != nil {
			return fmt.Errorf("verify stream %s: %w", s.Name, unavailable(err))
		}
		for _, d := range streamDifferences(s.StreamConfig, have) {
			problems = append(problems, fmt.Errorf("stream %s: %s", s.Name, d))
		}
		for _, c := range s.Consumers {
			have, err := consumerConfig(ctx, js, s.Name, c.Durable)
			if errors.Is(err, jetstream.ErrConsumerNotFound) {
				problems = append(problems, fmt.Errorf("consumer %s of %s is missing", c.Durable, s.Name))
				continue
			}
			if err != nil {
				return fmt.Errorf("verify consumer %s of %s: %w", c.Durable, s.Name, unavailable(err))
			}
			for _, d := range consumerDifferences(c, have) {
				problems = append(problems, fmt.Errorf("consumer %s of %s: %s", c.Durable, s.Name, d))
			}
		}
	}
	return errors.Join(problems...)
}

func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	have, err := streamConfig(ctx, js, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, want)
		return err //nolint:wrapcheck // Ensure wraps
	}
	if err != nil {
		return err
	}
	if want, err = sparing(ctx, js, want, have); err != nil {
		return err
	}
	differences := streamDifferences(want, have)
	if len(differences) == 0 {
		return nil
	}
	if _, err := js.UpdateStream(ctx, want); err != nil {
		return fmt.Errorf("change %s: %w", strings.Join(differences, "; "), err)
	}
	return nil
}

// sparing keeps the bound of a subject from being put below what a work queue
// holds: the server would drop the surplus, oldest first. The bound comes down
// with the queue, the next time that somebody ensures it.
func sparing(ctx context.Context, js jetstream.JetStream, want, have jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	limit := unlimited(want.MaxMsgsPerSubject)
	before := unlimited(have.MaxMsgsPerSubject)
	if want.Retention != jetstream.WorkQueuePolicy || limit < 0 || before > 0 && before <= limit {
		return want, nil
	}
	s, err := js.Stream(ctx, want.Name)
	if err != nil {
		return want, err //nolint:wrapcheck // Ensure wraps
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return want, err //nolint:wrapcheck // Ensure wraps
	}
	for _, n := range info.State.Subjects {
		// Twice as much: programs of before may still be adding to it.
		if int64(n) > want.MaxMsgsPerSubject/2 {
			want.MaxMsgsPerSubject = max(want.MaxMsgsPerSubject, 2*int64(n))
		}
	}
	if before > 0 {
		want.MaxMsgsPerSubject = min(want.MaxMsgsPerSubject, before)
	}
	return want, nil
}

func ensureConsumer(ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig) error {
	have, err := consumerConfig(ctx, js, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		_, err = js.CreateConsumer(ctx, stream, want)
		return err //nolint:wrapcheck // Ensure wraps
	}
	if err != nil {
		return err
	}
	differences := consumerDifferences(want, have)
	if len(differences) == 0 {
		return nil
	}
	if _, err := js.UpdateConsumer(ctx, stream, want); err != nil {
		return fmt.Errorf("change %s: %w", strings.Join(differences, "; "), err)
	}
	return nil
}

// repeat calls try until it succeeds or the server says that it never will.
func repeat(ctx context.Context, try func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		bounded, cancel := context.WithTimeout(ctx, ensureTimeout)
		err := try(bounded)
		cancel()
		if err == nil || attempt == ensureAttempts || !passing(err) {
			return err
		}
		pause := time.NewTimer(rand.N(25 * time.Millisecond << attempt)) //nolint:gosec // jitter is no secret
		select {
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		case <-pause.C:
		}
	}
}

// passing reports whether an error of the JetStream API can go away by
// itself: another replica was quicker, or the server is busy. Refusals (4xx) stay.
func passing(err error) bool {
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || errors.Is(err, jetstream.ErrConsumerExists) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerDoesNotExist) {
		return true
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code == 503
	}
	return !errors.Is(err, context.Canceled)
}

func streamConfig(ctx context.Context, js jetstream.JetStream, name string) (jetstream.StreamConfig, error) {
	s, err := js.Stream(ctx, name)
	if err != nil {
		return jetstream.StreamConfig{}, err //nolint:wrapcheck // the caller wraps
	}
	return s.CachedInfo().Config, nil
}

func consumerConfig(ctx context.Context, js jetstream.JetStream, stream, name string) (jetstream.ConsumerConfig, error) {
	c, err := js.Consumer(ctx, stream, name)
	if err != nil {
		return jetstream.ConsumerConfig{}, err //nolint:wrapcheck // the caller wraps
	}
	return c.CachedInfo().Config, nil
}

// streamDifferences lists what of the settings that we care about is not as
// wanted. What the server fills in by itself is not compared.
func streamDifferences(want, have jetstream.StreamConfig) []string {
	var d differences
	d.compare("subjects", sorted(want.Subjects), sorted(have.Subjects))
	d.compare("retention", want.Retention, have.Retention)
	d.compare("storage", want.Storage, have.Storage)
	d.compare("replicas", want.Replicas, have.Replicas)
	d.compare("discard", want.Discard, have.Discard)
	d.compare("discard new per subject", want.DiscardNewPerSubject, have.DiscardNewPerSubject)
	d.compare("max messages", unlimited(want.MaxMsgs), unlimited(have.MaxMsgs))
	d.compare("max messages per subject", unlimited(want.MaxMsgsPerSubject), unlimited(have.MaxMsgsPerSubject))
	d.compare("max bytes", unlimited(want.MaxBytes), unlimited(have.MaxBytes))
	d.compare("max age", want.MaxAge, have.MaxAge)
	d.compare("duplicate window", want.Duplicates, have.Duplicates)
	d.compare("message ttl", want.AllowMsgTTL, have.AllowMsgTTL)
	d.compare("no ack", want.NoAck, have.NoAck)
	return d
}

func consumerDifferences(want, have jetstream.ConsumerConfig) []string {
	var d differences
	d.compare("filter", filters(want), filters(have))
	d.compare("ack policy", want.AckPolicy, have.AckPolicy)
	d.compare("ack wait", want.AckWait, have.AckWait)
	d.compare("max deliver", want.MaxDeliver, have.MaxDeliver)
	d.compare("max ack pending", want.MaxAckPending, have.MaxAckPending)
	d.compare("backoff", fmt.Sprint(want.BackOff), fmt.Sprint(have.BackOff))
	d.compare("inactive threshold", want.InactiveThreshold, have.InactiveThreshold)
	d.compare("headers only", want.HeadersOnly, have.HeadersOnly)
	return d
}

type differences []string

func (d *differences) compare(name string, want, have any) {
	if want != have {
		*d = append(*d, fmt.Sprintf("%s is %v, should be %v", name, have, want))
	}
}

func sorted(list []string) string {
	list = slices.Clone(list)
	slices.Sort(list)
	return strings.Join(list, " ")
}

func filters(c jetstream.ConsumerConfig) string {
	if c.FilterSubject != "" {
		return c.FilterSubject
	}
	return sorted(c.FilterSubjects)
}

// unlimited maps both of the server's ways to say "no limit" to one.
func unlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}
