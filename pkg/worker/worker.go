package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
)

// ErrStopping is the cause with which a handler's context ends when the
// worker stops and its grace is over. The delivery is handed back.
var ErrStopping = errors.New("the worker is stopping")

// ErrStuck is what [Worker.Run] returns when at least half of the slots hold
// handlers that ignore the end of their context: only a restart frees them.
var ErrStuck = errors.New("too many handlers are stuck")

// consumerWait bounds how long Run waits for its consumer to exist.
const consumerWait = 30 * time.Second

// Publisher stores the events that handlers return. A *[broker.Publisher] is one.
type Publisher interface {
	// Publish returns when the event is stored; the same event twice is a success.
	Publish(ctx context.Context, e event.Event) error
}

// Deps are what a worker needs besides its settings; every field may be left out.
type Deps struct {
	// Publisher stores results; nil publishes on the worker's own JetStream context.
	Publisher Publisher
	// Log receives retries, burials and lifecycle; nil discards them.
	Log *slog.Logger
	// Observer is told of deliveries.
	Observer Observer
	// Tracer makes spans; nil makes none and still passes the trace on.
	Tracer trace.Tracer
}

// Worker consumes one durable consumer. Make one with [New] and call Run once.
type Worker struct {
	cfg       Config
	routes    map[event.Kind]route
	js        jetstream.JetStream
	nc        *nats.Conn
	publisher Publisher
	letters   *broker.Publisher
	log       *slog.Logger
	observer  Observer
	tracer    trace.Tracer
	// place is the worker's name and host, as dead letters tell it.
	place string

	ackWait atomic.Int64
	running atomic.Bool
	wedged  chan struct{}
	wedge   sync.Once
	mu      sync.Mutex
	stuck   int
	pull    *puller
}

// New returns a worker that is not running yet. It refuses settings that
// cannot work and two routes for one kind.
func New(js jetstream.JetStream, cfg Config, deps Deps, routes ...Route) (*Worker, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Stream == "" || cfg.Consumer == "" {
		return nil, errors.New("worker: stream and consumer must be named")
	}
	if len(routes) == 0 {
		return nil, fmt.Errorf("worker %s has no route", cfg.Consumer)
	}
	w := &Worker{
		cfg: cfg, js: js, nc: js.Conn(), routes: map[event.Kind]route{}, letters: broker.NewPublisher(js),
		publisher: deps.Publisher, log: deps.Log, observer: deps.Observer, tracer: deps.Tracer, wedged: make(chan struct{}),
		place: place(cfg.Name),
	}
	for _, r := range routes {
		if _, ok := w.routes[r.Kind()]; ok {
			return nil, fmt.Errorf("worker %s has two routes for %s", cfg.Consumer, r.Kind())
		}
		w.routes[r.Kind()] = r.erase()
	}
	if w.publisher == nil {
		w.publisher = w.letters
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.observer == nil {
		w.observer = Unobserved{}
	}
	return w, nil
}

// place returns a worker's name with the host it runs on, when that is known.
func place(name string) string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return name
	}
	return name + "@" + host
}

// Run works until ctx ends and returns when it is drained: no more pulls,
// running handlers get their grace, the rest is handed back. It then returns
// nil; it returns an error when the consumer does not exist or does not have
// the settings that this runtime needs, when the connection is closed, and
// [ErrStuck].
func (w *Worker) Run(ctx context.Context) error {
	if err := w.bind(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	subject := fmt.Sprintf("$JS.API.CONSUMER.MSG.NEXT.%s.%s", w.cfg.Stream, w.cfg.Consumer)
	if prefix := w.js.Options().APIPrefix; prefix != "" {
		subject = fmt.Sprintf("%s.CONSUMER.MSG.NEXT.%s.%s", prefix, w.cfg.Stream, w.cfg.Consumer)
	}
	p := newPuller(w.nc, subject, w.cfg, w.log)
	w.mu.Lock()
	w.pull = p
	w.mu.Unlock()
	untraced := trace.ContextWithSpanContext(context.WithoutCancel(ctx), trace.SpanContext{})
	work, cancel := context.WithCancelCause(untraced)
	defer cancel(nil)
	var slots sync.WaitGroup
	for range w.cfg.Slots {
		slots.Go(func() {
			for {
				m, ok := p.next(work)
				if !ok {
					return
				}
				w.deliver(work, m)
			}
		})
	}
	w.running.Store(true)
	w.log.InfoContext(ctx, "worker started", slog.String("consumer", w.cfg.Consumer), slog.Int("slots", w.cfg.Slots))
	err := w.supervise(ctx, p)
	w.running.Store(false)
	return errors.Join(err, w.drain(work, cancel, p, &slots))
}

// supervise keeps the puller going until there is a reason to stop.
func (w *Worker) supervise(ctx context.Context, p *puller) error {
	status := w.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer w.nc.RemoveStatusListener(status)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wedged:
			return fmt.Errorf("worker %s: %w", w.cfg.Consumer, ErrStuck)
		case s := <-status:
			if s == nats.CLOSED {
				return fmt.Errorf("worker %s: %w", w.cfg.Consumer, nats.ErrConnectionClosed)
			}
			p.reset(ctx)
		case now := <-tick.C:
			p.tick(ctx, now)
		}
	}
}

