// Package gateway is the HTTP side of Ragbus: requests come in as JSON or
// bytes, leave as events on the broker, and answers come back as frames and
// leave as one JSON object or a stream of server-sent events. It translates
// and owns no retrieval and no prompt. It promises that every accepted
// upload and question is on record before the answer says so, that no client
// makes it hold a document in memory or wait without a bound, and that every
// error is a problem (RFC 9457) without a cause in it.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/admission"
	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/reply"
)

// errStopping is the cause with which the work of requests ends that did not
// finish within the grace of a shutdown.
var errStopping = errors.New("the server is stopping")

// flushTime is what handlers get to write their last answer after their work was ended.
const flushTime = 2 * time.Second

// Blobs keeps the bytes of documents. A *[blob.Store] is one.
type Blobs interface {
	Put(ctx context.Context, key string, r io.Reader, opts blob.PutOptions) (blob.Info, error)
	Read(ctx context.Context, key string, want blob.Info) (io.ReadCloser, error)
	ReadPart(ctx context.Context, key string, want blob.Info, part blob.Part) (io.ReadCloser, error)
	Delete(ctx context.Context, key string) error
	Ready(ctx context.Context) error
}

// Publisher stores events on the broker. A *[broker.Publisher] is one.
type Publisher interface {
	Publish(ctx context.Context, e event.Event) error
}

// Deps are what the gateway stands on. It closes none of them.
type Deps struct {
	Catalog       catalog.Store
	Conversations conversation.Store
	Blobs         Blobs
	Publisher     Publisher
	Broker        *broker.Conn
	// Callers knows who sent a credential; nil with RAGBUS_AUTH=none only.
	Callers access.Authenticator
	// Ledger knows what was spent of an account's tokens; nil when nobody counts.
	Ledger access.Ledger
	// Signer vouches on the bus for who asks; a nil one signs nothing.
	Signer *access.Signer
	// Registry gets the gateway's metrics and is what /metrics shows.
	Registry *prometheus.Registry
	Log      *slog.Logger
	// Tracers makes spans; nil for none.
	Tracers trace.TracerProvider
	// Checks are asked by /readyz and /health beside broker, database and blob store.
	Checks []lifecycle.Check
	// Version is what /version shows; empty fields are filled from the build.
	Version Version
	// Now is the clock; nil for the system's.
	Now func() time.Time
}

// Service is one gateway. Make it with [New]; [Service.Run] it once.
type Service struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	tracer  trace.Tracer
	now     func() time.Time
	metrics *metrics
	app     *fiber.App
	nats    *nats.Conn
	// name tells this process from every other gateway.
	name string

	hub     *reply.Hub
	cancels *reply.CancelListener
	readers *readers
	news    *newsroom
	ready   *shared[map[string]string]
	healthy *shared[healthReport]
	queue   *forecast
	// window lets the work of documents in.
	window *admission.Window

	uploads, chats, streams, waits *slots

	limiter *access.Limiter
	// quota is nil when nobody counts tokens.
	quota *access.Quota

	ln *listener
	// root is what the work of requests hangs on while the service runs.
	root atomic.Pointer[context.Context]
	// stop is closed when the service begins to stop.
	stop     chan struct{}
	stopOnce sync.Once
	// work counts goroutines beside the handlers: streams, their aftermath, the sweeper.
	work sync.WaitGroup
}

