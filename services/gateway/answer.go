package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/reply"
)

// What ends the reading of an answer before its end, beside errStopping and
// reply.ErrCancelled.
var (
	errDeadline   = errors.New("the deadline of the answer")
	errFramesLost = errors.New("frames of the answer are lost")
	errFramesAway = errors.New("frames of the answer cannot be read now")
	errHeartbeat  = errors.New("time for a sign of life")
)

// answer is one reading of a chat's answer: from the frames as they come,
// from the frames that the broker has kept, or from the record.
type answer struct {
	s      *Service
	caller conversation.Caller
	turn   conversation.Turn
	since  time.Time

	source   reply.Source
	closer   func()
	replayed bool
	seen     bool
	// elsewhere is how many had gone on at other gateways when this one's reader came.
	elsewhere int
	// unkept says that the broker is known to have no frames of it any more.
	unkept bool
	// departed says that the frames went on with another attempt; who reads clears it.
	departed bool
	// overdue is when the frames of an answer should have come that was on record
	// when somebody looked for those that were missed; zero for any other.
	overdue time.Time
	asm     reply.Assembler
}

func (s *Service) newAnswer(c conversation.Caller, turn conversation.Turn, since time.Time) *answer {
	return &answer{s: s, caller: c, turn: turn, since: since, closer: func() {}}
}

func (a *answer) id() string { return a.turn.Question.ID }

func (a *answer) close() { a.closer() }

// listen hears the frames that are sent to this gateway from now on.
func (a *answer) listen() {
	in := a.s.hub.Expect(a.id())
	a.source, a.closer = in, in.Close
}

// replay reads every frame that the broker has, then those to come, whatever was read before.
func (a *answer) replay(ctx context.Context) error {
	a.closer()
	a.closer = func() {}
	reader, err := reply.Replay(ctx, a.s.deps.Broker.JetStream(), a.id())
	if err != nil {
		return err
	}
	a.source, a.closer, a.replayed = reader, reader.Close, true
	a.s.metrics.healed.Inc()
	return nil
}

// resume chooses where to read: the frames while there are any, so that
// every reader sees the same events, else the record.
func (a *answer) resume(ctx context.Context) error {
	if !a.turn.Answer.Status.Terminal() {
		return a.replay(ctx)
	}
	kept, err := a.s.framesKept(ctx, a.id())
	if err == nil && kept {
		err = a.replay(ctx)
	}
	a.unkept = err == nil && !kept
	return nil // the record has the answer, with or without the broker
}

// framesKept reports whether the broker still has frames of a request.
func (s *Service) framesKept(ctx context.Context, request string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, terminalWrite)
	defer cancel()
	stream, err := s.deps.Broker.JetStream().Stream(ctx, broker.StreamFrames)
	if err != nil {
		return false, fmt.Errorf("look for frames: %w", err)
	}
	subject := reply.Subject("*", request)
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		return false, fmt.Errorf("look for frames: %w", err)
	}
	return len(info.State.Subjects) > 0, nil
}

