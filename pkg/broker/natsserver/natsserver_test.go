package natsserver_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/broker/natsserver"
	"github.com/ragbus/ragbus/pkg/event"
)

func shutdown(t *testing.T, s *natsserver.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func TestASecondProcessIsToldThatTheDirectoryIsInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := natsserver.Start(natsserver.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = natsserver.Start(natsserver.Config{Dir: dir})
	if want := "data directory " + dir + " is in use by another ragbus"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	shutdown(t, first)
	again, err := natsserver.Start(natsserver.Config{Dir: dir})
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	shutdown(t, again)
	shutdown(t, again)
}

func TestADirectoryThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := natsserver.Start(natsserver.Config{Dir: filepath.Join(file, "data")})
	if err == nil || !strings.Contains(err.Error(), "data directory "+filepath.Join(file, "data")+" cannot be created") {
		t.Errorf("got %v", err)
	}
	occupied := t.TempDir()
	if err := os.Mkdir(filepath.Join(occupied, "ragbus.lock"), 0o750); err != nil {
		t.Fatal(err)
	}
	_, err = natsserver.Start(natsserver.Config{Dir: occupied})
	if err == nil || !strings.Contains(err.Error(), "is not writable") {
		t.Errorf("got %v", err)
	}
	if _, err := natsserver.Start(natsserver.Config{}); err == nil || !strings.Contains(err.Error(), "not named") {
		t.Errorf("got %v", err)
	}
}

func TestAnAddressThatCannotBeListenedOnIsAnErrorAndLeavesTheDirectoryFree(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := t.TempDir()
	_, err = natsserver.Start(natsserver.Config{Dir: dir, Listen: listener.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "not free") {
		t.Errorf("got %v", err)
	}
	for _, address := range []string{"localhost", "127.0.0.1:port", "127.0.0.1:70000"} {
		if _, err := natsserver.Start(natsserver.Config{Dir: dir, Listen: address}); err == nil {
			t.Errorf("%s was accepted", address)
		}
	}
	for _, address := range []string{"0.0.0.0:0", ":4222", "[::]:0", "192.0.2.1:4222", "host.example.com:4222"} {
		_, err := natsserver.Start(natsserver.Config{Dir: dir, Listen: address})
		if err == nil || !strings.Contains(err.Error(), "can be reached by other machines") || !strings.Contains(err.Error(), "RAGBUS_NATS_URL") {
			t.Errorf("%s: %v", address, err)
		}
	}
	s, err := natsserver.Start(natsserver.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if url := s.ClientURL(); url != "" {
		t.Errorf("a server that does not listen has the address %s", url)
	}
	shutdown(t, s)
}

func TestBothWaysToConnect(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *brokertest.Broker{
		"in the process": brokertest.Start, "over TCP": brokertest.StartTCP,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t)
			if err := b.Conn.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			if err := broker.Verify(t.Context(), b.JS, b.Topology); err != nil {
				t.Error(err)
			}
			b.Stop()
			if err := b.Conn.Ready(t.Context()); err == nil {
				t.Error("ready without a server")
			}
		})
	}
}

func TestConnectIsBounded(t *testing.T) {
	t.Parallel()
	began := time.Now()
	_, err := broker.Connect(t.Context(), broker.Config{URL: "nats://127.0.0.1:1", ConnectTimeout: 300 * time.Millisecond})
	if err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
	if _, err := broker.Connect(t.Context(), broker.Config{}); err == nil || !strings.Contains(err.Error(), "RAGBUS_NATS_URL") {
		t.Errorf("got %v", err)
	}
}

func TestFileStreamsSurviveARestart(t *testing.T) {
	t.Parallel()
	b := brokertest.StartTCP(t)
	e := event.New("default", time.Now(), event.DocumentUploaded{ID: "doc-1", Generation: 1})
	if err := b.Publisher.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	b.Restart()
	again := b.Connect()
	receipt, err := broker.NewPublisher(again.JetStream()).Send(t.Context(), e)
	if err != nil || !receipt.Duplicate {
		t.Errorf("the same event after a restart: %+v, %v", receipt, err)
	}
}

func BenchmarkColdStart(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		began := time.Now()
		s, err := natsserver.Start(natsserver.Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		conn, err := broker.Connect(b.Context(), broker.Config{InProcess: s})
		if err != nil {
			b.Fatal(err)
		}
		if err := broker.Ensure(b.Context(), conn.JetStream(), broker.NewTopology(broker.TopologyConfig{})); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/start")
		if err := conn.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := s.Shutdown(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
