// Package natsserver runs a nats-server inside the process, with JetStream in
// files of a data directory that it locks.
package natsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds the wait for a server in the process, whose streams may have to be recovered from disk.
const startTimeout = 60 * time.Second

// Config says how the server in the process runs.
type Config struct {
	// Dir is the data directory. It is created when missing and locked while
	// the server runs; JetStream's files are in its folder "nats".
	Dir string
	// Listen is a TCP address ("127.0.0.1:4222") for pipelines that publish
	// directly; port 0 takes a free one. Empty: no port is opened. It is one
	// that only this machine reaches: the server asks nobody who they are.
	Listen string
	// MaxMemory bounds the bytes of memory streams; 0 means 512 MiB.
	MaxMemory int64
	// MaxStore bounds the bytes of file streams; 0 means 10 GiB.
	MaxStore int64
	// SyncAlways makes every acknowledged message survive a power cut, at
	// about a tenth of the publishing rate. Without it a power cut may lose
	// the last two minutes; a crash of the process loses nothing.
	SyncAlways bool
	// Log receives the server's warnings and errors; nil discards them.
	Log *slog.Logger
}

// WithDefaults returns a copy with every unset field filled in.
func (c Config) WithDefaults() Config {
	if c.MaxMemory == 0 {
		c.MaxMemory = 512 << 20
	}
	if c.MaxStore == 0 {
		c.MaxStore = 10 << 30
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every setting that cannot work. What is not set is not a problem.
func (c Config) Validate() error {
	var problems []error
	if c.MaxMemory < 0 || c.MaxStore < 0 {
		problems = append(problems, errors.New("the limits of memory and store must not be negative"))
	}
	if c.Listen != "" {
		if host, _, err := splitAddress(c.Listen); err != nil {
			problems = append(problems, err)
		} else if !isLoopback(host) {
			problems = append(problems, fmt.Errorf("listen address %q can be reached by other machines, and the embedded broker asks nobody who they are: "+
				"whoever reaches it publishes, reads and deletes everything; listen on a loopback address such as 127.0.0.1:4222, or run a nats-server "+
				"with users and name it in RAGBUS_NATS_URL (deploy/compose/nats.conf has the users)", c.Listen))
		}
	}
	return errors.Join(problems...)
}

// Server is a nats-server inside the process. It is safe for concurrent use.
type Server struct {
	nats *server.Server
	lock *os.File
}

// Start starts a nats-server with JetStream in the process and returns
// when it accepts connections. A data directory that another process uses or
// that cannot be written, and a taken port, are errors that say so. The
// caller must call [Server.Shutdown].
func Start(cfg Config) (*Server, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	if cfg.Dir == "" {
		return nil, errors.New("embedded broker: the data directory is not named")
	}
	opts := &server.Options{
		ServerName: "ragbus", JetStream: true, StoreDir: filepath.Join(cfg.Dir, "nats"),
		JetStreamMaxMemory: cfg.MaxMemory, JetStreamMaxStore: cfg.MaxStore, SyncAlways: cfg.SyncAlways,
		DontListen: cfg.Listen == "", NoSigs: true, NoLog: true, NoSystemAccount: false,
	}
	if cfg.Listen != "" {
		host, port, err := splitAddress(cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("embedded broker: %w", err)
		}
		if err := probe(cfg.Listen); err != nil {
			return nil, fmt.Errorf("embedded broker: %w", err)
		}
		opts.Host, opts.Port = host, port
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded broker: %w", err), lock.Close())
	}
	ns.SetLogger(serverLog{cfg.Log}, false, false)
	ns.Start()
	if !ns.ReadyForConnections(startTimeout) {
		ns.Shutdown()
		return nil, errors.Join(fmt.Errorf("embedded broker: not ready after %s; its log says why", startTimeout), lock.Close())
	}
	return &Server{nats: ns, lock: lock}, nil
}

// InProcessConn returns a connection to the server without a socket. It
// makes a Server what a NATS client may connect to.
func (s *Server) InProcessConn() (net.Conn, error) {
	conn, err := s.nats.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("connect in process: %w", err)
	}
	return conn, nil
}

// ClientURL returns the URL to connect to over TCP; "" when no port is open.
func (s *Server) ClientURL() string {
	if addr := s.nats.Addr(); addr != nil {
		return "nats://" + addr.String()
	}
	return ""
}

// Shutdown stops the server, waits until its files are closed, at most until
// ctx ends, and gives the data directory free. More calls do nothing more.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("shut the embedded broker down: %w", ctx.Err())
	}
	if err := s.lock.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("unlock the data directory: %w", err)
	}
	return nil
}

// lockDir creates dir and locks it: nats-server itself would let two
// processes write one store.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be created: %w", dir, err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "ragbus.lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("data directory %s is not writable: %w", dir, err)
	}
	held, err := flock(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", dir, err), file.Close())
	}
	if held {
		return nil, errors.Join(fmt.Errorf("data directory %s is in use by another ragbus", dir), file.Close())
	}
	return file, nil
}

func splitAddress(address string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q is not host:port: %w", address, err)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("listen address %q has no usable port", address)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// isLoopback reports whether only this machine reaches host.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// probe reports a taken address before the server starts, which would only
// log it and never become ready.
func probe(address string) error {
	listener, err := net.Listen("tcp", address) //nolint:noctx // binding does not wait
	if err != nil {
		return fmt.Errorf("listen address is not free: %w", err)
	}
	if err := listener.Close(); err != nil {
		return fmt.Errorf("listen address: %w", err)
	}
	return nil
}

// serverLog passes on what an operator must see and drops the chatter. The
// server's interface has no context.
type serverLog struct{ log *slog.Logger }

// Noticef implements the server's logger.
func (l serverLog) Noticef(string, ...any) {}

// Debugf implements the server's logger.
func (l serverLog) Debugf(string, ...any) {}

// Tracef implements the server's logger.
func (l serverLog) Tracef(string, ...any) {}

// Warnf implements the server's logger.
func (l serverLog) Warnf(format string, args ...any) {
	l.log.Warn("nats-server", slog.String("message", fmt.Sprintf(format, args...))) //nolint:sloglint // no context here
}

// Errorf implements the server's logger.
func (l serverLog) Errorf(format string, args ...any) {
	l.log.Error("nats-server", slog.String("message", fmt.Sprintf(format, args...))) //nolint:sloglint // no context here
}

// Fatalf implements the server's logger.
func (l serverLog) Fatalf(format string, args ...any) {
	l.log.Error("nats-server", slog.String("message", fmt.Sprintf(format, args...)), slog.Bool("fatal", true)) //nolint:sloglint // no context here
}