// next returns the next updates. A gap, or a reader too slow for the live
// frames, is healed from the broker's record of them; what that has lost
// is errFramesLost.
func (a *answer) next(ctx context.Context) ([]reply.Update, error) {
	for {
		f, err := a.source.Next(ctx)
		if errors.Is(err, reply.ErrOverflow) || errors.Is(err, reply.ErrMissed) {
			if err := a.readAgain(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if !a.seen {
			a.seen = true
			a.s.metrics.firstFrame.Observe(time.Since(a.since).Seconds())
		}
		departs := a.asm.Departs(f)
		// Another attempt may have told something that did not come here: the
		// broker knows what, and in which order.
		if a.unsourced(f) || departs && !a.replayed {
			if err := a.heal(ctx); err != nil {
				return nil, err
			}
			continue
		}
		a.departed = a.departed || departs
		updates := a.asm.Next(f)
		if len(updates) == 1 && updates[0].Kind == reply.Lost {
			if err := a.heal(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if len(updates) > 0 {
			return updates, nil
		}
	}
}

// unsourced reports whether a frame shows that the one with the sources was
// lost: whoever retrieved sends them, though none were found, before anybody
// can write. An answer that is waited for as a whole has them in its end.
func (a *answer) unsourced(f reply.Frame) bool {
	if f.Stage != reply.Generate || a.asm.Sources() != nil {
		return false
	}
	switch f.Type {
	case reply.Error, reply.KeepAlive:
		return false
	case reply.End:
		list := member(f.Data, "sources")
		return len(list) == 0 || list[0] != '['
	case reply.Sources, reply.Delta, reply.Citation, reply.Usage:
	}
	return true
}

// heal looks among the frames that the broker has for one that is missing.
func (a *answer) heal(ctx context.Context) error {
	if a.replayed {
		return errFramesLost
	}
	return a.readAgain(ctx)
}

// readAgain goes on with the frames that the broker has.
func (a *answer) readAgain(ctx context.Context) error {
	// Not within ctx, which may end for a sign of life.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), terminalWrite)
	defer cancel()
	if err := a.replay(ctx); err != nil {
		return fmt.Errorf("%w: %w", errFramesAway, err)
	}
	turn, err := a.s.deps.Conversations.Get(ctx, a.caller, a.id())
	if err == nil && turn.Answer.Status.Terminal() {
		// Its end was sent, and went down with the broker unless it comes now.
		a.turn, a.overdue = turn, time.Now().Add(keptWithin)
	}
	return nil // without the record, frames are waited for to the deadline
}

// keptWithin bounds the reading of frames whose answer is on record: all of
// them were sent, and what does not come is lost.
const keptWithin = 5 * time.Second

// until returns a context that ends at the chat's deadline, or when it is
// cancelled; of one that has its answer, when its frames should have come.
func (a *answer) until(ctx context.Context) (context.Context, func()) {
	if a.turn.Answer.Status.Terminal() {
		return context.WithTimeoutCause(ctx, keptWithin, errFramesLost)
	}
	ctx, unwatch := a.s.cancels.Watch(ctx, a.id())
	ctx, cancel := context.WithDeadlineCause(ctx, a.turn.Question.Deadline, errDeadline)
	return ctx, func() {
		cancel()
		unwatch()
	}
}

// whole waits for the answer and returns it as the chat object. present is
// asked every second whether somebody still waits.
func (a *answer) whole(ctx context.Context, present func() error) ([]byte, error) {
	if a.source == nil {
		return jsonOf(a.turn.Answer)
	}
	waiting, cancel := a.until(ctx)
	defer cancel()
	for {
		updates, err := a.nextWithin(waiting, present)
		if err != nil {
			stored, err := a.ending(ctx, waiting, err)
			if err != nil {
				return nil, err
			}
			return jsonOf(stored)
		}
		for _, u := range updates {
			switch u.Kind { //nolint:exhaustive // the pieces are all in the end
			case reply.Ended:
				a.s.readers.answered(a.id())
				return a.object(u.Data)
			case reply.Failed:
				stored, err := a.failed(ctx, u.Data)
				if err != nil {
					return nil, err
				}
				return jsonOf(stored)
			}
		}
	}
}

// object returns the chat object of an end frame, which holds everything but
// the sources when these had a frame of their own. An answer that failed is an error.
func (a *answer) object(end []byte) ([]byte, error) {
	var state struct {
		Status conversation.Status   `json:"status"`
		Error  *conversation.Problem `json:"error"`
	}
	look := func(key string, value []byte) bool {
		switch key {
		case "status":
			return json.Unmarshal(value, &state.Status) == nil
		case "error":
			return json.Unmarshal(value, &state.Error) == nil
		}
		return true
	}
	var body []byte
	var ok bool
	if sources := a.asm.Sources(); sources != nil {
		body, ok = withSources(end, passagesOf(sources), look)
	} else {
		body, ok = end, members(end, func(key, value []byte) bool { return look(unquoted(key), value) })
	}
	if !ok {
		return nil, fault.Transientf("malformed_answer", "the answer could not be read; ask again").
			WithCause(errors.New("the end frame is not a JSON object"))
	}
	if state.Status == conversation.Failed {
		return nil, chatFault(state.Error)
	}
	return body, nil
}

// ending returns the answer of a chat whose frames will not be read to their end.
func (a *answer) ending(ctx, waiting context.Context, why error) (conversation.Answer, error) {
	if errors.Is(why, errFramesLost) || errors.Is(why, errFramesAway) {
		if a.turn.Answer.Status.Terminal() {
			return a.turn.Answer, nil
		}
		stored, err := a.fromRecord(waiting)
		if err == nil {
			return stored, nil
		}
		why = err
	}
	return a.settle(ctx, why)
}

// settle says what becomes of a chat whose frames will not be read to their
// end: the record decides, and when it has no answer yet, it gets one.
func (a *answer) settle(ctx context.Context, why error) (conversation.Answer, error) {
	if errors.Is(why, errStopping) {
		return conversation.Answer{}, why
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), terminalWrite)
	defer cancel()
	if errors.Is(why, errDeadline) {
		stored, err := a.s.finish(ctx, a.caller, ended(a.turn, conversation.Failed, tooLate(), a.s.now()))
		if err == nil && stored.Status == conversation.Failed {
			a.s.tellWorkers(ctx, a.id())
		}
		return stored, err
	}
	if errors.Is(why, reply.ErrCancelled) {
		cancelled := ended(a.turn, conversation.Cancelled, nil, a.s.now())
		a.keepSources(&cancelled)
		return a.s.finish(ctx, a.caller, cancelled)
	}
	return conversation.Answer{}, why
}

// failed records the error that a worker sent, unless it did so itself.
func (a *answer) failed(ctx context.Context, data []byte) (conversation.Answer, error) {
	var p conversation.Problem
	if json.Unmarshal(data, &p) != nil || p.Code == "" {
		p = conversation.Problem{Code: "answer_failed", Message: "the answer could not be made"}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), terminalWrite)
	defer cancel()
	failed := ended(a.turn, conversation.Failed, &p, a.s.now())
	a.keepSources(&failed)
	return a.s.finish(ctx, a.caller, failed)
}

// keepSources gives an answer that no worker ended the sources that its reader was told.
func (a *answer) keepSources(of *conversation.Answer) {
	if sources := passagesOf(a.asm.Sources()); len(sources) > 0 {
		of.Sources = sources
	}
}

// fromRecord waits for the answer in the record, when its frames are lost.
func (a *answer) fromRecord(ctx context.Context) (conversation.Answer, error) {
	pause := 100 * time.Millisecond
	for {
		turn, err := a.s.deps.Conversations.Get(ctx, a.caller, a.id())
		if err != nil && fault.Of(err) != fault.Transient {
			return conversation.Answer{}, err
		}
		if err == nil && turn.Answer.Status.Terminal() {
			return turn.Answer, nil
		}
		look := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // jitter is no secret
		select {
		case <-look.C:
			pause = min(2*pause, 2*time.Second)
		case <-ctx.Done():
			look.Stop()
			return conversation.Answer{}, context.Cause(ctx)
		}
	}
}

// jsonOf returns a stored answer as the chat object. One that failed is an error.
func jsonOf(stored conversation.Answer) ([]byte, error) {
	if stored.Status == conversation.Failed {
		return nil, chatFault(stored.Error)
	}
	return shownAnswer(stored).JSON()
}

// chatFault is why a chat failed, for its asker. Its class is lost on the
// way; that it may be asked again is true of almost all.
func chatFault(p *conversation.Problem) error {
	if p == nil {
		p = &conversation.Problem{Code: "answer_failed", Message: "the answer could not be made"}
	}
	if p.Code == codeQueueFull {
		return fault.Throttledf(time.Second, p.Code, "%s", p.Message)
	}
	return fault.New(fault.Transient, p.Code, p.Message)
}
