package generator

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/reply"
)

// maxPiece is from how many bytes on text is sent without waiting for more.
const maxPiece = 512

// speaker sends one attempt's frames: the first piece of text at once, later
// ones together when they come fast.
//
// A delivery k has two numbers for its frames, 2k-1 and 2k: the second is for
// starting over when the text that was sent is not the answer after all. To
// the reader that is a restart, like any newer attempt.
type speaker struct {
	pace   *pace
	stream bool
	open   func(attempt int) (*reply.Writer, error)

	mu      sync.Mutex
	w       *reply.Writer
	attempt int
	buf     []byte
	said    bool // some text was sent or waits
	failed  error
	closed  bool
	last    time.Time
	first   time.Time
	flushAt *time.Timer
	// rests says that rest is called: say leaves the frames to it.
	rests bool
}

// newSpeaker returns the speaker of a delivery. Close it, once.
func newSpeaker(pace *pace, delivery int, stream bool, open func(attempt int) (*reply.Writer, error)) (*speaker, error) {
	s := &speaker{pace: pace, stream: stream, open: open, attempt: 2*max(delivery, 1) - 1, last: time.Now()}
	w, err := open(s.attempt)
	if err != nil {
		return nil, err
	}
	s.w = w
	return s, nil
}

// say sends text, soon. It must not be called after the end.
func (s *speaker) say(text string) {
	if text == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.first.IsZero() {
		s.first = now
		s.pace.begin(s.stream)
	}
	if !s.stream {
		return
	}
	s.buf = append(s.buf, text...)
	switch {
	case !s.said, len(s.buf) >= maxPiece:
		s.flush(now)
	case !s.rests:
		s.flushWhenDue(now)
	}
	s.said = true
}

// rest is what [llm.Request] has: nothing more has come that could be said.
// When so many speak that text waits longer than it would have to, the model's
// answer is left to pile up until the next frame is due: reading it costs as
// much for one token as for ten.
func (s *speaker) rest(ctx context.Context) {
	if pause := s.pauseBefore(time.Now()); pause > 0 {
		sleep(ctx, pause)
	}
}

// pauseBefore sends what is due and returns how long to wait for more.
func (s *speaker) pauseBefore(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rests = true
	if !s.stream {
		return 0
	}
	s.flushWhenDue(now)
	wait := s.pace.wait()
	if wait <= s.pace.least {
		return 0
	}
	return wait - now.Sub(s.last)
}

// flushWhenDue sends what waits now or when it has waited long enough. Call with the lock held.
func (s *speaker) flushWhenDue(now time.Time) {
	wait := s.pace.wait() - now.Sub(s.last)
	switch {
	case len(s.buf) == 0:
	case wait <= 0:
		s.flush(now)
	case s.flushAt == nil:
		s.flushAt = time.AfterFunc(wait, s.flushLater)
	}
}

func (s *speaker) flushLater() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.flush(time.Now())
	}
}

// flush sends what waits. Call with the lock held.
func (s *speaker) flush(now time.Time) {
	if s.flushAt != nil {
		s.flushAt.Stop()
		s.flushAt = nil
	}
	if len(s.buf) == 0 {
		return
	}
	s.note(s.w.Delta(string(s.buf)))
	s.buf = s.buf[:0]
	s.last = now
}

// note remembers that the reader will miss a frame. The answer goes on: it
// is paid for, and the end is sent under a new number.
func (s *speaker) note(err error) {
	if err != nil && s.failed == nil {
		s.failed = err
	}
}

// firstSaid returns when the first text came; zero when none did.
func (s *speaker) firstSaid() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

// end sends what is left of a finished answer and closes it. When something
// else than its text was sent, or a frame was lost, the reader starts over.
// Sources replace those that the reader was told; nil leaves them.
func (s *speaker) end(a conversation.Answer, sources json.RawMessage, asSaid bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush(time.Now())
	if s.failed != nil || !asSaid && s.said {
		if err := s.again(); err != nil {
			return err
		}
	}
	if sources != nil {
		s.note(s.w.Sources(sources))
	}
	if s.stream {
		if !asSaid || !s.said {
			s.note(s.w.Delta(a.Answer))
		}
		for i := range a.Citations {
			s.note(s.w.Citation(a.Citations[i]))
		}
	}
	if s.failed != nil {
		return s.failed
	}
	data, err := a.JSON()
	if err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	if err := s.w.End(data); err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	return nil
}

// again opens the delivery's second number. Call with the lock held.
func (s *speaker) again() error {
	w, err := s.open(s.attempt + 1)
	if err != nil {
		return err
	}
	s.w, s.failed, s.said = w, nil, false
	return nil
}

// fail tells the reader that there is no answer.
func (s *speaker) fail(problem any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.again(); err != nil {
		return err
	}
	return s.w.Error(problem) //nolint:wrapcheck // says what is wrong
}

// close stops the timer. What waits is not sent any more.
func (s *speaker) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if !s.first.IsZero() {
		s.pace.end(s.stream)
	}
	if s.flushAt != nil {
		s.flushAt.Stop()
	}
}