// drain stops pulling, gives running handlers their grace and then ends them.
func (w *Worker) drain(ctx context.Context, cancel context.CancelCauseFunc, p *puller, slots *sync.WaitGroup) error {
	p.stop(ctx)
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		slots.Wait()
	}()
	if !within(idle, w.cfg.Grace) {
		cancel(ErrStopping)
		if !within(idle, w.cfg.StuckAfter) {
			return fmt.Errorf("worker %s: handlers ignore the stop: %w", w.cfg.Consumer, ErrStuck)
		}
	}
	flush, stop := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.SettleTimeout)
	defer stop()
	if w.nc.IsConnected() {
		if err := w.nc.FlushWithContext(flush); err != nil {
			return fmt.Errorf("worker %s: flush: %w", w.cfg.Consumer, err)
		}
	}
	return nil
}

func within(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// bind finds the consumer and checks what the runtime relies on.
func (w *Worker) bind(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, consumerWait)
	defer cancel()
	for pause := pauseBase; ; pause = min(2*pause, pauseMax) {
		consumer, err := w.js.Consumer(ctx, w.cfg.Stream, w.cfg.Consumer)
		if err == nil {
			return w.accept(consumer.CachedInfo().Config)
		}
		w.log.WarnContext(ctx, "waiting for the consumer", slog.String("consumer", w.cfg.Consumer), slog.Any("error", err))
		timer := time.NewTimer(pause/2 + drawEvenly(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("worker: find consumer %s of %s: %w", w.cfg.Consumer, w.cfg.Stream, err)
		case <-timer.C:
		}
	}
}

func (w *Worker) accept(c jetstream.ConsumerConfig) error {
	var problems []error
	if c.MaxDeliver > 0 {
		problems = append(problems, fmt.Errorf("max deliver is %d; it must be -1: the worker counts attempts", c.MaxDeliver))
	}
	if c.AckPolicy != jetstream.AckExplicitPolicy {
		problems = append(problems, fmt.Errorf("ack policy is %s; it must be explicit", c.AckPolicy))
	}
	if len(c.BackOff) > 0 {
		problems = append(problems, errors.New("a backoff is set; it would replace the ack wait"))
	}
	if c.MaxAckPending > 0 && c.MaxAckPending < w.cfg.Slots {
		problems = append(problems, fmt.Errorf("max ack pending is %d, below the %d slots", c.MaxAckPending, w.cfg.Slots))
	}
	if len(problems) > 0 {
		return fmt.Errorf("consumer %s of %s: %w", w.cfg.Consumer, w.cfg.Stream, errors.Join(problems...))
	}
	w.ackWait.Store(int64(c.AckWait))
	return nil
}

func (w *Worker) heartbeat() time.Duration { return time.Duration(w.ackWait.Load()) / 3 }

// stopping reports whether the worker has ended its handlers' context.
func stopping(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrStopping) }

// abandon gives up on a stuck handler: its message goes to another worker,
// its slot stays taken until it returns.
func (w *Worker) abandon(ctx context.Context, j *job) {
	w.mu.Lock()
	w.stuck++
	if w.stuckTooMany() {
		w.wedge.Do(func() { close(w.wedged) })
	}
	w.mu.Unlock()
	j.finish(ctx, j.verdict(ctx, ErrStuck), ErrStuck)
}

// freed notes that a stuck handler has returned after all.
func (w *Worker) freed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stuck--
}

func (w *Worker) stuckTooMany() bool { return w.stuck > 0 && w.stuck*2 >= w.cfg.Slots }

// Ready returns nil while the worker runs, its pulls are answered and fewer
// than half of its slots are stuck. It does not wait.
func (w *Worker) Ready(context.Context) error {
	w.mu.Lock()
	p, stuck := w.pull, w.stuckTooMany()
	w.mu.Unlock()
	switch {
	case !w.running.Load():
		return fmt.Errorf("worker %s is not running", w.cfg.Consumer)
	case stuck:
		return fmt.Errorf("worker %s: %w", w.cfg.Consumer, ErrStuck)
	case !p.healthy():
		return fmt.Errorf("worker %s: the broker refuses its pulls", w.cfg.Consumer)
	}
	return nil
}
