package gateway

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
)

const (
	// sweepEvery is how often chats without an answer are looked for.
	sweepEvery = 20 * time.Second
	// sweepSlack is what a terminal write may be late.
	sweepSlack = 5 * time.Second
	sweepBatch = 100
)

// sweep ends, now and then, the chats whose deadline passed without an
// answer: those of a gateway or worker that died, and those in the
// background. Several gateways may do so at once: the first end wins.
func (s *Service) sweep(ctx context.Context) {
	// At once too: whoever waits for a chat that a crash took should not wait longer.
	s.sweepOnce(ctx)
	for {
		pause := time.NewTimer(sweepEvery/2 + rand.N(sweepEvery)) //nolint:gosec // jitter is no secret
		select {
		case <-pause.C:
		case <-s.stop:
			pause.Stop()
			return
		case <-ctx.Done():
			pause.Stop()
			return
		}
		s.sweepOnce(ctx)
	}
}

func (s *Service) sweepOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepEvery)
	defer cancel()
	s.readers.expire(s.now())
	late, err := s.deps.Conversations.Unfinished(ctx, s.now().Add(-sweepSlack), sweepBatch)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "chats without an answer were not looked for", slog.Any("error", err))
		return
	}
	for _, turn := range late {
		if _, err := s.deps.Conversations.Finish(ctx, turn.Question.Caller, ended(turn, conversation.Failed, tooLate(), s.now())); err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "a chat without an answer was not ended",
				slog.String("chat_id", turn.Question.ID), slog.Any("error", err))
		}
	}
}
