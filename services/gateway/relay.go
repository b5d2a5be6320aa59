package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/reply"
)

const (
	mimeEventStream = "text/event-stream"
	// heartbeat is how often a silent stream shows that it lives. It is also
	// how a reader that left is noticed: only a write that fails tells.
	heartbeat = time.Second
	// reconnectAfter is when a reader that was sent away comes back.
	reconnectAfter = time.Second
)

// errReaderGone is a write that failed because nobody reads, errPostponed the
// end of a stream that is not the answer's.
var (
	errReaderGone = errors.New("the reader is gone")
	errPostponed  = errors.New("the reader was asked to come back")
)

// streamOptions say how a stream is read.
type streamOptions struct {
	// last is the id of the last event that the reader has.
	last int
	// done is called when the stream has ended.
	done func()
}

// stream answers with server-sent events. It returns at once; the events
// flow from a goroutine of their own, which must not touch Fiber's context.
func (r *request) stream(a *answer, o streamOptions) {
	r.streaming = true
	a.elsewhere = r.s.readers.enter(a.id())
	if a.replayed { // it was read before, perhaps at another gateway
		r.s.readers.tell(r.s.nats, a.id())
	}
	h := &r.c.Response().Header
	h.SetContentType(mimeEventStream)
	h.Set(fiber.HeaderCacheControl, "no-cache")
	h.Set("X-Accel-Buffering", "no")
	r.s.work.Add(1)
	peer := r.peer()
	r.c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		defer r.s.work.Done()
		st := &sse{w: w, last: o.last, peer: peer}
		err := r.relay(a, st)
		a.close()
		o.done()
		r.finish(http.StatusOK)
		r.s.log.LogAttrs(r.ctx, slog.LevelDebug, "stream ended", slog.String("request_id", r.id), slog.String("chat_id", a.id()),
			slog.Int("events", st.id), slog.Any("error", err))
		r.left(a, err)
	})
}

// left uncounts a reader; one who left before the end is given time to come back.
func (r *request) left(a *answer, err error) {
	if !errors.Is(err, errReaderGone) || a.asm.Closed() {
		r.s.readers.leave(a.id())
		return
	}
	r.s.work.Go(func() { r.s.readerLeft(r.s.base(), a.caller, a.turn, a.elsewhere) })
}

// peer returns the client's connection, nil when it is not one of ours.
func (r *request) peer() *conn {
	c, ok := r.c.Context().Conn().(*conn)
	if !ok {
		return nil
	}
	return c
}

