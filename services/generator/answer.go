package generator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/reply"
	"github.com/ragbus/ragbus/pkg/worker"
)

// delivery is what the handler gets.
type delivery = worker.Delivery[event.ChatRetrieved]

// answer handles one question.
func (s *Service) answer(ctx context.Context, d delivery) ([]event.Event, error) {
	begun := time.Now()
	// Before anything is done for it, or told to anybody.
	if err := s.signer.VerifyRetrieved(d.Event, d.Data); err != nil {
		return nil, err
	}
	if !d.Event.Deadline.IsZero() && !begun.Before(d.Event.Deadline) {
		return nil, fault.Permanentf("deadline_exceeded", "the question was not answered before its deadline")
	}
	asked := &d.Data.Asked
	speaker, err := s.speakerOf(d, d.Attempt)
	if err != nil {
		return nil, err
	}
	defer speaker.close()

	watched, stop := s.cancels.Watch(ctx, asked.ID)
	defer stop()
	turn, err := s.turn(ctx, watched, d)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, s.gone(speaker, err)
	case err != nil:
		return nil, fmt.Errorf("read the turn: %w", err)
	case turn.Answer.Status.Terminal():
		return s.close(ctx, d, speaker, turn.Answer, false)
	}

	defer s.writing.Begin(asked.ID)()
	out, err := s.write(watched, d, speaker)
	if err != nil {
		if !errors.Is(context.Cause(watched), reply.ErrCancelled) {
			return nil, err
		}
		s.breakOff(ctx, d, &out)
	}
	a := s.compose(d, out, begun, speaker.firstSaid())
	stored, err := s.finish(ctx, d, a)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, s.gone(speaker, err)
	case err != nil:
		return nil, err
	}
	same := stored.Answer == a.Answer && stored.Status == a.Status
	return s.close(ctx, d, speaker, stored, same && !out.replaced)
}

// otherPause is how often, on average, a writer that was taken for dead is
// asked whether it still writes.
const otherPause = 250 * time.Millisecond

// turn reads the record of a question, and first, when it is not its first
// delivery, lets one end that still writes its answer: a model is paid.
func (s *Service) turn(ctx, watched context.Context, d delivery) (conversation.Turn, error) {
	turn, err := s.store.Get(ctx, s.caller(d), d.Data.Asked.ID)
	if err != nil || turn.Answer.Status.Terminal() || d.Attempt < 2 || !s.pays(d) {
		return turn, err //nolint:wrapcheck // the caller says what
	}
	for watched.Err() == nil && s.writing.Underway(watched, d.Data.Asked.ID) {
		sleep(watched, otherPause/2+rand.N(otherPause)) //nolint:gosec // jitter needs no secrecy
	}
	// It may have ended since the record was read.
	return s.store.Get(ctx, s.caller(d), d.Data.Asked.ID) //nolint:wrapcheck // the caller says what
}

func (s *Service) caller(d delivery) conversation.Caller {
	return conversation.Caller{Tenant: d.Event.Tenant, Owner: d.Data.Asked.Owner}
}

// gone ends a chat whose conversation was deleted meanwhile. There is nothing left to do.
func (s *Service) gone(speaker *speaker, err error) error {
	return speaker.fail(problemOf(err))
}

// close sends the end of a stored answer, charges what it cost, and returns
// the fact that follows. Repeating it charges nothing again.
func (s *Service) close(ctx context.Context, d delivery, speaker *speaker, a conversation.Answer, asSaid bool) ([]event.Event, error) {
	var err error
	if a.Status == conversation.Failed && a.Error != nil {
		err = speaker.fail(*a.Error)
	} else {
		err = tell(speaker, d, a, asSaid)
	}
	if err != nil {
		return nil, fmt.Errorf("end the answer: %w", err)
	}
	if err := s.charge(ctx, d, a); err != nil {
		return nil, err
	}
	return []event.Event{s.fact(d, a)}, nil
}

// charge counts the tokens of a stored answer for its asker, also when the
// work's own context has ended: they were paid for.
func (s *Service) charge(ctx context.Context, d delivery, a conversation.Answer) error {
	asked := &d.Data.Asked
	if s.ledger == nil || asked.Account == "" || a.Usage.TotalTokens <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	err := s.ledger.Charge(ctx, access.Charge{
		Tenant: d.Event.Tenant, Account: asked.Account, Request: asked.ID, Tokens: int64(a.Usage.TotalTokens), At: asked.AskedAt,
	})
	if err != nil {
		return fmt.Errorf("charge the answer: %w", err)
	}
	return nil
}

// fact is the event that a question has its answer. Its id is the
// question's, so that repeating it changes nothing.
func (s *Service) fact(d delivery, a conversation.Answer) event.Event {
	fact := event.ChatAnswered{
		ID: a.ID, ConversationID: a.ConversationID, Status: string(a.Status), Grounded: a.Grounded, Model: a.Model,
		PromptTokens: a.Usage.PromptTokens, CompletionTokens: a.Usage.CompletionTokens, TotalMS: a.Timings.TotalMS,
	}
	if a.Reason != nil {
		fact.Reason = *a.Reason
	}
	return event.New(d.Event.Tenant, time.Now(), fact)
}