// New returns a gateway that does not listen yet. The configuration is
// completed with its defaults and validated.
func New(cfg Config, deps Deps) (*Service, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gateway settings: %w", err)
	}
	if cfg.Auth != access.AuthNone && deps.Callers == nil {
		return nil, fmt.Errorf("gateway settings: RAGBUS_AUTH=%s without anyone who knows callers", cfg.Auth)
	}
	if deps.Tracers == nil {
		deps.Tracers = noop.NewTracerProvider()
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Registry == nil {
		deps.Registry = prometheus.NewRegistry()
	}
	m, err := newMetrics(deps.Registry)
	if err != nil {
		return nil, err
	}
	name := corpus.NewID()
	s := &Service{
		cfg: cfg, deps: deps, log: deps.Log, tracer: deps.Tracers.Tracer("github.com/ragbus/ragbus/services/gateway"), now: deps.Now,
		metrics: m, name: name, nats: deps.Broker.NATS(), readers: newReaders(name), news: newNewsroom(), stop: make(chan struct{}),
		ready:   &shared[map[string]string]{keep: keepReadiness},
		healthy: &shared[healthReport]{keep: keepHealth},
		queue:   newForecast(deps.Broker.JetStream(), deps.Now),
		limiter: access.NewLimiter(deps.Now),
	}
	s.window = admission.New(admission.Config{Size: cfg.TenantWindow, Now: deps.Now, Log: deps.Log}, deps.Broker.JetStream(), deps.Catalog, deps.Publisher)
	apart := cfg.Auth != access.AuthNone
	s.uploads = newSlots(cfg.MaxUploads, apart, "too_many_uploads", "uploads", m.uploads)
	s.chats = newSlots(cfg.MaxChats, apart, "too_many_chats", "questions", m.chats)
	s.streams = newSlots(cfg.MaxStreams, apart, "too_many_streams", "streams", m.streams)
	s.waits = newSlots(cfg.MaxWaits, apart, "too_many_waits", "waiting requests", m.waits)
	if deps.Ledger != nil {
		s.quota = access.NewQuota(deps.Ledger, deps.Log, deps.Now)
	}
	if s.hub, err = reply.NewHub(s.nats, s.name, s.log); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s.cancels = reply.NewCancelListener(s.nats)
	s.app = s.newApp()
	return s, nil
}

// newApp returns Fiber set up against its traps: bodies are streamed and
// never parsed for us, strings outlive their request, no response has a
// total time (streams have none; the connection bounds pauses instead).
func (s *Service) newApp() *fiber.App {
	app := fiber.New(fiber.Config{
		DisableStartupMessage: true, Immutable: true, CaseSensitive: true,
		StreamRequestBody: true, DisablePreParseMultipartForm: true,
		// Not enforced on a streamed body anyway; our readers have bounds of their own.
		BodyLimit:      int(^uint(0) >> 1),
		ReadBufferSize: maxHeaderBytes, ReadTimeout: s.cfg.ReadTimeout, IdleTimeout: s.cfg.IdleTimeout,
		Concurrency: 2 * s.cfg.MaxConnections, DisableDefaultContentType: true,
		ErrorHandler: s.unreadable,
	})
	s.mount(app)
	server := app.Server()
	server.Handler = s.knownMethods(app.Handler())
	server.CloseOnShutdown = true
	server.NoDefaultServerHeader = true
	return app
}

// Listen binds the address, so that a failure to do so is known before
// anything runs. [Service.Run] does it when it was not done.
func (s *Service) Listen(ctx context.Context) error {
	if s.ln != nil {
		return nil
	}
	addr := s.cfg.ListenAddr()
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s (RAGBUS_HTTP_ADDR): %w", addr, err)
	}
	s.ln = newListener(ln, s.cfg.MaxConnections, s.cfg.WriteStall)
	return nil
}

// Addr returns the bound address, "" before [Service.Listen].
func (s *Service) Addr() string {
	if s.ln == nil {
		return ""
	}
	return s.ln.Addr().String()
}

