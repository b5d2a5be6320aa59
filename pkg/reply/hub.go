package reply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// ErrOverflow is returned by [Inbox.Next] when its reader was too slow and
// frames were dropped. Nobody else is harmed; [Replay] has them all.
var ErrOverflow = errors.New("the reader is too slow, frames were dropped")

// ErrMissed is returned by [Inbox.Next] and [Reader.Next] when the connection to
// the broker broke since they are open: frames may have been sent meanwhile. [Replay] has
// those that the broker has not lost itself.
var ErrMissed = errors.New("frames may have been missed while the broker was away")

// ErrClosed is returned by [Inbox.Next] after its Close or the hub's.
var ErrClosed = errors.New("the inbox is closed")

const (
	// inboxFrames and inboxBytes bound what waits for one reader.
	inboxFrames = 4096
	inboxBytes  = 4 << 20
	// subscribeTimeout bounds the round trip after which the subscription is known to be in place.
	subscribeTimeout = 5 * time.Second
)

// Hub is a gateway's side of the replies: one subscription for the whole
// process, from which every waiting request gets its frames. It is safe for
// concurrent use.
type Hub struct {
	nc      *nats.Conn
	gateway string
	log     *slog.Logger

	mu      sync.Mutex
	sub     *nats.Subscription
	waiting map[string][]*Inbox
	closed  bool
	// breaks is how often the connection is known to have broken, or frames to
	// have been dropped before they came here.
	breaks uint64
	// status tells when the connection is back; watched is closed when nobody hears that any more.
	status  chan nats.Status
	watched chan struct{}
}

// NewHub returns a hub for a gateway whose token tells it from all other
// processes ([corpus.NewID] makes one). Call Start before the first request.
func NewHub(nc *nats.Conn, gateway string, log *slog.Logger) (*Hub, error) {
	if err := corpus.CheckToken("gateway", gateway); err != nil {
		return nil, err //nolint:wrapcheck // says what is wrong
	}
	return &Hub{nc: nc, gateway: gateway, log: discard(log), waiting: map[string][]*Inbox{}}, nil
}

// Start subscribes and returns when the broker knows of it.
func (h *Hub) Start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sub != nil {
		return nil
	}
	quiet := context.WithoutCancel(ctx)
	sub, err := h.nc.Subscribe(Subject(h.gateway, "*"), func(m *nats.Msg) { h.receive(quiet, m) })
	if err != nil {
		return fmt.Errorf("subscribe to replies: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	if err := h.nc.FlushWithContext(ctx); err != nil {
		return errors.Join(fmt.Errorf("subscribe to replies: %w", err), sub.Unsubscribe())
	}
	h.sub, h.breaks = sub, h.breaksOf(sub)
	h.status, h.watched = h.nc.StatusChanged(nats.CONNECTED), make(chan struct{})
	go h.watch(h.status, h.watched)
	return nil
}

// watch has the readers of answers whose last frames were missed told so: no
// other frame will.
func (h *Hub) watch(status <-chan nats.Status, done chan<- struct{}) {
	defer close(done)
	for range status {
		h.mu.Lock()
		h.checkLocked()
		h.mu.Unlock()
	}
}

func (h *Hub) breaksOf(sub *nats.Subscription) uint64 {
	dropped, err := sub.Dropped()
	if err != nil { // it is closed, and so is the hub
		dropped = 0
	}
	return h.nc.Stats().Reconnects + uint64(max(dropped, 0))
}

// checkLocked ends every inbox that may have missed frames.
func (h *Hub) checkLocked() {
	if h.sub == nil {
		return
	}
	breaks := h.breaksOf(h.sub)
	if breaks == h.breaks {
		return
	}
	h.breaks = breaks
	for _, list := range h.waiting {
		for _, in := range list {
			in.end(ErrMissed)
		}
	}
}

// Subject returns the reply subject that a request's event must carry.
func (h *Hub) Subject(request string) string { return Subject(h.gateway, request) }

// Expect returns an inbox that gets every frame of a request from now on.
// Call it before the request is published, and Close it in the end. Several
// may expect the same request.
func (h *Hub) Expect(request string) *Inbox {
	in := &Inbox{hub: h, request: request, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		in.err = ErrClosed
		return in
	}
	h.waiting[request] = append(h.waiting[request], in)
	return in
}

// Waiting returns how many inboxes are open.
func (h *Hub) Waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, list := range h.waiting {
		n += len(list)
	}
	return n
}

// Close ends the subscription and every inbox.
func (h *Hub) Close() error {
	h.mu.Lock()
	h.closed = true
	sub, waiting := h.sub, h.waiting
	h.sub, h.waiting = nil, map[string][]*Inbox{}
	status, watched := h.status, h.watched
	h.status, h.watched = nil, nil
	h.mu.Unlock()
	if status != nil {
		h.nc.RemoveStatusListener(status)
		<-watched
	}
	for _, list := range waiting {
		for _, in := range list {
			in.end(ErrClosed)
		}
	}
	if sub == nil {
		return nil
	}
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
		return fmt.Errorf("unsubscribe from replies: %w", err)
	}
	return nil
}

// receive runs on the subscription's one goroutine and never waits.
func (h *Hub) receive(ctx context.Context, m *nats.Msg) {
	f, err := ParseFrame(m)
	if err != nil {
		h.log.WarnContext(ctx, "a reply is no frame", slog.String("subject", m.Subject), slog.Any("error", err))
		return
	}
	h.mu.Lock()
	h.checkLocked() // before the first frame after those that were missed
	list := h.waiting[f.Request]
	h.mu.Unlock()
	for _, in := range list {
		in.put(f)
	}
}

func (h *Hub) forget(in *Inbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.waiting[in.request]
	kept := make([]*Inbox, 0, len(list)) // a copy: receive reads the old one
	for _, other := range list {
		if other != in {
			kept = append(kept, other)
		}
	}
	if len(kept) == 0 {
		delete(h.waiting, in.request)
		return
	}
	h.waiting[in.request] = kept
}

// Inbox holds the frames of one request until they are read. One goroutine
// may read it at a time.
type Inbox struct {
	hub     *Hub
	request string
	wake    chan struct{}

	mu     sync.Mutex
	frames []Frame
	bytes  int
	err    error
}

// Next returns the next frame. It waits for one until ctx ends. After a
// dropped frame it returns those before it and then [ErrOverflow], after a
// broken connection [ErrMissed].
func (in *Inbox) Next(ctx context.Context) (Frame, error) {
	for {
		in.mu.Lock()
		if len(in.frames) > 0 {
			f := in.frames[0]
			in.frames[0] = Frame{}
			in.frames = in.frames[1:]
			in.bytes -= len(f.Data)
			in.mu.Unlock()
			return f, nil
		}
		err := in.err
		in.mu.Unlock()
		if err != nil {
			return Frame{}, err
		}
		select {
		case <-in.wake:
		case <-ctx.Done():
			return Frame{}, fmt.Errorf("wait for a frame: %w", context.Cause(ctx))
		}
	}
}

// Close gives the inbox up. It may be called more than once.
func (in *Inbox) Close() {
	in.hub.forget(in)
	in.end(ErrClosed)
}

func (in *Inbox) put(f Frame) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err != nil {
		return
	}
	if len(in.frames) >= inboxFrames || in.bytes+len(f.Data) > inboxBytes {
		in.err = ErrOverflow
	} else {
		in.frames = append(in.frames, f)
		in.bytes += len(f.Data)
	}
	in.signal()
}

func (in *Inbox) end(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err == nil {
		in.err = err
	}
	in.signal()
}

func (in *Inbox) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}