// outcome is what writing came to.
type outcome struct {
	status    conversation.Status
	text      string
	citations []conversation.Citation
	grounded  bool
	reason    string
	usage     conversation.Usage
	// model wrote the answer, when it is not the one that always does.
	model string
	// replaced says that text is not what the reader was sent.
	replaced bool
}

// compose makes the terminal answer.
func (s *Service) compose(d delivery, out outcome, begun, first time.Time) conversation.Answer {
	asked := &d.Data.Asked
	now := time.Now()
	a := conversation.Answer{
		ID: asked.ID, ConversationID: asked.ConversationID, Status: out.status, Answer: out.text, Grounded: out.grounded,
		Citations: out.citations, Sources: d.Data.Passages.JSON(), SearchQuery: d.Data.SearchQuery, Model: cmp.Or(out.model, s.modelName()), Usage: out.usage, CreatedAt: asked.AskedAt,
		Timings: conversation.Timings{
			QueueMS: d.Data.QueueMS + since(d.StoredAt, begun), RetrieveMS: d.Data.RetrieveMS,
			FirstTokenMS: since(asked.AskedAt, first), TotalMS: since(asked.AskedAt, now), Degraded: d.Data.Degraded,
		},
	}
	if first.IsZero() {
		a.Timings.FirstTokenMS = a.Timings.TotalMS
	}
	if a.Citations == nil {
		a.Citations = []conversation.Citation{}
	}
	if out.reason != "" {
		a.Reason = &out.reason
	}
	return a
}

// Storing an answer is tried for this long, for it may have been paid for:
// longer than a database takes to start again. A pause is twice the one before
// it, up to the longest.
const (
	finishTime    = 30 * time.Second
	finishPause   = 50 * time.Millisecond
	finishLongest = 2 * time.Second
)

// finish stores the answer, also when the work's own context has ended.
func (s *Service) finish(ctx context.Context, d delivery, a conversation.Answer) (conversation.Answer, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	pause := finishPause
	for {
		stored, err := s.store.Finish(ctx, s.caller(d), a)
		if err == nil {
			return stored, nil
		}
		if !fault.Retryable(err) || !sleep(ctx, pause/2+rand.N(pause)) { //nolint:gosec // jitter needs no secrecy
			return conversation.Answer{}, fmt.Errorf("store the answer: %w", err)
		}
		pause = min(2*pause, finishLongest)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// bury gives a question that cannot be answered its terminal answer. When
// another attempt had stored one meanwhile, that one is told.
func (s *Service) bury(ctx context.Context, d delivery, b worker.Burial) ([]event.Event, error) {
	// Whatever it was given up for: what nobody vouches for is told nobody.
	if s.signer.VerifyRetrieved(d.Event, d.Data) != nil {
		return nil, nil //nolint:nilerr // the letter says why
	}
	a := s.compose(d, outcome{status: conversation.Failed}, time.Now(), time.Time{})
	problem := conversation.Problem{Code: b.Code, Message: b.Message}
	a.Error = &problem
	stored, err := s.finish(ctx, d, a)
	attempt := 2 * max(d.Attempt, b.Attempts)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, s.abort(d, attempt, problemOf(err))
	case err != nil:
		return nil, err
	case stored.Status == conversation.Failed:
		err = s.abort(d, attempt, problem)
	default:
		err = s.resend(d, attempt+1, stored)
	}
	if err != nil {
		return nil, err
	}
	return []event.Event{s.fact(d, stored)}, nil
}

// abort ends the reader's wait with a problem. A reply subject that is not
// this request's, which may be why the question is buried, has no reader.
func (s *Service) abort(d delivery, attempt int, problem conversation.Problem) error {
	err := reply.Abort(s.frames, d.Event.ReplyTo, d.Data.Asked.ID, reply.Generate, d.StoredAt, attempt, problem)
	if fault.Is(err, fault.Permanent) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tell the reader: %w", err)
	}
	return nil
}

func (s *Service) resend(d delivery, attempt int, a conversation.Answer) error {
	speaker, err := s.speakerOf(d, (attempt+1)/2)
	if err != nil {
		return err
	}
	defer speaker.close()
	return tell(speaker, d, a, false)
}

// tell ends an answer, with its sources or, where the reader has these
// already, without. An answer that somebody else stored may have others.
func tell(speaker *speaker, d delivery, a conversation.Answer, asSaid bool) error {
	if d.Data.Asked.Whole() {
		return speaker.end(a, nil, asSaid)
	}
	others := a.Sources
	if len(others) == 0 {
		others = json.RawMessage("[]")
	}
	if bytes.Equal(others, d.Data.Passages.JSON()) {
		others = nil
	}
	a.Sources = nil
	return speaker.end(a, others, asSaid)
}

// speakerOf returns what speaks to the reader of a question.
func (s *Service) speakerOf(d delivery, delivery int) (*speaker, error) {
	asked := &d.Data.Asked
	return newSpeaker(s.pace, delivery, !asked.Whole(), func(attempt int) (*reply.Writer, error) {
		w, err := reply.NewWriter(s.frames, d.Event.ReplyTo, asked.ID, reply.Generate, attempt)
		if err != nil {
			return nil, err
		}
		if !asked.Whole() {
			w.From(d.Data.Passages.JSON())
		}
		return w.For(d.StoredAt), nil
	})
}

func problemOf(err error) conversation.Problem {
	code, message := fault.Public(err)
	return conversation.Problem{Code: code, Message: message}
}