// Run serves until ctx ends, then drains: it becomes not ready, accepts for
// another ShutdownDelay, tells streams to reconnect elsewhere, and gives
// running requests ShutdownGrace. It returns when everything it started has
// ended; nil when nothing failed.
func (s *Service) Run(ctx context.Context) error {
	if err := s.Listen(ctx); err != nil {
		return err
	}
	root, endWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endWork(nil)
	s.root.Store(&root)
	unsubscribe, err := s.subscribe(ctx)
	if err != nil {
		return errors.Join(err, s.ln.Close())
	}
	s.work.Go(func() { s.sweep(root) })
	if s.cfg.Auth != access.AuthNone {
		s.work.Go(func() { s.shareLimits(root) })
	}
	served := make(chan error, 1)
	go func() { served <- s.app.Listener(s.ln) }()
	s.log.InfoContext(ctx, "gateway listens", slog.String("addr", s.Addr()))
	select {
	case <-ctx.Done():
		err = errors.Join(s.drain(root, endWork), <-served) // serving ends with the listener
	case err = <-served:
		err = errors.Join(fmt.Errorf("serve: %w", err), s.drain(root, endWork))
	}
	return errors.Join(err, unsubscribe())
}

// drain ends serving. root ends for the requests that outlast the grace.
func (s *Service) drain(root context.Context, endWork context.CancelCauseFunc) error {
	s.stopOnce.Do(func() { close(s.stop) })
	if s.cfg.ShutdownDelay > 0 {
		time.Sleep(s.cfg.ShutdownDelay) // the pause is the purpose: load balancers need it
	}
	err := s.ln.Close()
	s.ln.closeSilent()
	grace, done := context.WithTimeout(root, s.cfg.ShutdownGrace)
	err = errors.Join(err, late(s.app.ShutdownWithContext(grace)))
	done()
	endWork(errStopping)
	flush, done := context.WithTimeout(context.WithoutCancel(root), flushTime)
	defer done()
	if !s.emptied(flush) {
		s.log.WarnContext(root, "connections are cut off", slog.Int("open", s.ln.count()))
		s.ln.closeAll()
		cut, done := context.WithTimeout(context.WithoutCancel(root), flushTime)
		defer done()
		if !s.emptied(cut) {
			s.log.WarnContext(root, "handlers outlast their connections", slog.Int("open", s.ln.count()))
		}
	}
	s.work.Wait()
	return err
}

// late hides that not every request was done in time: they are ended next.
func late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}

// emptied waits until no connection is open.
func (s *Service) emptied(ctx context.Context) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.ln.count() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// subscribe starts hearing the broker; the function it returns ends that.
func (s *Service) subscribe(ctx context.Context) (func() error, error) {
	var subs []*nats.Subscription
	end := func() error {
		err := errors.Join(s.hub.Close(), s.cancels.Close())
		for _, sub := range subs {
			if e := sub.Unsubscribe(); e != nil && !errors.Is(e, nats.ErrConnectionClosed) && !errors.Is(e, nats.ErrBadSubscription) {
				err = errors.Join(err, fmt.Errorf("unsubscribe: %w", e))
			}
		}
		return err
	}
	news, err := s.news.subscribe(s.nats)
	subs = append(subs, news...)
	if err == nil {
		var sub *nats.Subscription
		if sub, err = s.readers.subscribe(s.nats); err == nil {
			subs = append(subs, sub)
		}
	}
	if err == nil {
		err = s.hub.Start(ctx)
	}
	if err == nil {
		err = s.cancels.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: %w", err), end())
	}
	return end, nil
}

// base is what the work of requests hangs on.
func (s *Service) base() context.Context { return *s.root.Load() }

// stopping reports whether the service has begun to stop.
func (s *Service) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// serve makes a Fiber handler of a route.
func (s *Service) serve(rt route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		r, ok := c.Locals(requestKey{}).(*request)
		if !ok {
			return errors.New("a route was reached around the middleware")
		}
		r.route = rt.path
		if rt.within > 0 {
			ctx, cancel := context.WithTimeout(r.ctx, rt.within)
			defer cancel()
			r.ctx = ctx
		}
		err := r.permit(rt)
		if err == nil && strings.HasPrefix(rt.path, "/v1/") {
			r.params, err = r.query(rt.params...)
		}
		if err == nil {
			err = rt.handle(r)
		}
		r.auditRoute(rt, err)
		return err
	}
}