// relay writes the events of an answer, surviving a panic on the way.
func (r *request) relay(a *answer, st *sse) (err error) {
	defer func() {
		if v := recover(); v != nil {
			r.s.log.ErrorContext(r.ctx, "a stream panicked", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			err = errors.New("panic")
		}
	}()
	if err := st.event("started", started{ID: a.id(), ConversationID: a.turn.Question.ConversationID}); err != nil {
		return err
	}
	if err := st.beat(); err != nil { // the header goes out at once, even when the reader has the first event
		return err
	}
	if a.source == nil {
		return r.tell(a, st, a.turn.Answer)
	}
	running, stop := context.WithCancelCause(r.ctx)
	defer stop(nil)
	unhook := r.s.onStop(func() { stop(errStopping) })
	defer unhook()
	ctx, cancel := a.until(running)
	defer cancel()
	err = r.follow(ctx, a, st)
	if errors.Is(err, reply.ErrCancelled) && a.seen {
		// Whoever writes it ends it with what was told.
		last, cancel := context.WithTimeoutCause(running, lastFrames, reply.ErrCancelled)
		defer cancel()
		ctx, err = last, r.follow(last, a, st)
	}
	if err == nil || a.asm.Closed() {
		return err
	}
	return r.breakOff(ctx, a, st, err)
}

// follow shows what the frames tell, to the end of the answer or of ctx.
func (r *request) follow(ctx context.Context, a *answer, st *sse) error {
	for {
		updates, err := a.nextBeating(ctx, st)
		if err != nil {
			return err
		}
		st.lost = st.lost || a.departed && st.id < st.last
		a.departed = false
		for _, u := range updates {
			if err := r.show(a, st, u); err != nil {
				return err
			}
		}
		if err := st.flush(); err != nil || a.asm.Closed() {
			return err
		}
	}
}

// nextBeating is next, with a sign of life every second until there is something.
func (a *answer) nextBeating(ctx context.Context, st *sse) ([]reply.Update, error) {
	return a.nextWithin(ctx, func() error {
		if st.peer != nil && st.peer.gone() {
			return errReaderGone
		}
		return st.beat()
	})
}

// nextWithin is next, calling signOfLife every second until there is something or it fails.
func (a *answer) nextWithin(ctx context.Context, signOfLife func() error) ([]reply.Update, error) {
	for {
		beat, cancel := context.WithTimeoutCause(ctx, heartbeat, errHeartbeat)
		updates, err := a.next(beat)
		cancel()
		if err == nil {
			return updates, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !a.overdue.IsZero() && time.Now().After(a.overdue) {
			return nil, errFramesLost
		}
		if !errors.Is(err, errHeartbeat) && !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		if err := signOfLife(); err != nil {
			return nil, err
		}
	}
}

// show writes what one update means to a reader.
func (r *request) show(a *answer, st *sse, u reply.Update) error {
	if st.lost && u.Kind != reply.Ended && u.Kind != reply.Failed {
		return nil // its reader gets the whole answer in the end
	}
	switch u.Kind {
	case reply.Sourced:
		return st.raw("sources", sourcesEvent(u.Data))
	case reply.Added:
		st.text = true
		return st.event("delta", delta{Text: string(u.Data)})
	case reply.Cited:
		return st.raw("citation", u.Data)
	case reply.Restarted:
		st.text = false
		return st.event("restart", restart{Reason: "retried"})
	case reply.Ended:
		r.s.readers.answered(a.id())
		if a.asm.Sources() == nil && !st.lost {
			if err := st.raw("sources", sourcesEvent(member(u.Data, "sources"))); err != nil {
				return err
			}
		}
		body, err := a.object(u.Data)
		if err != nil {
			return r.sendError(a, st, err)
		}
		return r.sendDone(st, body)
	case reply.Failed:
		stored, err := a.failed(r.ctx, u.Data)
		if err != nil {
			return r.postpone(a, st, err)
		}
		return r.tell(a, st, stored)
	case reply.Lost:
	}
	return nil
}

// sendDone ends the stream with the whole answer. A reader that saw no text,
// because the question was not asked for streaming, gets it in one piece
// first; one that claims to have seen more than there is, or may have seen
// what another attempt told, starts over.
func (r *request) sendDone(st *sse, body []byte) error {
	if st.lost || st.last > st.id+1 || !st.text {
		var whole conversation.Answer
		if err := json.Unmarshal(body, &whole); err != nil {
			return fmt.Errorf("decode the answer: %w", err)
		}
		if st.lost || st.last > st.id+st.missing(whole)+1 {
			return st.over(whole, body)
		}
		if !st.text {
			if err := st.pieces(whole); err != nil {
				return err
			}
		}
	}
	st.must = true
	return st.raw("done", body)
}

// tell ends a stream from the record.
func (r *request) tell(a *answer, st *sse, stored conversation.Answer) error {
	body, err := jsonOf(stored)
	if err != nil {
		return r.sendError(a, st, err)
	}
	shown := shownAnswer(stored)
	switch {
	case st.id == 1 && st.last <= 1: // nothing of it was told
		if !a.unkept {
			st.id = replayed + 1
		}
		if err := st.raw("sources", sourcesEvent(shown.Sources)); err != nil {
			return err
		}
	case !st.text && st.last <= st.id && bytes.Equal(shown.Sources, passagesOf(a.asm.Sources())):
		st.id = replayed + 2 //nolint:mnd // after the restart and the sources
	default:
		return st.over(shown, body)
	}
	return st.rest(shown, body)
}

// sendError ends the stream with a problem.
func (r *request) sendError(a *answer, st *sse, err error) error {
	p := problemOf(chatError{err, a.id()}, r.id)
	r.s.log.LogAttrs(r.ctx, slog.LevelWarn, "chat failed", slog.String("request_id", r.id), slog.String("chat_id", a.id()),
		slog.String("code", p.Code), slog.Any("error", err))
	st.must = true
	// The end follows what the reader has, not what could be told this time.
	st.id = max(st.id, st.last)
	if err := st.event("error", p); err != nil {
		return err
	}
	return st.flush()
}

// breakOff ends a stream whose frames will not be read to their end.
func (r *request) breakOff(ctx context.Context, a *answer, st *sse, why error) error {
	if errors.Is(why, errReaderGone) {
		return why
	}
	if errors.Is(why, errFramesAway) && !a.turn.Answer.Status.Terminal() {
		return r.postpone(a, st, why) // perhaps another gateway reaches the broker
	}
	stored, err := a.ending(r.ctx, ctx, why)
	if errors.Is(err, errStopping) {
		return st.goodbye("the server is stopping")
	}
	if err != nil {
		return r.postpone(a, st, err)
	}
	return r.tell(a, st, stored)
}

// postpone has a reader come back whose chat's end is not known: an error would
// be an end, and the record may get another. What repeating cannot help, such as
// a conversation that was deleted, is the end.
func (r *request) postpone(a *answer, st *sse, why error) error {
	if !fault.Retryable(why) {
		return r.sendError(a, st, why)
	}
	r.s.log.LogAttrs(r.ctx, slog.LevelWarn, "the end of a chat is not known", slog.String("request_id", r.id),
		slog.String("chat_id", a.id()), slog.Any("error", why))
	if err := st.goodbye("the end of the answer is not known yet"); err != nil {
		return err
	}
	return errPostponed
}

// onStop calls f when the service begins to stop, unless undone before.
func (s *Service) onStop(f func()) (undo func()) {
	done := make(chan struct{})
	s.work.Go(func() {
		select {
		case <-s.stop:
			f()
		case <-done:
		}
	})
	return func() { close(done) }
}

// The data of events that is not passed through.
type (
	started struct {
		ID             string `json:"id"`
		ConversationID string `json:"conversation_id"`
	}
	delta struct {
		Text string `json:"text"`
	}
	restart struct {
		Reason string `json:"reason"`
	}
)

func sourcesEvent(data []byte) []byte {
	list := passagesOf(data)
	if len(list) == 0 {
		list = []byte("[]")
	}
	out := make([]byte, 0, len(list)+16)
	out = append(out, `{"passages":`...)
	out = append(out, list...)
	return append(out, '}')
}
