package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// InboxPrefix is the subject prefix of every reply. The connection's name
// follows, so that a server's permissions can keep one service from reading
// the replies of all others.
const InboxPrefix = "rag.inbox"

// oldestSound is the first release with the fixes for the losses that
// Jepsen found in 2.12.1 (jepsen.io/analyses/nats-2.12.1).
const oldestSound = "2.12.3"

// Config says how to reach a server.
type Config struct {
	// InProcess, when set, is connected to without a socket, and URL is not used. A *natsserver.Server is one.
	InProcess nats.InProcessConnProvider
	// URL is one address or several, joined by commas: nats://host:4222.
	URL config.URL `env:"RAGBUS_NATS_URL"`
	// Creds is the path of a credentials file; "" for none.
	Creds string `env:"RAGBUS_NATS_CREDS"`
	// Name tells this process from others in the server's monitoring, and is
	// part of the subject of replies; "ragbus" when it is empty or no token.
	Name string
	// ConnectTimeout bounds the first connection, retries included; 0 means 10 s.
	ConnectTimeout time.Duration
	// DrainTimeout bounds [Conn.Close]; 0 means 5 s.
	DrainTimeout time.Duration
	// Log receives connects and disconnects; nil discards them.
	Log *slog.Logger
}

// WithDefaults returns a copy with every unset field filled in.
func (c Config) WithDefaults() Config {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 5 * time.Second
	}
	if corpus.CheckToken("name", c.Name) != nil {
		c.Name = "ragbus"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every setting that cannot work. What is not set is not a problem.
func (c Config) Validate() error {
	var problems []error
	if c.ConnectTimeout < 0 || c.DrainTimeout < 0 {
		problems = append(problems, errors.New("the timeouts of the broker connection must not be negative"))
	}
	if err := c.URL.Check("nats", "tls", "ws", "wss"); err != nil {
		problems = append(problems, fmt.Errorf("RAGBUS_NATS_URL: %w", err))
	}
	return errors.Join(problems...)
}

// readable returns an Invalid fault when there is no credentials file to read.
// It is no part of Validate: settings are looked at elsewhere than where they count.
func (c Config) readable() error {
	if c.Creds == "" {
		return nil
	}
	file, err := os.Open(c.Creds)
	if err != nil {
		return fault.Invalidf("credentials_unreadable", "RAGBUS_NATS_CREDS: %s", err)
	}
	return file.Close() //nolint:wrapcheck // only read
}

// Conn is a connection with its JetStream context. It is safe for concurrent
// use and reconnects by itself for ever; while it is disconnected, publishing
// fails at once instead of piling up.
type Conn struct {
	nats  *nats.Conn
	js    jetstream.JetStream
	drain time.Duration
	gone  chan struct{}
}

// Connect connects to a server, trying again with jitter until ctx ends or
// the configured time is over. It warns in the log about a server older than 2.12.3.
func Connect(ctx context.Context, cfg Config) (*Conn, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	if cfg.InProcess == nil && cfg.URL == "" {
		return nil, errors.New("connect to the broker: no NATS server is named (RAGBUS_NATS_URL)")
	}
	if err := cfg.readable(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	gone := make(chan struct{})
	opts := options(ctx, cfg, gone)
	var nc *nats.Conn
	for {
		var err error
		if nc, err = nats.Connect(cfg.URL.Reveal(), opts...); err == nil {
			break
		}
		if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
			return nil, fmt.Errorf("connect to the broker: %w", err)
		}
		pause := time.NewTimer(100*time.Millisecond + rand.N(400*time.Millisecond)) //nolint:gosec // jitter is no secret
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil, fmt.Errorf("connect to the broker: %w (%w)", err, ctx.Err())
		case <-pause.C:
		}
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	if v := nc.ConnectedServerVersion(); older(v, oldestSound) {
		cfg.Log.WarnContext(ctx, "the nats-server is old and may lose acknowledged messages; upgrade it",
			slog.String("version", v), slog.String("oldest", oldestSound))
	}
	return &Conn{nats: nc, js: js, drain: cfg.DrainTimeout, gone: gone}, nil
}

func options(ctx context.Context, cfg Config, gone chan struct{}) []nats.Option {
	ctx = context.WithoutCancel(ctx)
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.CustomInboxPrefix(InboxPrefix + "." + cfg.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 500*time.Millisecond),
		nats.ReconnectBufSize(-1), // a caller must know at once, not minutes later
		nats.Timeout(cfg.ConnectTimeout),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DrainTimeout(cfg.DrainTimeout),
		nats.ClosedHandler(func(*nats.Conn) { close(gone) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				cfg.Log.WarnContext(ctx, "broker connection lost", slog.Any("error", err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			cfg.Log.InfoContext(ctx, "broker connection is back", slog.String("server", nc.ConnectedUrlRedacted()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			cfg.Log.WarnContext(ctx, "broker reported an error", slog.String("subject", subject), slog.Any("error", err))
		}),
	}
	if cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(cfg.InProcess))
	}
	if cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	}
	return opts
}

// NATS returns the core connection.
func (c *Conn) NATS() *nats.Conn { return c.nats }

// JetStream returns the stream context.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// Ready returns nil when the server answers and serves JetStream, else a
// Transient fault "broker_unavailable". It waits at most 2 s.
func (c *Conn) Ready(ctx context.Context) error {
	if status := c.nats.Status(); status != nats.CONNECTED {
		return unavailable(fmt.Errorf("broker connection is %s", strings.ToLower(status.String())))
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := c.js.AccountInfo(ctx); err != nil {
		return unavailable(fmt.Errorf("ask the broker: %w", err))
	}
	return nil
}

// Close drains subscriptions and publications and closes the connection. It
// returns when it is closed, after the drain timeout or when ctx ends; then
// the connection is closed hard.
func (c *Conn) Close(ctx context.Context) error {
	if c.nats.IsClosed() {
		return nil
	}
	if err := c.nats.Drain(); err != nil {
		c.nats.Close()
		if errors.Is(err, nats.ErrConnectionReconnecting) || errors.Is(err, nats.ErrConnectionClosed) {
			return nil // there is nobody to drain to
		}
		return fmt.Errorf("drain the broker connection: %w", err)
	}
	limit := time.NewTimer(c.drain)
	defer limit.Stop()
	select {
	case <-c.gone:
		return nil
	case <-ctx.Done():
		c.nats.Close()
		return fmt.Errorf("drain the broker connection: %w", ctx.Err())
	case <-limit.C:
		c.nats.Close()
		return fmt.Errorf("drain the broker connection: not done after %s", c.drain)
	}
}

// unavailable classifies an error of the broker that may pass.
func unavailable(cause error) error {
	return fault.Transientf("broker_unavailable", "the message broker cannot be reached").WithCause(cause)
}

// older reports whether version a comes before b; what cannot be read does not.
func older(a, b string) bool {
	x, okX := numbers(a)
	y, okY := numbers(b)
	if !okX || !okY {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

func numbers(version string) ([3]int, bool) {
	var out [3]int
	core, _, _ := strings.Cut(version, "-")
	parts := strings.SplitN(core, ".", 3)
	if len(parts) != 3 {
		return out, false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return out, false
		}
		out[i] = n
	}
	return out, true
}
