// Package brokertest gives each test a real NATS server of its own, with the
// topology of Ragbus, in the process or over TCP.
package brokertest

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/natsserver"
	"github.com/ragbus/ragbus/pkg/config"
)

// Broker is a running server, a connection to it and its topology. The test's cleanup ends it.
type Broker struct {
	Conn      *broker.Conn
	NATS      *nats.Conn
	JS        jetstream.JetStream
	Publisher *broker.Publisher
	Topology  broker.Topology

	t      testing.TB
	cfg    natsserver.Config
	mu     sync.Mutex
	server *natsserver.Server
}

// Start starts a server in the process.
func Start(t testing.TB) *Broker {
	t.Helper()
	return StartWith(t, broker.TopologyConfig{})
}

// StartWith is [Start] with other bounds than the default ones.
func StartWith(t testing.TB, topology broker.TopologyConfig) *Broker {
	t.Helper()
	return start(t, topology, "")
}

// StartTCP starts a server that is reached over TCP on the loopback interface.
func StartTCP(t testing.TB) *Broker {
	t.Helper()
	return start(t, broker.TopologyConfig{}, "127.0.0.1:0")
}

// StartTCPWith is [StartTCP] with other bounds than the default ones.
func StartTCPWith(t testing.TB, topology broker.TopologyConfig) *Broker {
	t.Helper()
	return start(t, topology, "127.0.0.1:0")
}

func start(t testing.TB, topology broker.TopologyConfig, listen string) *Broker {
	t.Helper()
	b := &Broker{
		t: t, Topology: broker.NewTopology(topology),
		cfg: natsserver.Config{Dir: t.TempDir(), Listen: listen},
	}
	b.boot()
	t.Cleanup(func() { b.Stop() })
	b.Conn = b.Connect()
	b.NATS, b.JS = b.Conn.NATS(), b.Conn.JetStream()
	b.Publisher = broker.NewPublisher(b.JS)
	if err := broker.Ensure(t.Context(), b.JS, b.Topology); err != nil {
		t.Fatal(err)
	}
	return b
}

// Connect returns another connection, as another process would have. The test's cleanup closes it.
func (b *Broker) Connect() *broker.Conn {
	b.t.Helper()
	cfg := broker.Config{Name: b.t.Name()}
	if url := b.URL(); url != "" {
		cfg.URL = config.URL(url)
	} else {
		cfg.InProcess = b
	}
	conn, err := broker.Connect(b.t.Context(), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := conn.Close(ctx); err != nil {
			b.t.Logf("close connection: %v", err)
		}
	})
	return conn
}

// URL returns the server's address; "" without TCP.
func (b *Broker) URL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return ""
	}
	return b.server.ClientURL()
}

// InProcessConn connects to the server that runs now, so that a client survives [Broker.Restart].
func (b *Broker) InProcessConn() (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return nil, errors.New("the server is down")
	}
	return b.server.InProcessConn()
}

// Stop shuts the server down; files stay.
func (b *Broker) Stop() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := b.server.Shutdown(ctx); err != nil {
		b.t.Error(err)
	}
	b.server = nil
}

// Restart stops the server, when it runs, and starts it again on the same
// files and address. What was in memory streams is lost, the streams too.
func (b *Broker) Restart() {
	b.t.Helper()
	if url := b.URL(); url != "" {
		b.cfg.Listen = url[len("nats://"):]
	}
	b.Stop()
	b.boot()
}

func (b *Broker) boot() {
	b.t.Helper()
	server, err := natsserver.Start(b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server = server
}

// Messages returns how many messages a stream holds.
func (b *Broker) Messages(stream string) uint64 {
	b.t.Helper()
	s, err := b.JS.Stream(b.t.Context(), stream)
	if err != nil {
		b.t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}
