package gateway

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/reply"
)

const (
	// lastWords is how long the worker that writes an answer has to end it when
	// it is cancelled: long enough for one that lives to store what it has said,
	// so that the record and every reader have the same.
	lastWords = time.Second
	// lastFrames is how long a reader waits for that end. It is longer: the
	// record has one by then, the worker's or, for want of it, the gateway's.
	lastFrames = 2 * lastWords
)

// cancelWork ends a chat as cancelled, unless it has its answer, and returns
// it as it stands then. What its readers have been told of the answer is kept.
func (s *Service) cancelWork(ctx context.Context, c conversation.Caller, turn conversation.Turn) (conversation.Answer, error) {
	cancelled := ended(turn, conversation.Cancelled, nil, s.now())
	heard := false
	if kept, err := s.framesKept(ctx, cancelled.ID); err == nil && kept {
		s.tellWorkers(ctx, cancelled.ID)
		heard = s.hearOut(ctx, &cancelled)
	}
	stored, err := s.finish(ctx, c, cancelled)
	if err == nil && stored.Status == conversation.Cancelled && !heard {
		s.tellWorkers(ctx, cancelled.ID) // those, too, that have begun meanwhile
	}
	return stored, err
}

// finish puts an answer on record, unless the chat has one, and returns what is on record.
func (s *Service) finish(ctx context.Context, c conversation.Caller, a conversation.Answer) (conversation.Answer, error) {
	stored, err := s.deps.Conversations.Finish(ctx, c, a)
	if err == nil {
		s.readers.answered(a.ID)
	}
	return stored, err
}

// tellWorkers tells whoever works on a chat to stop. When they cannot be told,
// the record will say so to those that begin, and only work under way goes on.
func (s *Service) tellWorkers(ctx context.Context, chat string) {
	if err := reply.Cancel(s.nats, chat); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "workers were not told that nobody wants an answer any more", slog.String("chat_id", chat), slog.Any("error", err))
	}
}

// hearOut reads what the readers of an answer have been told into the answer,
// until the worker ends it or its time is over, and reports which.
func (s *Service) hearOut(ctx context.Context, into *conversation.Answer) (ended bool) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	frames, err := reply.Replay(ctx, s.deps.Broker.JetStream(), into.ID)
	if err != nil {
		return false // the record ends the chat without them
	}
	defer frames.Close()
	var (
		asm  reply.Assembler
		said strings.Builder
	)
	for !asm.Closed() {
		f, err := frames.Next(ctx)
		if err != nil {
			break
		}
		for _, u := range asm.Next(f) {
			switch u.Kind { //nolint:exhaustive // the sources are the assembler's, and an end is on record
			case reply.Restarted:
				said.Reset()
			case reply.Added:
				said.Write(u.Data)
			}
		}
	}
	into.Answer = strings.TrimSpace(said.String())
	if sources := passagesOf(asm.Sources()); len(sources) > 0 {
		into.Sources = sources
	}
	return asm.Closed()
}
