package worker

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pullSlack is how long after its end a pull's farewell may be under way.
	pullSlack = 2 * time.Second
	// pauseBase and pauseMax bound the pause after the broker refused a pull.
	pauseBase = 100 * time.Millisecond
	pauseMax  = 2 * time.Second
	// drainTimeout bounds the round trip that ends the subscriptions.
	drainTimeout = 2 * time.Second
)

// puller asks the broker for deliveries and hands each to an idle slot.
//
// It never asks for more than there are idle slots, so nothing waits in this
// process while its ack timer runs. A pull is bounded in time and is never
// cancelled: a cancelled one loses its message until the ack wait is over. To
// keep the broker's list of waiting pulls short, one pull asks for several
// deliveries, and a new one is made when fewer are asked for than slots idle
// without.
//
// Each pull has a lane, a subscription of its own that is used again when the
// pull is over. So it is always exactly known how many deliveries are due.
type puller struct {
	nc      *nats.Conn
	subject string
	inbox   string
	wait    time.Duration
	log     *slog.Logger
	// msgs takes what arrives on any lane. Deliveries on it are at most the
	// idle slots; the rest of its room is for the farewells of pulls.
	msgs chan *nats.Msg
	// drained is closed when nothing more will arrive.
	drained chan struct{}

	mu       sync.Mutex
	idle     int
	due      int
	lanes    map[*nats.Subscription]*lane
	free     []*lane
	made     int
	stopped  bool
	refusals int
	resumeAt time.Time
}

type lane struct {
	sub   *nats.Subscription
	inbox string
	// left is how many deliveries of the current pull are due; 0: no pull.
	left int
	// until is when the pull is given up if the broker says nothing.
	until time.Time
}

func newPuller(nc *nats.Conn, subject string, cfg Config, log *slog.Logger) *puller {
	return &puller{
		nc: nc, subject: subject, inbox: nc.NewInbox(), wait: cfg.PullWait, log: log,
		msgs: make(chan *nats.Msg, 4*cfg.Slots+64), drained: make(chan struct{}),
		lanes: map[*nats.Subscription]*lane{},
	}
}

// next returns the next delivery for an idle slot, or false when the puller
// was stopped and nothing is left. Each slot calls it in turn.
func (p *puller) next(ctx context.Context) (*nats.Msg, bool) {
	p.mu.Lock()
	p.idle++
	p.ask(ctx, time.Now())
	p.mu.Unlock()
	for {
		select {
		case m := <-p.msgs:
			if p.take(ctx, m) {
				return m, true
			}
			continue
		case <-p.drained:
		}
		select {
		case m := <-p.msgs:
			if p.take(ctx, m) {
				return m, true
			}
		default:
			return nil, false
		}
	}
}

// take accounts for what arrived and reports whether it is a delivery.
func (p *puller) take(ctx context.Context, m *nats.Msg) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lanes[m.Sub]
	if m.Reply != "" { // only deliveries can be replied to
		p.idle--
		p.refusals = 0
		if l != nil && l.left > 0 {
			l.left--
			p.due--
			if l.left == 0 {
				p.free = append(p.free, l)
			}
		}
		p.ask(ctx, time.Now())
		return true
	}
	if l == nil || l.left == 0 {
		return false
	}
	switch status := m.Header.Get("Status"); status {
	case "100": // a heartbeat: the pull goes on
	case "404", "408": // nothing came in time
		p.refusals = 0
		p.end(l)
		p.ask(ctx, time.Now())
	default:
		p.end(l)
		p.refused(ctx, fmt.Errorf("the broker ended a pull: %s %s", status, m.Header.Get("Description")))
	}
	return false
}

func (p *puller) end(l *lane) {
	p.due -= l.left
	l.left = 0
	p.free = append(p.free, l)
}

// ask makes a pull for the idle slots that none is made for, unless at least
// as many deliveries are due. Call with the lock held.
func (p *puller) ask(ctx context.Context, now time.Time) {
	n := p.idle - p.due
	if n <= p.due || p.stopped || now.Before(p.resumeAt) {
		return
	}
	l, err := p.lane()
	if err != nil {
		p.refused(ctx, err)
		return
	}
	request := `{"batch":` + strconv.Itoa(n) + `,"expires":` + strconv.FormatInt(int64(p.wait), 10) + `}`
	if err := p.nc.PublishRequest(p.subject, l.inbox, []byte(request)); err != nil {
		p.free = append(p.free, l)
		p.refused(ctx, fmt.Errorf("pull: %w", err))
		return
	}
	l.left, l.until = n, now.Add(p.wait+pullSlack)
	p.due += n
}

func (p *puller) lane() (*lane, error) {
	if n := len(p.free); n > 0 {
		l := p.free[n-1]
		p.free = p.free[:n-1]
		return l, nil
	}
	p.made++
	inbox := p.inbox + "." + strconv.Itoa(p.made)
	sub, err := p.nc.ChanSubscribe(inbox, p.msgs)
	if err != nil {
		return nil, fmt.Errorf("subscribe for deliveries: %w", err)
	}
	l := &lane{sub: sub, inbox: inbox}
	p.lanes[sub] = l
	return l, nil
}

// refused waits before the next pull, longer each time. Call with the lock held.
func (p *puller) refused(ctx context.Context, err error) {
	pause := min(pauseBase<<min(p.refusals, 10), pauseMax)
	p.refusals++
	p.resumeAt = time.Now().Add(pause/2 + drawEvenly(pause/2))
	if p.stopped {
		return
	}
	p.log.WarnContext(ctx, "pull refused", slog.Any("error", err), slog.Duration("pause", pause))
}

// healthy reports whether pulls are answered.
func (p *puller) healthy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refusals < 3
}

// tick gives up pulls of which the broker should have said that they are
// over, and pulls again after a pause. Call it several times a second.
func (p *puller) tick(ctx context.Context, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		if l.left > 0 && now.After(l.until) {
			p.discard(ctx, l)
		}
	}
	p.ask(ctx, now)
}

// reset forgets every pull: the broker that knew them is gone.
func (p *puller) reset(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = p.free[:0]
	for _, l := range p.lanes {
		p.discard(ctx, l)
	}
	p.resumeAt = time.Time{}
	p.ask(ctx, time.Now())
}

// discard drops a lane for good, so that nothing late can arrive on it while
// a newer pull counts on it.
func (p *puller) discard(ctx context.Context, l *lane) {
	delete(p.lanes, l.sub)
	p.due -= l.left
	l.left = 0
	if err := l.sub.Unsubscribe(); err != nil {
		p.log.DebugContext(ctx, "unsubscribe a lane", slog.Any("error", err))
	}
}

// stop ends pulling and returns when nothing more will arrive. The lanes are
// unsubscribed at the broker first and locally only after a round trip, so
// what the broker sent until then is received, and what it could not send it
// offers to others at once.
func (p *puller) stop(ctx context.Context) {
	p.mu.Lock()
	p.stopped = true
	for _, l := range p.lanes {
		if err := l.sub.Drain(); err != nil {
			p.log.DebugContext(ctx, "drain a lane", slog.Any("error", err))
		}
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if p.nc.IsConnected() {
		if err := p.nc.FlushWithContext(ctx); err != nil {
			p.log.WarnContext(ctx, "the last deliveries may wait for the ack wait", slog.Any("error", err))
		}
	}
	close(p.drained)
}
