// Package playback is the server's half of a streamed answer, told what to do:
// the emulators of model APIs write their frames with it, at a pace, with
// faults, and learn which clients left before the end.
package playback

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Reply is what a server does with one request.
type Reply struct {
	// Status other than 0 and 200 answers with Body instead of a stream.
	Status int
	// Header is added to the answer's. A Content-Type replaces the usual one.
	Header http.Header
	// Body is the whole answer when Status says so, or when it is not "".
	Body string

	// First is the pause before the first frame, Pause that before each other one.
	First time.Duration
	Pause time.Duration
	// HoldHeader sends the header after First and not before, as servers with a queue do.
	HoldHeader bool
	// Ping sends a comment that often while pausing; zero never.
	Ping time.Duration
	// Frames are whole server-sent events with their empty line. They are
	// flushed before each pause and at the end: without pauses all leave at once.
	Frames []string
	// Cut breaks the connection after the frames, in the middle of another one.
	Cut bool
	// Hang says nothing more after the frames until the client leaves.
	Hang bool
}

// Log counts the calls of a server and whom it saw leave. Its zero value is ready.
type Log[R any] struct {
	mu       sync.Mutex
	requests []R
	calls    int
	open     int
	left     int
	closed   chan struct{}
	// Keep bounds how many requests are remembered; zero is 1,024.
	Keep int
}

// Enter notes a request and returns what ends it.
func (l *Log[R]) Enter(r R) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keep := l.Keep
	if keep == 0 {
		keep = 1024
	}
	if len(l.requests) < keep {
		l.requests = append(l.requests, r)
	}
	l.calls++
	l.open++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open--
	}
}

// Requests returns what came, oldest first.
func (l *Log[R]) Requests() []R {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.requests)
}

// Calls returns how many requests came and how many are being answered.
func (l *Log[R]) Calls() (all, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls, l.open
}

// Closed yields once for each answer that its client abandoned; what nobody takes beyond 1,024 is forgotten.
func (l *Log[R]) Closed() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed == nil {
		l.closed = make(chan struct{}, 1024)
	}
	return l.closed
}

// Left returns how many clients left before the end of their answer.
func (l *Log[R]) Left() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// Abandoned notes that a client left.
func (l *Log[R]) Abandoned() {
	l.mu.Lock()
	l.left++
	l.mu.Unlock()
	select {
	case l.Closed() <- struct{}{}:
	default:
	}
}

// Play does what the reply says. It calls abandoned when the client leaves before the end.
func Play(w http.ResponseWriter, r *http.Request, reply Reply, abandoned func()) {
	maps.Copy(w.Header(), reply.Header)
	if reply.Body != "" || reply.Status != 0 && reply.Status != http.StatusOK {
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "application/json")
		}
		w.WriteHeader(max(reply.Status, http.StatusOK))
		_, _ = io.WriteString(w, reply.Body)
		return
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	s := stream{w: w, r: r, flush: http.NewResponseController(w), ping: reply.Ping}
	if !s.write(reply) {
		abandoned()
		return
	}
	if reply.Hang {
		s.pause(1 << 62)
		abandoned()
		return
	}
	if reply.Cut {
		_, _ = io.WriteString(w, `data: {"cut":"in the mid`)
		_ = s.flush.Flush()
		panic(http.ErrAbortHandler)
	}
}

type stream struct {
	w     http.ResponseWriter
	r     *http.Request
	flush *http.ResponseController
	ping  time.Duration
}

// write reports whether the client is still there.
func (s *stream) write(reply Reply) bool {
	if reply.HoldHeader {
		s.ping = 0
		if !s.pause(reply.First) {
			return false
		}
		s.ping, reply.First = reply.Ping, 0
	}
	s.w.WriteHeader(http.StatusOK)
	pause := reply.First
	for _, frame := range reply.Frames {
		if pause > 0 && s.flush.Flush() != nil || !s.pause(pause) {
			return false
		}
		if _, err := io.WriteString(s.w, frame); err != nil {
			return false
		}
		pause = reply.Pause
	}
	return s.flush.Flush() == nil
}

// pause waits, pinging, and reports whether the client is still there.
func (s *stream) pause(d time.Duration) bool {
	if d <= 0 {
		return s.r.Context().Err() == nil
	}
	whole := time.NewTimer(d)
	defer whole.Stop()
	var tick <-chan time.Time
	if s.ping > 0 {
		ticker := time.NewTicker(s.ping)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-whole.C:
			return true
		case <-s.r.Context().Done():
			return false
		case <-tick:
			if _, err := fmt.Fprint(s.w, ":\n\n"); err != nil || s.flush.Flush() != nil {
				return false
			}
		}
	}
}
